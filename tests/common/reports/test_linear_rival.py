import math

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.reports import linear_rival, page
from common.tables.schema import Attribute, Schema

SCHEMA = Schema(
    attributes=(
        Attribute("metal", "categorical", ("metal",)),
        Attribute("grams", "continuous", ("grams",)),
        Attribute("title", "text", ("title",)),
    )
)


def test_words_and_pairs_carry_their_tf_idf():
    texts = ["Gold ring", "gold RING!", "old coin", None, "gold"]
    found = linear_rival.word_features(texts, np.arange(3), 10).toarray()
    # Terms of two or more of the three training texts: gold, gold ring, ring. Each
    # stands in two, so their weights are equal.
    third = 1 / math.sqrt(3)
    assert found == pytest.approx(
        np.array([[third] * 3, [third] * 3, [0] * 3, [0] * 3, [1, 0, 0]])
    )


def test_chinese_is_read_by_characters_and_pairs():
    found = linear_rival.word_features(["金戒指", "金项链", "银"], np.arange(2), 10)
    assert found.shape == (3, 1)  # 金
    assert found.toarray()[:, 0] == pytest.approx([1, 1, 0])


@pytest.mark.parametrize("texts", [["", None], ["gold", "ring"], ["!", "?"]])
def test_texts_without_a_word_in_common_have_no_features(texts):
    found = linear_rival.word_features(texts, np.arange(2), 10)
    assert found.shape == (2, 1) and found.nnz == 0


def frame_of(rows):
    return pd.DataFrame(rows, columns=["metal", "grams", "title"])


def test_attributes_are_one_hot_or_standardised():
    frame = frame_of([["gold", 1.0, ""], ["tin", 3.0, ""], [None, np.nan, ""]])
    found = linear_rival.attribute_features(frame, SCHEMA, np.arange(2)).toarray()
    # grams, whether they are missing, metal: unknown, missing, gold, tin.
    assert found == pytest.approx(
        np.array([[-1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, 1], [0, 1, 0, 1, 0, 0]])
    )


def test_a_typing_error_bends_nothing():
    frame = frame_of([["tin", x, ""] for x in (1.0, 2.0, 1e30)])
    found = linear_rival.attribute_features(frame, SCHEMA, np.arange(2))
    assert abs(found).max() == 10


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (SCHEMA, True),
        (SCHEMA, False),
        (Schema(attributes=SCHEMA.attributes[2:]), True),  # nothing but a title
    ],
)
def test_features_stand_side_by_side(schema, words):
    frame = frame_of([["gold", 1.0, "a ring"], ["tin", 3.0, "a ring"]])
    found = linear_rival.features(
        frame, schema, np.arange(2), words=words, attributes=True
    )
    columns = 6 if len(schema.attributes) > 1 else 0
    assert found.shape == (2, columns + (3 if words else 0))


def test_words_need_a_column_of_texts():
    schema = Schema(attributes=SCHEMA.attributes[:2])
    with pytest.raises(UserError, match='the kind "text"'):
        linear_rival.features(
            frame_of([]), schema, np.arange(0), words=True, attributes=True
        )


def test_scikit_learn_is_asked_for(monkeypatch):
    monkeypatch.setattr(linear_rival, "is_installed", lambda: False)
    with pytest.raises(UserError, match=r"pip install -e '\.\[rivals\]'"):
        linear_rival.features(
            frame_of([]), SCHEMA, np.arange(0), words=True, attributes=True
        )


ROWS = {
    "train": np.arange(0, 400),
    "validation": np.arange(400, 500),
    "test": np.arange(500, 700),
}


@pytest.fixture(name="titles", scope="module")
def some_titles():
    """Texts among whose words one tells the class: (features, class)."""
    rng = np.random.default_rng(0)
    words = np.array([f"noise{number}" for number in range(30)])
    labels = rng.integers(0, 3, 700)
    telling = np.array(["glass", "silver", "gold"])
    texts = [
        " ".join(rng.permutation([telling[label], *rng.choice(words, 4)]))
        for label in labels
    ]
    return linear_rival.word_features(texts, ROWS["train"], 1000), labels


def test_the_telling_word_is_found(titles):
    values, labels = titles
    scores = linear_rival.class_scores(values, labels, ROWS, 3)
    np.testing.assert_allclose(np.exp(scores).sum(1), 1, rtol=1e-6)
    assert np.mean(scores.argmax(1) == labels[ROWS["test"]]) > 0.97


def test_the_price_is_told_by_words(titles):
    values, labels = titles
    wanted = 3.0 + labels
    found = linear_rival.log_prices(values, wanted, ROWS)
    assert np.abs(found - wanted[ROWS["test"]]).mean() < 0.1


def test_words_that_tell_nothing_are_not_believed(titles):
    """The strength comes from validation: the loss stays at that of the shares."""
    values, _ = titles
    labels = np.random.default_rng(1).integers(0, 3, 700)
    scores = linear_rival.class_scores(values, labels, ROWS, 3)
    loss = -scores[np.arange(200), labels[ROWS["test"]]].mean()
    assert loss == pytest.approx(math.log(3), abs=0.03)
    wanted = np.random.default_rng(2).normal(size=700)
    found = linear_rival.log_prices(values, wanted, ROWS)
    assert np.std(found) < 0.5


def test_classes_without_training_rows_come_last(titles):
    values, labels = titles
    scores = linear_rival.class_scores(values, labels + 1, ROWS, 5)
    assert np.all(scores[:, [0, 4]] < scores[:, 1:4].min())
    one = linear_rival.class_scores(values, np.full(700, 2), ROWS, 4)
    assert one.shape == (200, 4) and np.all(one.argmax(1) == 2)


def test_nothing_to_read_leaves_the_shares_and_the_mean():
    values = linear_rival.word_features([""] * 700, ROWS["train"], 10)
    rng = np.random.default_rng(0)
    labels = (rng.random(700) < 0.25).astype(int)
    share = labels[:400].mean()
    scores = linear_rival.class_scores(values, labels, ROWS, 2)
    np.testing.assert_allclose(np.exp(scores[:, 1]), share, rtol=1e-3)
    found = linear_rival.log_prices(values, labels.astype(float), ROWS)
    np.testing.assert_allclose(found, share)


@pytest.mark.parametrize(
    ("top3", "male", "verdict"),
    [
        (0.5, 0.6, "ican beats it."),
        (0.4, 0.6, "ican does not beat it in top-3 (0.400)."),
        (0.41, 0.6, "ican does not beat it in top-3 (0.410)."),  # as good
        (0.3, 0.8, "ican does not beat it in top-3 (0.300) and MALE (0.800)."),
    ],
)
def test_one_line_says_whether_the_network_is_worth_it(top3, male, verdict):
    line = linear_rival.describe(
        "ican", {"top-3": (top3, 0.41, True), "MALE": (male, 0.7, False)}
    )
    assert line == f"linear rival without a photo: top-3 0.410, MALE 0.700; {verdict}"


def test_the_report_says_how_to_have_a_rival():
    (only,) = linear_rival.blocks("")
    assert isinstance(only, page.Text) and "pip install -e '.[rivals]'" in only.text
    first, about = linear_rival.blocks("linear rival: …")
    assert first.text == "Linear rival: …" and "no photo" in about.text
