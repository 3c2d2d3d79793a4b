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
from forecast.distributions.positive import positive
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

    @classmethod
    def from_raw(cls, raw_mean: jax.Array, raw_dispersion: jax.Array):
        """From the outputs [..., D] of a network, both made positive."""
        return cls(positive(raw_mean), positive(raw_dispersion))

    def scaled(self, by: jax.Array) -> "NegativeBinomial":
        """Mean by m and dispersion a / sqrt(by), for by [..., D] above 0.

        Counts times a number are no counts: this is DeepAR's rule (section 3.3), under
        which larger series are relatively less dispersed.
        """
        return NegativeBinomial(by * self.mean, self.dispersion / jnp.sqrt(by))

    def log_prob(self, x: jax.Array, observed: jax.Array | None = None) -> jax.Array:
        """Log-probabilities.

        Args:
          x: [..., D] counts; of any value, NaN too, where they aren't observed.
          observed: bool [..., D], all if None.

        Returns:
          [..., D], 0 where x isn't observed.
        """
        x = x if observed is None else jnp.where(observed, x, 0.0)
        n, odds = 1 / self.dispersion, self.dispersion * self.mean
        choose = -log_beta(x + 1, n) - jnp.log(x + n)
        found = choose - x * jnp.log1p(1 / odds) - n * jnp.log1p(odds)
        return found if observed is None else jnp.where(observed, found, 0.0)

    def sample(self, keys: jax.Array) -> jax.Array:
        """Counts, as floats.

        Args:
          keys: [...], one a row.

        Returns:
          [..., D].
        """
        return draw_rows(_draw_counts, keys, self.mean, self.dispersion)


def _draw_counts(key: jax.Array, mean: jax.Array, dispersion: jax.Array) -> jax.Array:
    first, second = jax.random.split(key)
    gamma = jax.random.gamma(first, 1 / dispersion, mean.shape, mean.dtype)
    rate = jnp.minimum(gamma * dispersion * mean, _MOST)
    return jax.random.poisson(second, rate, mean.shape).astype(mean.dtype)
