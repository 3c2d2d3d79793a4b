"""Concatenation of two inputs, plain and followed by a perceptron."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from common.fusion.operator import Fusion
from common.fusion.projection import Activation, activate
from common.layers.dropout import Dropout


class Concatenation(Fusion):
    """z = [x, y].

    Source: ICAN, section 5.4 (iii).
    """

    def fuse(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """Joins the last axes: [..., Dx + Dy]."""
        leading = jnp.broadcast_shapes(x.shape[:-1], y.shape[:-1])
        x = jnp.broadcast_to(x, (*leading, x.shape[-1]))  # [..., Dx]
        y = jnp.broadcast_to(y, (*leading, y.shape[-1]))  # [..., Dy]
        return jnp.concatenate([x, y], axis=-1)  # [..., Dx + Dy]


class JointDense(nn.Module):
    """W [x, y] + b, computed as W_x x + W_y y + b, so neither side is tiled.

    Attributes:
      features: output width.
      dtype: type of the computation.
    """

    features: int
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Maps x [..., Dx] and y [..., Dy] to [..., features]."""
        size_x, size_y = x.shape[-1], y.shape[-1]
        kernel = self.param(
            "kernel",
            nn.initializers.lecun_normal(),
            (size_x + size_y, self.features),
        )
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, y, kernel, bias = promote_dtype(x, y, kernel, bias, dtype=self.dtype)
        z = x @ kernel[:size_x] + y @ kernel[size_x:]  # [..., features]
        return z + bias.reshape((1,) * (z.ndim - 1) + bias.shape)


class ConcatenationMLP(Fusion):
    """A perceptron on [x, y]: an activation after all layers but the last.

    Source: the baseline "ConcatMLP" of the BLOCK repository.

    Attributes:
      features: output width.
      hidden: widths of the hidden layers.
      activation: after each hidden layer.
      dropout: rate after each hidden layer.
    """

    features: int
    hidden: tuple[int, ...] = (500, 500)
    activation: Activation = "relu"
    dropout: float = 0.0

    @nn.compact
    def fuse(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """Joins both sides in the first layer and applies the others."""
        widths = (*self.hidden, self.features)
        z = JointDense(widths[0], self.dtype, name="layer_0")(x, y)
        for i, width in enumerate(widths[1:], start=1):
            z = activate(z, self.activation)
            z = Dropout(self.dropout, self.devices, name=f"drop_{i - 1}")(
                z, train=train
            )
            z = nn.Dense(width, dtype=self.dtype, name=f"layer_{i}")(z)
        return z  # [..., features]
