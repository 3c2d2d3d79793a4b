import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from ican import metrics


def ratio(pair):
    return float(pair[0] / pair[1])


def random_rows(rows=200, zones=18, seed=0):
    rng = np.random.default_rng(seed)
    odds = np.exp(2 * rng.normal(size=(rows, zones)))
    probabilities = (odds / odds.sum(1, keepdims=True)).astype(np.float32)
    labels = rng.integers(0, zones, rows).astype(np.int32)
    points, logs = rng.normal(5, 1, (2, rows)).astype(np.float32)
    return probabilities, labels, points, np.exp(logs)


@pytest.mark.parametrize("k", metrics.TOP)
def test_top_k_against_scikit_learn(k):
    probabilities, labels, points, prices = random_rows()
    rows = (probabilities, labels, points, prices, np.ones(200, np.float32))
    found = metrics.zone_metrics(*map(jnp.asarray, rows))
    expected = sklearn_metrics.top_k_accuracy_score(
        labels, probabilities, k=k, labels=range(18)
    )
    assert ratio(found[f"top{k}"]) == pytest.approx(expected)


def test_absolute_log_errors_by_hand():
    points = jnp.log(jnp.array([100.0, 100.0, 100.0]))
    errors = metrics.absolute_log_errors(points, jnp.array([50.0, 300.0, 0.0]))
    np.testing.assert_allclose(errors, [math.log(2), math.log(3), 0.0], rtol=1e-6)


def test_all_metrics_against_numpy():
    probabilities, labels, points, prices = random_rows()
    rows = (probabilities, labels, points, prices, np.ones(200, np.float32))
    found = metrics.zone_metrics(*map(jnp.asarray, rows))
    elected = probabilities.argmax(1)
    errors = abs(points - np.log(prices))
    assert ratio(found["zone_distance"]) == pytest.approx(
        sklearn_metrics.mean_absolute_error(labels, elected)
    )
    assert ratio(found["male"]) == pytest.approx(errors.mean(), rel=1e-5)
    assert ratio(found["top1"]) == pytest.approx(np.mean(elected == labels))
    counts, totals = found["confusion"]
    wanted = sklearn_metrics.confusion_matrix(labels, elected, labels=range(18))
    np.testing.assert_array_equal(counts, wanted)
    np.testing.assert_array_equal(totals, wanted.sum(1, keepdims=True))


def test_metrics_of_parts_with_padding_add_up_to_the_whole():
    probabilities, labels, points, prices = random_rows(13)
    program = jax.jit(metrics.zone_metrics)
    filled = ((probabilities, np.nan), (labels, 0), (points, np.nan), (prices, 0))

    def part(start, stop, rows):
        padded = []
        # What stands in padding rows must not matter.
        for x, bad in filled:
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
