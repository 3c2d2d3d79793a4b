"""What is taken away tells nothing, and the rest stays."""

import numpy as np
import pytest

from common.training import workdirs
from rerank import data, importance


@pytest.fixture(scope="module")
def corpus(small_config):
    return data.load(small_config)


def test_hidden_images_are_nested_and_absent(corpus):
    items, before = corpus.items, corpus.items.present["image"]
    whole = before.mean()
    assert whole < 1
    for share in importance.SHARES:
        bits = importance.hide(items, "image", share).present["image"]
        assert not (bits & ~before).any()
        assert bits.mean() == pytest.approx(whole * (1 - share), abs=0.05)
        before = bits
    assert not bits.any()
    assert (importance.hide(items, "image", 1.0).present["text"]).all()


def test_exchanged_parts_keep_their_values(corpus):
    test = corpus.splits["test"]
    found = {part: rest for part, *rest in importance._exchanged(corpus, test)}
    assert set(found) == {"history", "context", "price"}
    assert not len(found["history"][1].history)
    context = found["context"][1].context
    assert (context != test.context).any()
    np.testing.assert_array_equal(np.sort(context, 0), np.sort(test.context, 0))
    items = found["price"][0]
    shown = np.unique(test.items)
    column = items.fields[shown, 0]
    assert (column != corpus.items.fields[shown, 0]).any()
    np.testing.assert_array_equal(
        np.sort(column), np.sort(corpus.items.fields[shown, 0])
    )
    rest = np.setdiff1d(np.arange(len(items)), shown)
    np.testing.assert_array_equal(items.fields[rest], corpus.items.fields[rest])


def test_a_run_says_what_each_part_is_worth(workdir):
    values = workdirs.read_metrics(workdir)
    lost = {name for name in values if name.startswith("test/lost/")}
    parts = ("text", "image", "history", "context", "price")
    assert lost == {f"test/lost/{part}" for part in parts}
    gone = values["test/hidden/image/1"]
    assert values["test/lost/image"] == pytest.approx(values["test/gauc"] - gone)
