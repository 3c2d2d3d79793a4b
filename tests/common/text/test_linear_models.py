import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge

from common.tables.cells import TEXT
from common.tables.encoders import Encoders
from common.tables.schema import Attribute, Schema
from common.text import linear_models

RNG = np.random.default_rng(0)
ROWS, WORDS = 120, 30
X = sparse.csr_array(
    RNG.exponential(size=(ROWS, WORDS)) * (RNG.random((ROWS, WORDS)) < 0.2)
)
TRUTH = RNG.normal(size=(WORDS, 4))
SCORES = X @ TRUTH + RNG.gumbel(size=(ROWS, 4))
TARGETS = np.stack([SCORES.argmax(1), SCORES[:, :3].argmax(1)], 1)  # two classifiers
HALVES = [np.arange(80), np.arange(80, ROWS)]
SPLIT = [X[rows] for rows in HALVES]
CLASSES = [TARGETS[rows] for rows in HALVES]


def cross_entropy(kernel, bias, present, rows, targets):
    logits = (rows @ kernel + bias).reshape(-1, 2, 4)
    logits = np.where(present, logits, -np.inf)
    logits = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -np.take_along_axis(logits, targets[..., None], -1).mean()


@pytest.mark.parametrize("strength", [0.1, 1.0, 30.0])
def test_classes_are_those_of_logistic_regression(strength):
    present = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], float)  # none of class 3
    found = linear_models.fit_classes(
        SPLIT, CLASSES, present, [strength], tolerance=1e-13
    )
    kernel = found.kernel.reshape(WORDS, 2, 4)
    for place, classes in enumerate((4, 3)):
        peer = LogisticRegression(C=strength, tol=1e-9, max_iter=5000)
        peer.fit(SPLIT[0], CLASSES[0][:, place])
        np.testing.assert_allclose(kernel[:, place, :classes].T, peer.coef_, atol=1e-3)
        ours, its = found.bias.reshape(2, 4)[place, :classes], peer.intercept_
        np.testing.assert_allclose(ours - ours.mean(), its - its.mean(), atol=1e-3)
    assert not kernel[:, 1, 3].any()
    loss = cross_entropy(found.kernel, found.bias, present, SPLIT[1], CLASSES[1])
    np.testing.assert_allclose(found.loss, loss, rtol=1e-9)
    assert found.strength == strength


def test_weights_of_classes_are_weights_of_rows():
    weights = np.array([[2.0, 1.0, 0.5, 1.0]])
    targets = [each[:, :1] for each in CLASSES]
    found = linear_models.fit_classes(SPLIT, targets, weights, [1.0], tolerance=1e-13)
    peer = LogisticRegression(tol=1e-9, max_iter=5000)
    peer.fit(SPLIT[0], targets[0][:, 0], weights[0][targets[0][:, 0]])
    np.testing.assert_allclose(found.kernel.T, peer.coef_, atol=1e-3)
    # The prior: shares of the weight.
    mass = np.bincount(targets[0][:, 0]) * weights[0]
    items = weights[0][targets[1][:, 0]]
    prior = -(items * np.log(mass / mass.sum())[targets[1][:, 0]]).sum() / items.sum()
    np.testing.assert_allclose(found.prior, prior, rtol=1e-9)


def test_the_strength_is_that_of_the_best_validation_loss():
    present = np.ones((2, 4))
    present[1, 3] = 0
    each = [
        linear_models.fit_classes(SPLIT, CLASSES, present, [c], tolerance=1e-12)
        for c in (0.01, 0.3, 100.0)
    ]
    losses = [model.loss for model in each]
    assert min(losses) == losses[1]  # neither end
    found = linear_models.fit_classes(
        SPLIT, CLASSES, present, (0.01, 0.3, 100.0), tolerance=1e-12
    )
    assert found.strength == 0.3
    np.testing.assert_allclose(found.loss, losses[1], rtol=1e-4)
    assert found.helps and found.prior == each[0].prior


def test_words_that_tell_nothing_do_not_help():
    present = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], float)
    shuffled = [RNG.permutation(each) for each in CLASSES]
    found = linear_models.fit_classes(SPLIT, shuffled, present, [30.0])
    assert not found.helps and found.loss > found.prior


@pytest.mark.parametrize("strength", [0.1, 1.0, 30.0])
def test_numbers_are_those_of_ridge_regression(strength):
    numbers = [SCORES[rows, 0] + 7 for rows in HALVES]
    found = linear_models.fit_numbers(SPLIT, numbers, [strength])
    peer = Ridge(alpha=1 / strength).fit(SPLIT[0], numbers[0])
    np.testing.assert_allclose(found.kernel[:, 0], peer.coef_, atol=1e-3)
    np.testing.assert_allclose(found.bias, peer.intercept_, atol=1e-3)
    errors = peer.predict(SPLIT[1]) - numbers[1]
    np.testing.assert_allclose(found.loss, np.mean(errors**2), rtol=1e-3)
    prior = np.mean((numbers[1] - numbers[0].mean()) ** 2)
    np.testing.assert_allclose(found.prior, prior)


def test_rows_of_words_hold_all_texts_side_by_side():
    frame = pd.DataFrame(
        {
            "title": pd.Series(["gold ring", "gold", None], dtype=TEXT),
            "metal": pd.Series(["a", "b", "a"], dtype=TEXT),
            "note": pd.Series(["ok", "ok ok", "worn"], dtype=TEXT),
        }
    )
    schema = Schema(
        (
            Attribute("title", "text", ("title",)),
            Attribute("metal", "categorical", ("metal",)),
            Attribute("note", "text", ("note",)),
        )
    )
    fitted = Encoders.fit(frame, schema)
    arrays, spec = fitted.encode(frame), fitted.spec()
    rows = linear_models.word_rows(arrays, spec, np.array([2, 0]))
    first, second = (text.size for _, text, _ in spec.texts())
    assert rows.shape == (2, first + second)
    dense = rows.toarray()
    for place, row in enumerate((2, 0)):
        expected = np.zeros(first + second)
        for _, (_, text, columns) in enumerate(spec.texts()):
            start = 0 if text.name == "title" else first
            ids = arrays["word_ids"][row, columns]
            np.add.at(expected, start + ids, arrays["word_weights"][row, columns])
        np.testing.assert_array_equal(dense[place], expected)
    kernel, bias = np.arange(first + second)[:, None], np.array([7.0])
    model = linear_models.LinearModel(kernel, bias, 1.0, 0.5, 1.0)
    places = [place for place, _, _ in spec.texts()]
    wide = model.wide("wide_price", spec)
    assert list(wide) == [f"wide_price_{place}" for place in places]
    parts = [part["kernel"] for part in wide.values()]
    assert [len(part) for part in parts] == [first, second]
    assert parts[1][0, 0] == first
    output = model.output(3)
    assert (np.ones(3) @ output["kernel"] + output["bias"]).tolist() == [7.0]
