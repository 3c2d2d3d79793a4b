"""Batch normalisation over the global batch, with its own gradient."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from common.parallel.devices import SINGLE, Devices

EPSILON = 1e-5
MOMENTUM = 0.9


class BatchNorm(nn.Module):
    """Normalises every channel: scale * (x - mean) / sqrt(var + epsilon) + bias.

    In training, mean and (biased) variance are those of the global batch, and the
    running statistics follow as in torch: running = momentum * running +
    (1 - momentum) * batch, with the batch's unbiased variance. Training batches are
    always full, so there is no mask: every row counts. With `train=False` the running
    statistics are used and stay as they are, which is also how a backbone is frozen
    while a head is trained.

    Source: Ioffe and Szegedy 2015 (arXiv 1502.03167), algorithm 1.

    Attributes:
      dtype: of the output; None keeps that of the inputs. Statistics and arithmetic
        are in float32 or wider.
      devices: what the batch is spread over.
      epsilon: added to the variance.
      momentum: share of the running statistics that a step keeps.
    """

    dtype: jnp.dtype | None = None
    devices: Devices = SINGLE
    epsilon: float = EPSILON
    momentum: float = MOMENTUM

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        """Normalises x [..., C]."""
        channels = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels)
        rows = x.reshape(-1, x.shape[-1])  # [N, C]
        if train:
            y, mean, var = normalise_batch(
                self.devices, rows, scale, bias, running_mean.value, self.epsilon
            )
            if not self.is_initializing():
                count = rows.shape[0] * self.devices.count()
                unbiased = var * (count / max(count - 1, 1))
                _follow(running_mean, mean, self.momentum)
                _follow(running_var, unbiased, self.momentum)
        else:
            mean, var = running_mean.value, running_var.value
            y = _normalise(rows, scale, bias, mean, var, self.epsilon)
        return y.reshape(x.shape).astype(self.dtype or x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 5))
def normalise_batch(devices: Devices, x, scale, bias, origin, epsilon=EPSILON):
    """Normalises by the statistics of the global batch.

    No gradient flows through the statistics that are returned. The gradient of x
    takes two passes over memory, where automatic differentiation takes five.

    Args:
      devices: what the rows are spread over.
      x: [N, C].
      scale: [C].
      bias: [C].
      origin: [C], a guess of the mean, without gradient. The variance is
        E[(x - origin)^2] - E[x - origin]^2: one pass, and nothing cancels once the
        guess is near.
      epsilon: added to the variance.

    Returns:
      y [N, C] with the dtype of x, mean [C], biased variance [C].
    """
    return _normalise_batch(devices, x, scale, bias, origin, epsilon)[0]


def _normalise_batch(devices, x, scale, bias, origin, epsilon):
    wide = jnp.promote_types(x.dtype, jnp.float32)
    origin = origin.astype(wide)
    offset = x.astype(wide) - origin[None]
    first, second = devices.mean((offset.mean(0), jnp.square(offset).mean(0)))
    mean = origin + first
    var = jnp.maximum(second - jnp.square(first), 0.0)
    y = _normalise(x, scale, bias, mean, var, epsilon)
    return (y, mean, var), (x, scale, mean, var)


def _normalise_batch_gradient(devices, epsilon, saved, cotangents):
    x, scale, mean, var = saved
    slope = lax.rsqrt(var + epsilon)
    dy = cotangents[0].astype(mean.dtype)
    unit = (x.astype(mean.dtype) - mean[None]) * slope[None]  # [N, C]
    dbias = dy.sum(0)
    dscale = (dy * unit).sum(0)
    # The input's gradient needs the sums over all devices; those of scale and bias
    # stay this device's part, as of every parameter.
    mean_dy, mean_dy_unit = devices.mean((dbias / x.shape[0], dscale / x.shape[0]))
    dx = (scale * slope)[None] * (dy - mean_dy[None] - unit * mean_dy_unit[None])
    return (
        dx.astype(x.dtype),
        dscale.astype(scale.dtype),
        dbias.astype(scale.dtype),
        jnp.zeros_like(mean),
    )


normalise_batch.defvjp(_normalise_batch, _normalise_batch_gradient)


def _normalise(x, scale, bias, mean, var, epsilon):
    """(x - mean) / sqrt(var + epsilon) * scale + bias for x [N, C]."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    slope = scale * lax.rsqrt(var + epsilon)
    y = (x.astype(wide) - mean[None]) * slope[None] + bias[None]
    return y.astype(x.dtype)


def _follow(running: nn.Variable, value: jax.Array, momentum: float) -> None:
    value = lax.stop_gradient(value)
    kept = momentum * running.value + (1.0 - momentum) * value
    running.value = kept.astype(running.value.dtype)
