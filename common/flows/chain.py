"""Maps one after the other.

    forward = f_n o ... o f_1,   log |det| = sum_i log |det f_i|

Cost: the sum of the parts'.
"""

from collections.abc import Sequence

import jax.numpy as jnp

from common.flows.bijector import Bijector


class Chain(Bijector):
    """A composition.

    Attributes:
      bijectors: the first is the one next to the data.
    """

    bijectors: Sequence[Bijector]

    def forward_and_log_det(self, x, condition, *, train=False):
        """See `Bijector`."""
        total = jnp.zeros(x.shape[:-1])
        for bijector in self.bijectors:
            x, log_det = bijector.forward_and_log_det(x, condition, train=train)
            total += log_det
        return x, total

    def inverse_and_log_det(self, u, condition):
        """See `Bijector`."""
        total = jnp.zeros(u.shape[:-1])
        for bijector in reversed(self.bijectors):
            u, log_det = bijector.inverse_and_log_det(u, condition)
            total += log_det
        return u, total
