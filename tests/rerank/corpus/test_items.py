import dataclasses

import numpy as np

from rerank.config import Modality
from rerank.corpus.items import take
from tests.rerank.stores import make_items


def test_modalities_stand_in_a_fixed_order():
    items = make_items()
    assert items.modalities == (Modality("text", 2), Modality("image", 3))
    words = make_items(words=True)
    size = words.words.encoder.size
    assert words.modalities == (Modality("text", 0, size), Modality("image", 3))


def test_items_may_have_no_modality():
    items = dataclasses.replace(make_items(), present={}, vectors={})
    assert items.modalities == ()
    assert items.take_modalities(np.zeros((2, 3), int))["present"].shape == (2, 3, 0)


def test_take_gives_zeros_for_no_item():
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    taken = take(values, np.array([[1, -1]]))
    assert taken.tolist() == [[[3.0, 4.0], [0.0, 0.0]]]
    assert take(values[:0], np.array([-1, -1]), 7).tolist() == [[7.0, 7.0]] * 2


def test_presence_is_not_read_off_the_vectors():
    items = make_items()
    zero = dataclasses.replace(
        items, vectors={**items.vectors, "text": np.zeros((5, 2))}
    )
    taken = zero.take_modalities(np.arange(5))
    assert taken["present"][:, 0].tolist() == [True, True, True, False, True]
