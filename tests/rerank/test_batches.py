import functools

import numpy as np
import pytest

from rerank import batches
from rerank.corpus.items import NONE
from tests.rerank.stores import make_items, make_requests, words_of


@pytest.mark.parametrize(
    ("length", "expected"),
    [(1, 8), (8, 8), (9, 16), (32, 32), (33, 50), (51, 100), (101, 150), (200, 200)],
)
def test_buckets(length, expected):
    assert batches.bucket(length) == expected


def test_a_batch_by_hand():
    items, requests = make_items(), make_requests()
    batch = batches.gather(items, requests, np.array([3, 2, 0]), 4, 2)
    np.testing.assert_array_equal(batch["mask"], [[1, 1, 0, 0], [0] * 4, [1, 1, 1, 0]])
    # Item 3 has the field .3 and stands at place 4 of all lists; then item 0.
    np.testing.assert_allclose(batch["fields"][0], [[0.3, 4], [0, 5], [0, 0], [0, 0]])
    np.testing.assert_array_equal(batch["category"][0], [1, 0, NONE, NONE])
    np.testing.assert_array_equal(batch["prices"][2], [1, 2, 0, 0])
    np.testing.assert_array_equal(batch["context"], [[3], [2], [0]])
    np.testing.assert_array_equal(batch["text"][0, :2], [[3, 30], [0, 0]])
    np.testing.assert_array_equal(batch["image"][2, 1], [-1, -1, -1])
    # [text, image]: item 3 has no text, item 1 no image, padding neither.
    np.testing.assert_array_equal(
        batch["present"][[0, 0, 0, 2], [0, 1, 2, 1]],
        [[False, True], [True, True], [False, False], [True, False]],
    )
    # Of the history (0, 1, 4) the newest two, newest last.
    np.testing.assert_array_equal(batch["history_mask"], [[1, 1], [1, 0], [0, 0]])
    np.testing.assert_array_equal(batch["history_category"][0], [1, 0])
    np.testing.assert_array_equal(batch["history_text"][0, :, 0], [1, 4])
    np.testing.assert_array_equal(batch["history_present"][1], [[0, 1], [0, 0]])
    np.testing.assert_array_equal(batch["clicks"][0], [1, 0, 0, 0])
    np.testing.assert_array_equal(batch["purchases"][0], [1, 0, 0, 0])


def test_padding_is_zero_everywhere():
    batch = batches.gather(make_items(words=True), make_requests(), np.arange(4), 8, 3)
    behind, behind_history = ~batch["mask"], ~batch["history_mask"]
    for name, values in batch.items():
        if name == "context":
            continue
        where = behind_history if name.startswith("history") else behind
        none = NONE if name.endswith("category") else 0
        assert (values[where] == none).all(), name


def test_words_of_items_and_queries():
    items = make_items(words=True)
    queries = words_of(["red", "hat", "", "coat"], items.words.encoder)
    batch = batches.gather(items, make_requests(words=queries), np.array([1, 3]), 2, 1)
    np.testing.assert_array_equal(batch["query_ids"], queries.ids[[1, 3]])
    np.testing.assert_array_equal(batch["text_ids"][0, 0], items.words.ids[4])
    np.testing.assert_array_equal(batch["history_text_ids"][1, 0], items.words.ids[4])
    assert "text" not in batch and batch["present"].shape == (2, 2, 2)


def test_requests_to_predict_have_no_labels():
    requests = make_requests(labels=False)
    batch = batches.gather(make_items(), requests, np.arange(2), 3, 1)
    assert not {"clicks", "purchases", "pins", "cap_labels"} & set(batch)


def test_what_binds_orders_is_read():
    pins = np.array([-1, 0, -1, -1, 1, -1], np.int32)
    requests = make_requests(pins=pins)
    batch = batches.gather(make_items(), requests, np.array([3, 0]), 4, 1, "brand")
    np.testing.assert_array_equal(batch["pins"], [[1, -1, -1, -1], [-1, 0, -1, -1]])
    np.testing.assert_array_equal(batch["cap_labels"], [[0, 0, -1, -1], [0, 0, 0, -1]])


def test_evaluation_pads_with_requests_that_have_no_candidates():
    gather = functools.partial(
        batches.gather, make_items(), make_requests(), length=3, history=1
    )
    made = list(batches.eval_batches(4, gather, batch_size=3))
    assert [len(batch["mask"]) for batch in made] == [3, 3]
    mask = np.concatenate([batch["mask"] for batch in made])
    np.testing.assert_array_equal(mask.sum(axis=1), [3, 1, 0, 2, 0, 0])
    clicks = np.concatenate([batch["clicks"] for batch in made])
    np.testing.assert_array_equal(clicks.sum(axis=1), [2, 0, 0, 1, 0, 0])
    assert made[0]["mask"].dtype == bool and made[0]["clicks"].dtype == np.float32


def test_every_bucket_up_to_a_length_is_named():
    assert batches.buckets_up_to(8) == [8]
    assert batches.buckets_up_to(33) == [8, 16, 32, 50]
    named = batches.buckets_up_to(180)
    assert named == [8, 16, 32, 50, 100, 150, 200]
    assert {batches.bucket(n) for n in range(1, 181)} == set(named)
