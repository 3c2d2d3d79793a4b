"""Masked autoregressive flow: each coordinate is moved by what those before it say.

    u_d = (x_d - m_d) exp(-a_d),   (m_d, a_d) = MADE(x_1 … x_{d-1}, c)
    log |det du/dx| = - sum_d a_d,   a = A tanh(raw / A)

The bound A keeps a path that strays from running away; a step of a density is one dense
pass. Back, x_d = u_d exp(a_d) + m_d needs the coordinates before: `Made.solve` computes
each hidden unit once, which takes the products of one pass as well, in min(D, hidden)
steps, where D passes are usual.

Source: Papamakarios et al. 2017, "Masked Autoregressive Flow for Density Estimation".
"""

import jax
import jax.numpy as jnp

from common.flows.bijector import Bijector
from common.flows.made import Made, Masks


class MaskedAutoregressive(Bijector):
    """An affine map of each coordinate given those before.

    Attributes:
      size: D.
      hidden: units of each hidden layer.
      layers: hidden layers.
      masks: see `made.hidden_degrees`.
      bound: A of the log-scale; 0 for none.
    """

    size: int
    hidden: int = 100
    layers: int = 3
    masks: Masks = "spread"
    bound: float = 3.0

    def setup(self):
        """Makes the network."""
        self.made = Made(self.size, self.hidden, self.layers, self.masks)

    def forward_and_log_det(self, x, condition, *, train=False):
        """See `Bijector`."""
        del train
        rows = x.reshape(-1, self.size)
        shift, raw = self.made(rows, _rows(condition, rows))
        log_scale = self._bounded(raw)
        u = (rows - shift) * jnp.exp(-log_scale)
        return u.reshape(x.shape), -log_scale.sum(-1).reshape(x.shape[:-1])

    def inverse_and_log_det(self, u, condition):
        """See `Bijector`."""

        def update(outputs, noise):
            log_scale = self._bounded(outputs[1])
            return noise * jnp.exp(log_scale) + outputs[0], log_scale

        rows = u.reshape(-1, self.size)
        x, log_scale = self.made.solve(rows, _rows(condition, rows), update)
        return x.reshape(u.shape), log_scale.sum(-1).reshape(u.shape[:-1])

    def _bounded(self, raw: jax.Array) -> jax.Array:
        return self.bound * jnp.tanh(raw / self.bound) if self.bound else raw


def _rows(condition: jax.Array, like: jax.Array) -> jax.Array:
    return condition.reshape(len(like), -1).astype(like.dtype)
