import jax
import numpy as np
import pytest
from scipy import stats

from forecast.distributions.support import dequantise, to_support


def test_noise_is_uniform_above_the_counts_and_rounding_down_takes_it_away():
    counts = np.random.default_rng(0).poisson(3, (40, 5, 6)).astype(np.float32)
    counts[3, 2, 1] = np.nan
    keys = jax.random.split(jax.random.key(0), 40)
    noisy = jax.jit(dequantise)(keys, counts)
    noise = np.asarray(noisy - counts)[~np.isnan(counts)]
    assert noise.min() >= 0 and noise.max() < 1
    assert stats.kstest(noise, "uniform").pvalue > 0.01
    np.testing.assert_array_equal(to_support(noisy, "count", True), counts)
    # A row's noise is of its key alone.
    np.testing.assert_array_equal(dequantise(keys[7:9], counts[7:9]), noisy[7:9])


@pytest.mark.parametrize(
    ("support", "dequantised", "expected"),
    [
        ("real", False, [-1.7, -0.2, 0.4, 1.6, 2.5]),
        ("non_negative", False, [0, 0, 0.4, 1.6, 2.5]),
        ("count", False, [0, 0, 0, 2, 2]),
        ("real", True, [-2.2, -0.7, -0.1, 1.1, 2.0]),
        ("non_negative", True, [0, 0, 0, 1.1, 2.0]),
        ("count", True, [0, 0, 0, 1, 2]),
    ],
)
def test_forecasts_are_brought_to_the_support(support, dequantised, expected):
    x = np.array([-1.7, -0.2, 0.4, 1.6, 2.5, np.nan], np.float32)
    found = np.asarray(to_support(x, support, dequantised))
    np.testing.assert_allclose(found, [*expected, np.nan], rtol=1e-6, atol=1e-6)
    assert support == "real" or not np.signbit(found[:-1]).any()
