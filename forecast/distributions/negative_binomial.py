"""Counts with a mean m and a dispersion a: a Poisson whose rate is a gamma.

    rate ~ Gamma(shape 1/a, mean m),  x ~ Poisson(rate),  variance m + a m^2
    log p(x) = -log B(x + 1, n) - log(x + n) - x log(1 + 1 / (a m)) - n log(1 + a m)

with n = 1 / a. In float32 it keeps its digits down to the Poisson, at a = 0, where a
difference of log-gammas of n loses them.

Source: Salinas et al. 2020, "DeepAR", 3.1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from forecast.distributions.log_beta import log_beta
from forecast.distributions.row_draws import draw_rows

_MOST = 1e9  # rate of the Poisson, whose draws are int32


class NegativeBinomial(NamedTuple):
    """Negative binomials, entry by entry.

    Attributes:
      mean: [..., D], above 0.
      dispersion: [..., D], above 0.
    """

    mean: jax.Array
    dispersion: jax.Array

    def log_prob(self, x: jax.Array, observed: jax.Array) -> jax.Array:
        """Log-probabilities [..., D] of counts x [..., D], 0 where not observed."""
        x = jnp.where(observed, x, 0.0)
        n, odds = 1 / self.dispersion, self.dispersion * self.mean
        choose = -log_beta(x + 1, n) - jnp.log(x + n)
        found = choose - x * jnp.log1p(1 / odds) - n * jnp.log1p(odds)
        return jnp.where(observed, found, 0.0)

    def sample(self, keys: jax.Array) -> jax.Array:
        """Counts as floats [..., D], of keys [...], one a row."""
        return draw_rows(_draw_counts, keys, self.mean, self.dispersion)


def _draw_counts(key: jax.Array, mean: jax.Array, dispersion: jax.Array) -> jax.Array:
    first, second = jax.random.split(key)
    gamma = jax.random.gamma(first, 1 / dispersion, mean.shape, mean.dtype)
    rate = jnp.minimum(gamma * dispersion * mean, _MOST)
    return jax.random.poisson(second, rate, mean.shape).astype(mean.dtype)
