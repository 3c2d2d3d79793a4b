"""Dropout whose mask is the same however the batch is spread over devices."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.parallel.devices import SINGLE, Devices


class Dropout(nn.Module):
    """Zeroes entries with probability `rate` and scales the rest by 1 / (1 - rate).

    The axis in front must be the batch. Draws from the rng stream "dropout".

    Attributes:
      rate: probability of a zero, in [0, 1).
      devices: what the batch is spread over.
    """

    rate: float
    devices: Devices = SINGLE

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Applies dropout to x [B, ...] when `train`, else returns x."""
        if not train or self.rate == 0.0:
            return x
        key = self.make_rng("dropout")
        keep = self.devices.random_mask(key, 1.0 - self.rate, x.shape)
        return jnp.where(keep, x / (1.0 - self.rate), jnp.zeros_like(x))
