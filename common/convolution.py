"""Two-dimensional convolutions, in the form that runs fastest for each shape."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax


def convolve(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolves with explicit symmetric padding of (k - 1) / 2 cells, as torch does.

    "SAME" would pad layers of stride 2 on one side only and shift the whole map.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C, D] with k odd.
      stride: of both axes.

    Returns:
      [B, ceil(H / stride), ceil(W / stride), D].
    """
    size = kernel.shape[0]
    if size == 1:
        # XLA's CPU convolution is slower than the product that a 1x1 one is.
        return x[:, ::stride, ::stride] @ kernel[0, 0]
    pad = (size // 2, size // 2)
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        (pad, pad),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


class Convolution(nn.Module):
    """Convolution without bias, padded symmetrically.

    Attributes:
      features: output channels D.
      size: side k of the kernel, odd.
      stride: of both axes.
      dtype: compute dtype; None takes it from the inputs and the kernel.
    """

    features: int
    size: int = 3
    stride: int = 1
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x [B, H, W, C] to [B, ceil(H / stride), ceil(W / stride), D]."""
        kernel = self.param(
            "kernel",
            nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
            (self.size, self.size, x.shape[-1], self.features),
        )
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        return convolve(x, kernel, self.stride)
