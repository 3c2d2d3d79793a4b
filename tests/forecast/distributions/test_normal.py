import jax
import numpy as np
from scipy import stats

from forecast.distributions.normal import Normal

RNG = np.random.default_rng(0)
MEAN, SCALE = RNG.normal(size=(2, 3, 4)), np.exp(RNG.normal(size=(2, 3, 4)))
X = MEAN + 2 * SCALE * RNG.normal(size=(2, 3, 4))
OBSERVED = RNG.random((2, 3, 4)) < 0.6
LOG_PROB = jax.jit(Normal.log_prob)


def test_log_densities_are_scipys_and_0_where_nothing_is_observed():
    with jax.enable_x64(True):
        normal = Normal(MEAN, SCALE)
        expected = stats.norm.logpdf(X, MEAN, SCALE)
        found = LOG_PROB(normal, np.where(OBSERVED, X, np.nan), OBSERVED)
        np.testing.assert_allclose(found, np.where(OBSERVED, expected, 0))


def test_gradients_see_what_is_observed_alone():
    x = np.where(OBSERVED, X, np.nan).astype(np.float32)
    given = jax.tree.map(np.float32, Normal(MEAN, SCALE))
    gradient = jax.jit(jax.grad(lambda normal: normal.log_prob(x, OBSERVED).sum()))(
        given
    )
    expected = np.where(OBSERVED, (X - MEAN) / SCALE**2, 0)
    np.testing.assert_allclose(gradient.mean, expected, rtol=1e-4)
    np.testing.assert_array_equal(np.asarray(gradient.scale)[~OBSERVED], 0)


def test_samples_are_scaled_noise():
    noise = RNG.normal(size=MEAN.shape).astype(np.float32)
    given = Normal(MEAN.astype(np.float32), SCALE.astype(np.float32))
    sampled = given.sample(noise)
    np.testing.assert_allclose(sampled, MEAN + SCALE * noise, rtol=1e-5)
