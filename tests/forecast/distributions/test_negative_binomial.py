import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from forecast.distributions.negative_binomial import NegativeBinomial
from forecast.heads import FLOOR

RNG = np.random.default_rng(0)
MEAN = np.exp(RNG.normal(size=(5, 4)) + 1)
DISPERSION = np.exp(RNG.normal(size=(5, 4)) - 1)
X = RNG.poisson(MEAN).astype(float)
OBSERVED = RNG.random((5, 4)) < 0.6
LOG_PROB = jax.jit(NegativeBinomial.log_prob)
SAMPLE = jax.jit(NegativeBinomial.sample)
GRADIENT = jax.jit(jax.grad(lambda given, x, seen: given.log_prob(x, seen).sum()))


def log_pmf(x, mean, dispersion):
    x, mean, dispersion = (np.float64(leaf) for leaf in (x, mean, dispersion))
    return stats.nbinom.logpmf(x, 1 / dispersion, 1 / (1 + dispersion * mean))


def test_log_probabilities_are_scipys_and_0_where_nothing_is_observed():
    with jax.enable_x64(True):
        given = NegativeBinomial(MEAN, DISPERSION)
        expected = log_pmf(X, MEAN, DISPERSION)
        found = LOG_PROB(given, np.where(OBSERVED, X, np.nan), OBSERVED)
        np.testing.assert_allclose(found, np.where(OBSERVED, expected, 0), rtol=1e-10)


def test_float32_keeps_its_digits_and_gradients():
    grid = np.meshgrid(
        [1e-3, 1.0, 40.0, 3e3], [1e-4, 0.1, 30.0], [0, 0.5, 1, 1.5, 4], indexing="ij"
    )
    mean, dispersion, ratio = (np.float32(axis.ravel()) for axis in grid)
    x = np.round(mean * ratio)
    given = NegativeBinomial(mean, dispersion)
    found = LOG_PROB(given, x, np.ones_like(x, bool))
    error = np.abs(found - log_pmf(x, mean, dispersion))
    assert (error <= 1e-5 * np.abs(found) + 2e-6 * (10 + x)).all()
    by_mean, by_dispersion = GRADIENT(given, x, np.ones(len(x), bool))
    expected = (x - mean) / (mean + dispersion * mean**2)
    np.testing.assert_allclose(by_mean, expected, rtol=1e-2, atol=1e-3)
    assert np.isfinite(by_dispersion).all()


def test_gradients_see_what_is_observed_alone():
    x = np.where(OBSERVED, X, np.nan).astype(np.float32)
    given = jax.tree.map(np.float32, NegativeBinomial(MEAN, DISPERSION))
    gradient = GRADIENT(given, x, OBSERVED)
    for leaf in gradient:
        assert np.isfinite(leaf).all()
        np.testing.assert_array_equal(np.asarray(leaf)[~OBSERVED], 0)
        assert np.abs(np.asarray(leaf)[OBSERVED]).min() > 0


def test_counts_follow_the_distribution():
    rows = 4000
    mean = np.tile(np.float32([[0.7, 30.0]]), (rows, 1))
    dispersion = np.tile(np.float32([[1.5, 0.2]]), (rows, 1))
    keys = jax.random.split(jax.random.key(0), rows)
    drawn = np.asarray(SAMPLE(NegativeBinomial(mean, dispersion), keys))
    for series in range(2):
        m, a = float(mean[0, series]), float(dispersion[0, series])
        known = stats.nbinom(1 / a, 1 / (1 + a * m))
        bounds = np.unique(known.ppf(np.linspace(0, 1, 11)[1:-1]))
        expected = rows * np.diff([0, *known.cdf(bounds), 1])
        found = np.bincount(np.searchsorted(bounds, drawn[:, series]), minlength=10)
        found = found[: len(expected)]
        assert found.sum() == rows
        assert stats.chisquare(found, expected).pvalue > 0.01


def test_a_row_is_drawn_from_its_key_alone():
    given = jax.tree.map(np.float32, NegativeBinomial(MEAN, DISPERSION))
    keys = jax.random.split(jax.random.key(1), 5)
    whole = SAMPLE(given, keys)
    part = SAMPLE(jax.tree.map(lambda leaf: leaf[2:4], given), keys[2:4])
    np.testing.assert_array_equal(part, whole[2:4])
    assert len(np.unique(whole, axis=0)) == 5


def test_extremes_give_counts():
    given = NegativeBinomial(
        jnp.array([FLOOR, 1e-4, 1e6, 1e12]), jnp.array([1e4, FLOOR, 1e3, FLOOR])
    )
    drawn = np.asarray(SAMPLE(given, jax.random.key(0)))
    assert np.isfinite(drawn).all() and (drawn >= 0).all()
    np.testing.assert_array_equal(drawn, np.round(drawn))
    assert drawn[3] == pytest.approx(1e9, rel=1e-3)  # the largest rate
