"""A fixed permutation of the coordinates.

    u_i = x_{order_i},   x_{order_i} = u_i,   log |det| = 0

Cost: one gather. Between autoregressive maps it lets each coordinate come first once.
"""

import jax
import jax.numpy as jnp
import numpy as np

from common.flows.bijector import Bijector


class Permutation(Bijector):
    """Reorders the coordinates.

    Attributes:
      order: of all D coordinates.
    """

    order: tuple[int, ...]

    def forward_and_log_det(self, x, condition, *, train=False):
        """See `Bijector`."""
        del condition, train
        return _reorder(x, np.array(self.order))

    def inverse_and_log_det(self, u, condition):
        """See `Bijector`."""
        del condition
        return _reorder(u, np.argsort(self.order))


def _reorder(x: jax.Array, order: np.ndarray) -> tuple[jax.Array, jax.Array]:
    return x[..., order], jnp.zeros(x.shape[:-1])
