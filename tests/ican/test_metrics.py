import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from ican import metrics


def ratio(pair):
    return float(pair[0] / pair[1])


def random_rows(rows=200, zones=18, seed=0):
    rng = np.random.default_rng(seed)
    odds = np.exp(2 * rng.normal(size=(rows, zones)))
    probabilities = (odds / odds.sum(1, keepdims=True)).astype(np.float32)
    labels = rng.integers(0, zones, rows).astype(np.int32)
    prices = np.exp(rng.normal(5, 1, rows)).astype(np.float32)
    return probabilities, labels, prices


def test_ranks_by_hand_ties_to_the_lower_label():
    scores = jnp.array([[0.1, 0.4, 0.4, 0.1], [0.1, 0.4, 0.4, 0.1], [1.0, 1, 1, 1]])
    ranks = metrics.label_ranks(scores, jnp.array([1, 2, 3]))
    assert ranks.tolist() == [0, 1, 3]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=6, max_size=6), st.integers(0, 5))
def test_ranks_are_places_in_a_stable_sort(row, label):
    order = sorted(range(6), key=lambda j: (-row[j], j))
    ranks = metrics.label_ranks(
        jnp.array([row], jnp.float32), jnp.array([label], jnp.int32)
    )
    assert ranks.tolist() == [order.index(label)]


@pytest.mark.parametrize("k", metrics.TOP)
def test_top_k_against_scikit_learn(k):
    probabilities, labels, _ = random_rows()
    hits = metrics.label_ranks(jnp.asarray(probabilities), jnp.asarray(labels)) < k
    expected = sklearn_metrics.top_k_accuracy_score(
        labels, probabilities, k=k, labels=range(18)
    )
    assert float(hits.mean()) == pytest.approx(expected)


def test_confusion_against_scikit_learn():
    probabilities, labels, _ = random_rows()
    mask = np.ones(200)
    mask[150:] = 0
    found = metrics.confusion(
        jnp.asarray(probabilities), jnp.asarray(labels), jnp.asarray(mask)
    )
    expected = sklearn_metrics.confusion_matrix(
        labels[:150], probabilities[:150].argmax(1), labels=range(18)
    )
    np.testing.assert_array_equal(found, expected)


def test_log_point_by_hand():
    references = np.log([100.0, 200.0, 800.0])
    point = metrics.log_point(jnp.array([[0.5, 0.25, 0.25]]), references)
    # 100^0.5 * 200^0.25 * 800^0.25 = 10 * 400^0.5 = 200.
    assert float(jnp.exp(point[0])) == pytest.approx(200.0, rel=1e-5)


def test_absolute_log_errors_by_hand():
    points = jnp.log(jnp.array([100.0, 100.0, 100.0]))
    errors = metrics.absolute_log_errors(points, jnp.array([50.0, 300.0, 0.0]))
    np.testing.assert_allclose(errors, [math.log(2), math.log(3), 0.0], rtol=1e-6)


def test_all_metrics_against_numpy():
    probabilities, labels, prices = random_rows()
    references = np.linspace(3, 7, 18)
    found = metrics.zone_metrics(
        *map(jnp.asarray, (probabilities, labels, prices, np.ones(200, np.float32))),
        reference_log_prices=references,
    )
    elected = probabilities.argmax(1)
    errors = abs(probabilities @ references - np.log(prices))
    assert ratio(found["zone_distance"]) == pytest.approx(
        sklearn_metrics.mean_absolute_error(labels, elected)
    )
    assert ratio(found["male"]) == pytest.approx(errors.mean(), rel=1e-5)
    assert ratio(found["top1"]) == pytest.approx(np.mean(elected == labels))
    for j in range(18):
        rows = labels == j
        sums, counts = found["zone_male"]
        assert counts[j] == rows.sum()
        assert float(sums[j]) == pytest.approx(errors[rows].sum(), rel=1e-4)
        assert found["zone_top1"][0][j] == (elected[rows] == j).sum()
    counts, totals = found["confusion"]
    np.testing.assert_array_equal(counts.sum(1, keepdims=True), totals)
    assert counts.sum() == 200


def test_metrics_of_parts_with_padding_add_up_to_the_whole():
    probabilities, labels, prices = random_rows(13)
    references = np.linspace(3, 7, 18)
    program = jax.jit(
        lambda *args: metrics.zone_metrics(*args, reference_log_prices=references)
    )

    def part(start, stop, rows):
        padded = []
        # What stands in padding rows must not matter.
        for x, bad in ((probabilities, np.nan), (labels, 0), (prices, 0)):
            fill = np.full((rows - (stop - start), *x.shape[1:]), bad, x.dtype)
            padded.append(jnp.asarray(np.concatenate([x[start:stop], fill])))
        mask = np.arange(rows) < stop - start
        return program(*padded, jnp.asarray(mask, jnp.float32))

    whole = part(0, 13, 13)
    summed = jax.tree.map(lambda *x: sum(x), part(0, 7, 7), part(7, 13, 7))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        summed,
        whole,
    )
