"""What every map of a flow can do: go both ways, and tell its log-determinant.

`forward` leads from data x to noise u, the way that densities are computed, and
`inverse` from noise to data, the way that is sampled:

    log p(x | c) = log p_u(forward(x; c)) + log |det d forward / d x|

All are conditioned on c, and some ignore it. Arrays are float32 or wider whatever the
precision of the network that makes c: exponentials and sums of logarithms stand here.
"""

import jax
from flax import linen as nn


class Bijector(nn.Module):
    """An invertible map of vectors [..., D], conditioned on vectors [..., C]."""

    def forward_and_log_det(
        self, x: jax.Array, condition: jax.Array, *, train: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """From data to noise.

        Args:
          x: [..., D].
          condition: [..., C].
          train: whether statistics of the batch are used, and followed.

        Returns:
          (u [..., D], log |det du/dx| [...]).
        """
        raise NotImplementedError

    def inverse_and_log_det(
        self, u: jax.Array, condition: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """From noise to data.

        Args:
          u: [..., D].
          condition: [..., C].

        Returns:
          (x [..., D], log |det dx/du| [...]).
        """
        raise NotImplementedError
