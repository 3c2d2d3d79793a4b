"""What heads make of the numbers of their layer, against scipy."""

import jax
import numpy as np
import pytest
from scipy import stats

from common.parallel.devices import SINGLE
from forecast.config import ModelConfig, Sizes
from forecast.heads import FLOOR, make_head

SIZES = Sizes(2, 0, 0, 0, (), (1,), 1, 1, missing=False)
RAW = np.array([[-30.0, 0.0, 3.0], [1.0, 2.0, 20.0]], np.float32)  # of two series
SOFT = np.log1p(np.exp(RAW.astype(float))) + FLOOR
SCALE = np.array([9.0, 0.25], np.float32)
X = np.array([3.0, 4.0], np.float32)  # counts are these times the scale: 27 and 1


HIDDEN = np.zeros((1, 4), np.float32)  # so that the layer gives its bias


def run(kind, bias, method, *arrays):
    head = make_head(kind, ModelConfig(), SIZES, shared=False, devices=SINGLE)
    dense = {"kernel": np.zeros((4, bias.size)), "bias": bias.ravel()}
    params = {"params": {"dense": jax.tree.map(np.float32, dense)}}
    return jax.jit(lambda *given: head.apply(params, *given, method=method))(*arrays)


def size_of_counts():
    mean, dispersion = SCALE * SOFT[:, 0], SOFT[:, 1] / np.sqrt(SCALE)
    return stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean)).logpmf([27, 1])


EXPECTED = {
    "normal": lambda: stats.norm(RAW[:, 0], SOFT[:, 1]).logpdf(X),
    "student_t": lambda: stats.t(2 + SOFT[:, 2], RAW[:, 0], SOFT[:, 1]).logpdf(X),
    "negative_binomial": size_of_counts,
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_densities_of_series_have_the_parameters_that_the_layer_gives(kind):
    count = 3 if kind == "student_t" else 2
    seen = np.array([[[True, False]]])
    for observed in (seen, ~seen):
        arrays = HIDDEN[:, None], X[None, None], observed, SCALE[None], False
        found = run(kind, RAW[:, :count], "log_prob", *arrays)
        expected = EXPECTED[kind]()[observed[0, 0]]
        np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_counts_are_drawn_times_the_scale():
    keys = jax.random.split(jax.random.key(0), 4000)
    arrays = np.repeat(HIDDEN, 4000, 0), keys, np.repeat(SCALE[None], 4000, 0)
    raw = np.array([[0.0, -2.0], [3.0, 1.0]], np.float32)
    counts = np.asarray(run("negative_binomial", raw, "sample", *arrays)) * SCALE
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-4)
    mean, dispersion = SCALE * np.log1p(np.exp(raw[:, 0])), np.log1p(np.exp(raw[:, 1]))
    variance = mean + dispersion / np.sqrt(SCALE) * mean**2
    error = (counts.mean(0) - mean) / np.sqrt(variance / 4000)
    assert (np.abs(error) < 3).all()
    np.testing.assert_allclose(counts.var(0), variance, rtol=0.15)
