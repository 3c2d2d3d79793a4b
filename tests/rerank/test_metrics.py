"""Metrics against slow ones, scikit-learn's AUC, and arithmetic."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import ndcg_score, roc_auc_score

from rerank import metrics

NAN = float("nan")


def draw(seed, rows=12, places=7, ties=False):
    """Lists of 0 to 7 places, some without positives, some of positives alone."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, places + 1, rows)
    mask = np.arange(places)[None] < lengths[:, None]
    scores = rng.normal(size=mask.shape)
    if ties:
        scores = np.round(scores)
    rate = rng.choice([0.0, 0.3, 1.0], (rows, 1), p=[0.2, 0.6, 0.2])
    labels = (rng.random(mask.shape) < rate) & mask
    # Padding holds rubbish that must not count.
    return np.where(mask, scores, np.nan), labels.astype(float), mask


def slow_list(scores, labels, k):
    """Metrics of one list without padding or ties, place by place."""
    ranked = labels[np.argsort(-scores)]
    out = {"click": sum(ranked[:k])}
    if not ranked.any():
        return {**out, "ndcg": NAN, "map": NAN, "mrr": NAN}
    gain = sum(y / np.log2(i + 2) for i, y in enumerate(ranked[:k]))
    best = sum(1 / np.log2(i + 2) for i in range(min(k, int(ranked.sum()))))
    precision = sum(
        ranked[: i + 1].mean() for i in range(min(k, len(ranked))) if ranked[i]
    )
    return {
        **out,
        "ndcg": gain / best,
        "map": precision / ranked.sum(),
        "mrr": 1 / (1 + list(ranked).index(1)),
    }


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5, 9]))
def test_rank_metrics_equal_slow_ones(seed, k):
    scores, labels, mask = draw(seed)
    order = metrics.sort_places(scores, mask)
    placed, ranked = np.take_along_axis(mask, order, 1), metrics.in_order(labels, order)
    seen = {
        "click": metrics.total_at(ranked, placed, k),
        "ndcg": metrics.ndcg(ranked, k),
        "map": metrics.average_precision(ranked, k),
        "mrr": metrics.reciprocal_rank(ranked),
    }
    for row in range(len(mask)):
        there = mask[row]
        if there.any():
            slow = slow_list(scores[row, there], labels[row, there], k)
        else:
            slow = dict.fromkeys(seen, NAN)
        for name, column in seen.items():
            assert column.values[row] == pytest.approx(slow[name], nan_ok=True), name
            assert column.weights[row] == (not np.isnan(slow[name]))


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.booleans())
def test_auc_is_scikit_learns(seed, ties):
    scores, labels, mask = draw(seed, ties=ties)
    column = metrics.list_auc(scores, labels, mask)
    for row, there in enumerate(mask):
        if len(np.unique(labels[row, there])) < 2:
            assert np.isnan(column.values[row]) and column.weights[row] == 0
            continue
        expected = roc_auc_score(labels[row, there], scores[row, there])
        assert column.values[row] == pytest.approx(expected)
        assert column.weights[row] == there.sum()
    if len(np.unique(labels[mask])) == 2:
        whole = metrics.auc(scores[mask], labels[mask])
        assert whole == pytest.approx(roc_auc_score(labels[mask], scores[mask]))


def test_gauc_weighs_by_places():
    """A list of 2 ordered right, one of 4 ordered wrong: (2 * 1 + 4 * 0) / 6."""
    scores = np.array([[2.0, 1, 0, 0], [1, 2, 3, 4]])
    labels = np.array([[1.0, 0, 0, 0], [1, 0, 0, 0]])
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], bool)
    assert metrics.list_auc(scores, labels, mask).mean == pytest.approx(1 / 3)


def test_graded_gains_as_scikit_learn_has_them():
    rng = np.random.default_rng(0)
    gains, scores = rng.uniform(0, 2, (6, 9)), rng.normal(size=(6, 9))
    order = metrics.sort_places(scores, np.ones((6, 9), bool))
    for k in (1, 3, 10):
        seen = metrics.ndcg(metrics.in_order(gains, order), k).mean
        assert seen == pytest.approx(ndcg_score(gains, scores, k=k))


def test_one_positive_in_the_last_slot():
    labels = np.array([[0.0, 0, 0, 1]])
    scores, mask = -np.arange(4.0)[None], np.ones((1, 4), bool)
    order = metrics.sort_places(scores, mask)
    columns = metrics.order_metrics(
        order, mask, {"target": labels, "gains": labels, "clicks": labels}
    )
    means = {name: column.mean for name, column in columns.items()}
    assert means == pytest.approx(
        {
            "mrr": 0.25,
            **{f"{name}@{k}": 0.0 for name in ("ndcg", "map", "click") for k in (1, 3)},
            **{f"ndcg@{k}": 1 / np.log2(5) for k in (5, 10)},
            **{f"map@{k}": 0.25 for k in (5, 10)},
            **{f"click@{k}": 1.0 for k in (5, 10)},
        }
    )
    assert metrics.list_auc(scores, labels, mask).mean == 0.0


def test_lists_that_say_nothing():
    """An empty one, one of one, one of equal labels."""
    scores, mask = np.zeros((3, 2)), np.array([[0, 0], [1, 0], [1, 1]], bool)
    labels = np.array([[0.0, 0], [1, 0], [1, 1]])
    order = metrics.sort_places(scores, mask)
    ranked = metrics.in_order(labels, order)
    np.testing.assert_array_equal(metrics.ndcg(ranked, 2).values, [NAN, 1, 1])
    auc = metrics.list_auc(scores, labels, mask)
    assert np.isnan(auc.values).all() and np.isnan(auc.mean) and auc.coverage == 0
    assert metrics.ndcg(ranked, 2).coverage == pytest.approx(2 / 3)
    assert np.isnan(metrics.ndcg(np.zeros((0, 3)), 2).coverage)
    for column in (
        metrics.reciprocal_rank(np.zeros((2, 0))),
        metrics.ndcg(ranked[:1], 1),
    ):
        assert np.isnan(column.mean)


def test_ties_are_broken_by_the_seed_and_not_by_the_log():
    scores, mask = np.zeros((4000, 4)), np.ones((4000, 4), bool)
    order = metrics.sort_places(scores, mask)
    np.testing.assert_allclose(np.mean(order, axis=0), 1.5, atol=0.1)
    np.testing.assert_array_equal(order, metrics.sort_places(scores, mask))
    assert np.any(order != metrics.sort_places(scores, mask, seed=1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(bad):
    scores, mask = np.zeros((2, 3)), np.ones((2, 3), bool)
    scores[1, 2] = bad
    for measure in (metrics.list_auc, metrics.log_loss):
        with pytest.raises(ValueError, match="list 1 at place 2"):
            measure(scores, np.zeros((2, 3)), mask)
    with pytest.raises(ValueError, match="1 scores are not finite"):
        metrics.sort_places(scores, mask)
    mask[1, 2] = False
    metrics.sort_places(scores, mask)


def test_log_loss_is_scikit_learns():
    scores, labels, mask = draw(3)
    column = metrics.log_loss(scores, labels, mask)
    p = 1 / (1 + np.exp(-scores[mask]))
    assert column.mean == pytest.approx(sklearn_log_loss(labels[mask], p))
    assert column.weights.sum() == mask.sum()


def test_calibration_error_by_hand():
    """30 places in 15 bins of two: every p is 1/2, each bin's labels add up to 1 or 2."""
    labels = np.tile([0.0, 1, 1, 1], 8)[:30]
    expected = np.mean([abs(labels[2 * b : 2 * b + 2].mean() - 0.5) for b in range(15)])
    assert metrics.calibration_error(np.zeros(30), labels) == pytest.approx(expected)
    assert np.isnan(metrics.calibration_error(np.zeros(0), np.zeros(0)))


def test_probabilities_that_hold_have_a_small_calibration_error():
    rng = np.random.default_rng(0)
    logits = rng.normal(-2, 1, 200_000)
    labels = (rng.random(len(logits)) < 1 / (1 + np.exp(-logits))).astype(float)
    assert metrics.calibration_error(logits, labels) < 0.005
    assert metrics.calibration_error(logits + 1, labels) > 0.05


def test_snips_by_hand():
    """Half of 400 places agree at p = 1/2, the others at 1/4: weights 2 and 4."""
    p = np.repeat([0.5, 0.25], 200)
    rewards = np.repeat([1.0, 0.0], 200)
    seen = metrics.snips(np.ones(400, bool), rewards, p)
    assert seen.value == pytest.approx(2 / 6)
    assert seen.effective_size == pytest.approx(1200**2 / (200 * 4 + 200 * 16))
    clipped = metrics.snips(np.ones(400, bool), rewards, p, clip=2.0)
    assert (clipped.value, clipped.clipped) == (0.5, 0.5)


def test_snips_says_nothing_of_few_places():
    agrees = np.arange(1000) < 10
    seen = metrics.snips(agrees, np.ones(1000), np.full(1000, 0.1))
    assert np.isnan(seen.value) and seen.effective_size == pytest.approx(10)
    none = metrics.snips(np.zeros(3), np.ones(3), np.ones(3))
    assert np.isnan(none.value) and none.effective_size == 0
    with pytest.raises(ValueError, match="propensities"):
        metrics.snips(agrees, np.ones(1000), np.zeros(1000))


def test_snips_finds_the_value_of_another_policy():
    rng = np.random.default_rng(0)
    logging, values = np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.2, 0.7])
    shown = rng.choice(3, 40_000, p=logging)
    rewards = (rng.random(len(shown)) < values[shown]).astype(float)
    target = np.array([0.1, 0.1, 0.8])
    seen = metrics.snips(target[shown], rewards, logging[shown])
    assert seen.value == pytest.approx(target @ values, abs=0.02)


def test_a_random_order_has_the_mean_of_all_orders():
    gains = np.array([[3.0, 0.0, 1.0, 0.0], [1.0, 0.0, 2.0, 0.5], [0.0, 0.0, 0.0, 0.0]])
    mask = np.array([[True, True, True, False], [True] * 4, [True] * 4])
    for k in (1, 2, 10):
        column = metrics.ndcg_of_chance(gains, mask, k)
        for row, count in ((0, 3), (1, 4)):
            orders = itertools.permutations(gains[row, :count])
            every = [metrics.ndcg(np.array([order]), k).mean for order in orders]
            assert column.values[row] == pytest.approx(np.mean(every))
        assert np.isnan(column.values[2]) and column.weights[2] == 0
