"""Batch normalisation as a map of a flow.

    u = exp(g) (x - mean) / sqrt(var + epsilon) + b
    log |det du/dx| = sum_i g_i - log(var_i + epsilon) / 2

In training mean and unbiased variance are those of the global batch, over all axes but
the last, and gradients flow through both; running values follow them. Elsewhere, and on
the way back, the running values are used: then it is an affine map.

Cost: O(D) a row. Source: Dinh et al. 2017, "Density estimation using Real NVP", 3.7;
Papamakarios et al. 2017, "Masked Autoregressive Flow for Density Estimation".
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from common.flows.bijector import Bijector
from common.layers.batch_norm import EPSILON, MOMENTUM
from common.parallel.devices import SINGLE, Devices


class FlowBatchNorm(Bijector):
    """Normalises every coordinate by the batch.

    Attributes:
      size: D.
      devices: what the batch is spread over.
    """

    size: int
    devices: Devices = SINGLE

    def setup(self):
        """Makes parameters and running statistics."""
        zeros, shape = nn.initializers.zeros, (self.size,)
        self.log_gamma = self.param("log_gamma", zeros, shape)
        self.beta = self.param("beta", zeros, shape)
        self.mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        self.var = self.variable("batch_stats", "var", jnp.ones, shape)

    def forward_and_log_det(self, x, condition, *, train=False):
        """See `Bijector`."""
        del condition
        mean, var = self.mean.value, self.var.value
        if train:
            mean, var = self._follow_batch(x)
        log_scale = self.log_gamma - jnp.log(var + EPSILON) / 2  # [D]
        mean, scale, beta = _leading(x, mean, jnp.exp(log_scale), self.beta)
        return (x - mean) * scale + beta, jnp.full(x.shape[:-1], log_scale.sum())

    def inverse_and_log_det(self, u, condition):
        """See `Bijector`."""
        del condition
        log_scale = jnp.log(self.var.value + EPSILON) / 2 - self.log_gamma
        mean, beta = self.mean.value, self.beta
        mean, scale, beta = _leading(u, mean, jnp.exp(log_scale), beta)
        return (u - beta) * scale + mean, jnp.full(u.shape[:-1], log_scale.sum())

    def _follow_batch(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and unbiased variance [D] of the batch; running values move to them."""
        rows = x.reshape(-1, x.shape[-1])
        count = rows.shape[0] * self.devices.count()
        # Around a guess of the mean little cancels in the difference of the moments.
        origin = lax.stop_gradient(self.mean.value)
        offset = rows - origin[None]
        first, second = self.devices.mean((offset.mean(0), jnp.square(offset).mean(0)))
        var = jnp.maximum(second - jnp.square(first), 0.0) * (count / max(count - 1, 1))
        mean = origin + first
        if not self.is_initializing():
            for running, value in ((self.mean, mean), (self.var, var)):
                value = lax.stop_gradient(value)
                running.value = MOMENTUM * running.value + (1 - MOMENTUM) * value
        return mean, var


def _leading(like: jax.Array, *vectors: jax.Array) -> list[jax.Array]:
    """Vectors [D] with the rank of another array."""
    return [vector.reshape((1,) * (like.ndim - 1) + (-1,)) for vector in vectors]
