"""Two-dimensional convolutions, in the form that runs fastest for each shape."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax

# XLA's CPU convolutions are up to 100 times too slow on maps narrower than this.
NARROW = 3


def padding(length: int, size: int, stride: int, same: bool) -> tuple[int, int]:
    """Cells of padding before and behind an axis.

    Args:
      length: of the axis.
      size: side k of the kernel, odd.
      stride: of the axis.
      same: as little as ceil(length / stride) outputs need, the odd cell behind, as
        TensorFlow's "SAME"; else (k - 1) / 2 on both sides, as torch.

    Returns:
      (before, behind).
    """
    if not same:
        return size // 2, size // 2
    total = max((-(-length // stride) - 1) * stride + size - length, 0)
    return total // 2, total - total // 2


def convolve(
    x: jax.Array, kernel: jax.Array, stride: int = 1, same: bool = False
) -> jax.Array:
    """Convolves with explicit padding, symmetric as torch's where nothing is said.

    "SAME" pads layers of stride 2 on one side only and shifts the whole map: it is
    for networks that were trained so.
    A 1x1 convolution is a product, one onto a very small map a product of patches:
    the shape alone decides, so every backend runs the same program.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C, D] with k odd.
      stride: of both axes.
      same: see `padding`.

    Returns:
      [B, ceil(H / stride), ceil(W / stride), D].
    """
    size, channels, features = kernel.shape[0], kernel.shape[2], kernel.shape[3]
    rows, columns = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
    if size > 1 and min(rows, columns) >= NARROW:
        pads = [padding(length, size, stride, same) for length in x.shape[1:3]]
        return lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            pads,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
    patches = _patches(x, size, stride, same).reshape(-1, size * size * channels)
    y = multiply(patches, kernel.reshape(-1, features))  # [B * rows * columns, D]
    return y.reshape(x.shape[0], rows, columns, features)


def _patches(x: jax.Array, size: int, stride: int, same: bool) -> jax.Array:
    """Lays the window around every output cell side by side.

    Args:
      x: [B, H, W, C].
      size: side of the windows.
      stride: between them.
      same: see `padding`.

    Returns:
      [B, ceil(H / stride), ceil(W / stride), size * size * C].
    """
    height, width = x.shape[1:3]
    pads = [padding(length, size, stride, same) for length in (height, width)]
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    bottom, right = ((-(-n // stride) - 1) * stride + 1 for n in (height, width))
    windows = [
        padded[:, i : i + bottom : stride, j : j + right : stride]
        for i in range(size)
        for j in range(size)
    ]
    return jnp.concatenate(windows, axis=-1)


@jax.custom_vjp
def multiply(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Multiplies x [N, C] by kernel [C, D], with a gradient that suits XLA on CPU."""
    return x @ kernel


def _multiply(x, kernel):
    return x @ kernel, (x, kernel)


def _multiply_gradient(saved, dy):
    x, kernel = saved
    # Without the barrier XLA fuses what made dy into a transposing copy, which
    # costs up to ten times the product.
    dy = lax.optimization_barrier(dy)
    return dy @ kernel.T, _contract_rows(x, dy)


multiply.defvjp(_multiply, _multiply_gradient)


def _contract_rows(x, dy):
    """x^T dy for x [N, C] and dy [N, D]; XLA wants the narrower one on the left."""
    rows = (((0,), (0,)), ((), ()))
    if x.shape[1] <= dy.shape[1]:
        return lax.dot_general(x, dy, rows)  # [C, D]
    return lax.optimization_barrier(lax.dot_general(dy, x, rows)).T  # [C, D]


class Convolution(nn.Module):
    """Convolution without bias.

    Attributes:
      features: output channels D.
      size: side k of the kernel, odd.
      stride: of both axes.
      dtype: compute dtype; None takes it from the inputs and the kernel.
      same: see `padding`.
    """

    features: int
    size: int = 3
    stride: int = 1
    dtype: jnp.dtype | None = None
    same: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x [B, H, W, C] to [B, ceil(H / stride), ceil(W / stride), D]."""
        kernel = self.param(
            "kernel",
            nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
            (self.size, self.size, x.shape[-1], self.features),
        )
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return convolve(x, kernel, self.stride, self.same)
