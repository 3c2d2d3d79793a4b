"""Affine coupling: one half of the coordinates moves and scales the other.

    u_kept = x_kept,   u_moved = (x_moved - t) exp(-s),   log |det du/dx| = - sum s
    s = tanh(net_s([c, x_kept])),   t = net_t([c, x_kept])

`kept` are every second coordinate. Of one coordinate there is nothing to keep: it is
moved by the condition alone where it is the one to move, else it stays.

Cost: two networks both ways, one pass. Source: Dinh et al. 2017, "Density estimation
using Real NVP", eq. 7 and 8 (which moves the other way round: data from noise).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from common.flows.bijector import Bijector
from common.flows.made import UNIFORM


class AffineCoupling(Bijector):
    """Moves every second coordinate by what the others and the condition say.

    Attributes:
      size: D.
      first_moves: whether coordinates 0, 2, 4 … move, else 1, 3, 5 ….
      hidden: width of the hidden layers.
      layers: hidden layers of each network.
    """

    size: int
    first_moves: bool = True
    hidden: int = 100
    layers: int = 3

    def setup(self):
        """Makes both networks."""
        first = 0 if self.first_moves else 1
        self.moved = np.arange(first, self.size, 2)
        self.kept = np.arange(1 - first, self.size, 2)
        if len(self.moved):
            widths = [self.hidden] * self.layers + [len(self.moved)]
            self.scale_net = [nn.Dense(w, kernel_init=UNIFORM) for w in widths]
            self.shift_net = [nn.Dense(w, kernel_init=UNIFORM) for w in widths]

    def forward_and_log_det(self, x, condition, *, train=False):
        """See `Bijector`."""
        del train
        if not len(self.moved):
            return x, jnp.zeros(x.shape[:-1])
        log_scale, shift = self._move(x[..., self.kept], condition)
        moved = (x[..., self.moved] - shift) * jnp.exp(-log_scale)
        return jnp.asarray(x).at[..., self.moved].set(moved), -log_scale.sum(-1)

    def inverse_and_log_det(self, u, condition):
        """See `Bijector`."""
        if not len(self.moved):
            return u, jnp.zeros(u.shape[:-1])
        log_scale, shift = self._move(u[..., self.kept], condition)
        moved = u[..., self.moved] * jnp.exp(log_scale) + shift
        return jnp.asarray(u).at[..., self.moved].set(moved), log_scale.sum(-1)

    def _move(
        self, kept: jax.Array, condition: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """(s, t), both [..., moved]."""
        s = t = jnp.concatenate([condition.astype(kept.dtype), kept], -1)
        for number in range(self.layers):
            s = jnp.tanh(self.scale_net[number](s))
            t = nn.relu(self.shift_net[number](t))
        return jnp.tanh(self.scale_net[-1](s)), self.shift_net[-1](t)
