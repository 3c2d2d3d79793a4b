import jax
import numpy as np
from scipy import stats

from forecast.distributions.student_t import StudentT

RNG = np.random.default_rng(0)
MEAN, SCALE = RNG.normal(size=(5, 4)), np.exp(RNG.normal(size=(5, 4)))
DF = 2 + np.exp(2 * RNG.normal(size=(5, 4)))
X = MEAN + 4 * SCALE * RNG.normal(size=(5, 4))
OBSERVED = RNG.random((5, 4)) < 0.6
LOG_PROB, SAMPLE = jax.jit(StudentT.log_prob), jax.jit(StudentT.sample)
GRADIENT = jax.jit(jax.grad(lambda given, x, seen: given.log_prob(x, seen).sum()))


def test_log_densities_are_scipys_and_0_where_nothing_is_observed():
    with jax.enable_x64(True):
        given = StudentT(MEAN, SCALE, DF)
        expected = stats.t.logpdf(X, DF, MEAN, SCALE)
        found = LOG_PROB(given, np.where(OBSERVED, X, np.nan), OBSERVED)
        np.testing.assert_allclose(found, np.where(OBSERVED, expected, 0), rtol=1e-10)


def test_float32_keeps_its_digits_and_gradients_whatever_the_degrees_of_freedom():
    df = np.repeat(np.float32([[2.1, 30, 1e3, 1e5, 1e7]]), 25, 0)
    x = np.repeat(np.linspace(-6, 6, 25, dtype=np.float32)[:, None], 5, 1)
    given = StudentT(np.zeros_like(x), np.ones_like(x), df)
    found = LOG_PROB(given, x, np.ones_like(x, bool))
    np.testing.assert_allclose(found, stats.t.logpdf(x, df.astype(float)), rtol=1e-5)
    step = 1e-3 * df.astype(float)
    slope = (stats.t.logpdf(x, df + step) - stats.t.logpdf(x, df - step)) / (2 * step)
    gradient = GRADIENT(given, x, np.ones_like(x, bool)).df
    np.testing.assert_allclose(gradient, slope, rtol=0.02, atol=1e-5)


def test_gradients_see_what_is_observed_alone():
    x = np.where(OBSERVED, X, np.nan).astype(np.float32)
    given = jax.tree.map(np.float32, StudentT(MEAN, SCALE, DF))
    gradient = GRADIENT(given, x, OBSERVED)
    z = (X - MEAN) / SCALE
    expected = np.where(OBSERVED, (DF + 1) * z / (DF + z**2) / SCALE, 0)
    np.testing.assert_allclose(gradient.mean, expected, rtol=1e-4)
    for leaf in gradient:
        np.testing.assert_array_equal(np.asarray(leaf)[~OBSERVED], 0)


def test_draws_follow_the_distribution():
    rows = 2000
    parameters = np.array([[1.0, -2.0]]), np.array([[0.5, 3.0]]), np.array([[2.5, 9.0]])
    given = StudentT(*(np.repeat(p, rows, 0).astype(np.float32) for p in parameters))
    keys = jax.random.split(jax.random.key(0), rows)
    drawn = np.asarray(SAMPLE(given, keys))
    for series in range(2):
        mean, scale, df = (p[0, series] for p in parameters)
        known = stats.t(df, mean, scale)
        assert stats.kstest(drawn[:, series], known.cdf).pvalue > 0.01
    assert abs(stats.spearmanr(drawn[:, 0], drawn[:, 1]).statistic) < 0.06


def test_a_row_is_drawn_from_its_key_alone():
    given = jax.tree.map(np.float32, StudentT(MEAN, SCALE, DF))
    keys = jax.random.split(jax.random.key(1), 5)
    whole = SAMPLE(given, keys)
    part = SAMPLE(jax.tree.map(lambda leaf: leaf[2:4], given), keys[2:4])
    np.testing.assert_allclose(part, whole[2:4], rtol=1e-6)
    stacked = jax.tree.map(lambda leaf: leaf[:4].reshape(2, 2, 4), given)
    found = SAMPLE(stacked, keys[:4].reshape(2, 2))
    np.testing.assert_allclose(found.reshape(4, 4), whole[:4], rtol=1e-6)
