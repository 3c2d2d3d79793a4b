"""Independent normals.

log p(x_d) = -z_d^2 / 2 - log s_d - log(2 pi) / 2,   z_d = (x_d - m_d) / s_d
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Normal(NamedTuple):
    """N(mean, scale^2), entry by entry.

    Attributes:
      mean: [..., D].
      scale: [..., D], standard deviations, above 0.
    """

    mean: jax.Array
    scale: jax.Array

    def log_prob(self, x: jax.Array, observed: jax.Array) -> jax.Array:
        """Log-densities [..., D] of x [..., D], 0 where it isn't observed."""
        # Chosen before it is squared: a NaN there would be one in the gradient.
        x = jnp.where(observed, x, self.mean)
        z = (x - self.mean) / self.scale
        density = -jnp.square(z) / 2 - jnp.log(self.scale) - math.log(2 * math.pi) / 2
        return jnp.where(observed, density, 0.0)

    def sample(self, noise: jax.Array) -> jax.Array:
        """mean + scale noise, for standard normal noise [..., D]."""
        return self.mean + self.scale * noise
