"""Student's t, moved and scaled, with a finite variance.

    log p(x) = -log B(1/2, v/2) - log(v) / 2 - log s - (v + 1)/2 log(1 + z^2 / v)
    z = (x - m) / s,   v degrees of freedom

The beta function keeps its digits in float32 where the difference of two log-gammas,
for large v, has none left. Variance: s^2 v / (v - 2).

Source of the parameters: Salinas et al. 2020, "DeepAR", as GluonTS has them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from forecast.distributions.log_beta import log_beta
from forecast.distributions.row_draws import draw_rows


class StudentT(NamedTuple):
    """t_df, times a scale, about a location; entry by entry.

    Attributes:
      mean: [..., D].
      scale: [..., D], above 0; not the standard deviation.
      df: [..., D], degrees of freedom, above 2.
    """

    mean: jax.Array
    scale: jax.Array
    df: jax.Array

    def log_prob(self, x: jax.Array, observed: jax.Array) -> jax.Array:
        """Log-densities [..., D] of x [..., D], 0 where it isn't observed."""
        x = jnp.where(observed, x, self.mean)
        z = (x - self.mean) / self.scale
        constant = (
            log_beta(jnp.full_like(self.df, 0.5), self.df / 2) + jnp.log(self.df) / 2
        )
        tail = (self.df + 1) / 2 * jnp.log1p(jnp.square(z) / self.df)
        density = -constant - jnp.log(self.scale) - tail
        return jnp.where(observed, density, 0.0)

    def sample(self, keys: jax.Array) -> jax.Array:
        """mean + scale N / sqrt(chi^2_df / df) [..., D], of keys [...], one a row."""
        normal, gamma = draw_rows(_draw_noise, keys, self.df)
        return self.mean + self.scale * normal / jnp.sqrt(2 * gamma / self.df)


def _draw_noise(key: jax.Array, df: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Standard normals and gammas of shape df / 2, both as df."""
    first, second = jax.random.split(key)
    normal = jax.random.normal(first, df.shape, df.dtype)
    return normal, jax.random.gamma(second, df / 2, df.shape, df.dtype)
