import dataclasses
import json

import numpy as np

from rerank.config import Modality
from rerank.corpus.corpus import Corpus, Scaling
from tests.rerank.stores import make_items, make_requests

COLUMNS = {
    "fields": np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]]),
    "pair_features": np.zeros((2, 0)),
    "context": np.array([[np.nan], [np.nan]]),
}


def make_corpus(**parts) -> Corpus:
    splits = dict.fromkeys(("train", "validation", "test"), make_requests())
    known = {"items": make_items(), "splits": splits, "scaling": Scaling.fit(COLUMNS)}
    return Corpus(**{**known, **parts})


def test_scaling_by_hand():
    scaling = Scaling.fit(COLUMNS)
    scaled = scaling.apply("fields", np.array([[1, 5], [4, 6], [np.nan, np.nan]]))
    # The first has mean 2 and deviation 1; the second is constant.
    np.testing.assert_array_equal(scaled, [[-1, 0], [2, 1], [0, 0]])
    assert scaling.apply("context", np.array([[3.0]])).tolist() == [[3.0]]
    assert scaling.apply("fields", np.array([[99.0, 0]]))[0, 0] == 10
    assert scaled.dtype == np.float32


def test_scaling_survives_json():
    scaling = Scaling.fit(COLUMNS)
    assert Scaling(**json.loads(json.dumps(dataclasses.asdict(scaling)))) == scaling


def test_sizes():
    sizes = make_corpus().sizes
    assert (sizes.fields, sizes.context, sizes.length, sizes.history) == (2, 1, 3, 3)
    assert sizes.modalities == (Modality("text", 2), Modality("image", 3))
    assert sizes.query_words == 0
    hash(sizes)


def test_the_fingerprint_sees_what_training_depends_on():
    corpus = make_corpus()
    assert corpus.sizes.length == corpus.splits["test"].lengths.max()  # and is kept
    assert corpus.fingerprint == make_corpus().fingerprint
    items = make_items()
    changed = [
        dataclasses.replace(items, prices=items.prices + 1),
        dataclasses.replace(items, present={**items.present, "text": np.ones(5, bool)}),
        dataclasses.replace(items, titles=items.ids),
        make_items(words=True),
    ]
    prints = {corpus.fingerprint}
    prints |= {make_corpus(items=each).fingerprint for each in changed}
    other = {**corpus.splits, "test": make_requests(labels=False)}
    prints.add(make_corpus(splits=other).fingerprint)
    assert len(prints) == 2 + len(changed)
