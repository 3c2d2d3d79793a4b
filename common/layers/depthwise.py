"""Depthwise convolution: one k x k kernel for each channel.

On a CPU, XLA's grouped convolution takes 6 to 28 times as long as a sum of k x k
shifted products: there the sum, elsewhere the convolution.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax

from common.layers.convolution import padding


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_channels(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolves every channel with its own kernel, padded as TensorFlow's "SAME".

    Args:
      x: [B, H, W, C].
      kernel: [k, k, 1, C] with k odd.
      stride: of both axes.

    Returns:
      [B, ceil(H / stride), ceil(W / stride), C].
    """
    return lax.platform_dependent(
        x,
        kernel,
        cpu=functools.partial(sum_products, stride=stride),
        default=functools.partial(convolve_groups, stride=stride),
    )


def _forward(x, kernel, stride):
    return convolve_channels(x, kernel, stride), (x, kernel)


def _gradient(stride, saved, dy):
    return lax.platform_dependent(
        *saved,
        dy,
        cpu=functools.partial(sum_products_gradient, stride=stride),
        default=functools.partial(_convolve_groups_gradient, stride=stride),
    )


convolve_channels.defvjp(_forward, _gradient)


def convolve_groups(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """`convolve_channels` as a convolution in C groups."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [padding(length, kernel.shape[0], stride, True) for length in x.shape[1:3]],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def _convolve_groups_gradient(x, kernel, dy, stride):
    _, pull = jax.vjp(functools.partial(convolve_groups, stride=stride), x, kernel)
    return pull(dy)


def sum_products(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """`convolve_channels` as a sum of k x k shifted products."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    size = kernel.shape[0]
    rows, columns = (-(-length // stride) for length in x.shape[1:3])
    cells = kernel.astype(wide).reshape(size * size, 1, 1, 1, -1)
    windows = _windows(_phases(x, size, stride), size, stride, rows, columns)
    y = sum(w.astype(wide) * cell for w, cell in zip(windows, cells, strict=True))
    return jnp.asarray(y, x.dtype)


def sum_products_gradient(
    x: jax.Array, kernel: jax.Array, dy: jax.Array, stride: int
) -> tuple[jax.Array, jax.Array]:
    """Gradients of x and kernel by shifted products.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, 1, C].
      dy: [B, ceil(H / stride), ceil(W / stride), C].
      stride: of both axes.
    """
    wide = jnp.promote_types(x.dtype, jnp.float32)
    dx = _input_gradient(kernel.astype(wide), dy.astype(wide), x.shape, stride)
    dkernel = _kernel_gradient(x.astype(wide), dy.astype(wide), kernel.shape[0], stride)
    return dx.astype(x.dtype), dkernel.astype(kernel.dtype)


def _phases(x, size, stride):
    """Pads x and lays cells that a window of stride s never meets together apart.

    Strided slices are slow; these have slices that are whole runs of memory.

    Returns:
      [B, rows + q, s, columns + q, s * C] with q = (k - 1) // s.
    """
    batch, *lengths, channels = x.shape
    pads, counts = [], []
    for length in lengths:
        before, _ = padding(length, size, stride, True)
        count = -(-length // stride) + (size - 1) // stride
        pads.append((before, count * stride - length - before))
        counts.append(count)
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    return padded.reshape(batch, counts[0], stride, counts[1], stride * channels)


def _windows(phases, size, stride, rows, columns) -> Iterator[jax.Array]:
    """What each cell of the kernel meets, [B, rows, columns, C], row by row."""
    channels = phases.shape[-1] // stride
    for i in range(size):
        for j in range(size):
            down, right, start = i // stride, j // stride, j % stride * channels
            yield phases[
                :,
                down : down + rows,
                i % stride,
                right : right + columns,
                start : start + channels,
            ]


def _kernel_gradient(x, dy, size, stride):
    """A row of dy at a time: whole maps would be read k x k times from memory."""
    phases = _phases(x, size, stride)
    _, rows, columns, channels = dy.shape

    def add_row(row, total):
        met = lax.dynamic_slice_in_dim(phases, row, (size - 1) // stride + 1, axis=1)
        line = lax.dynamic_slice_in_dim(dy, row, 1, axis=1)  # [B, 1, columns, C]
        windows = _windows(met, size, stride, 1, columns)
        return total + jnp.stack([(w * line).sum((0, 1)) for w in windows])

    zeros = jnp.zeros((size * size, columns, channels), dy.dtype)
    total = lax.fori_loop(0, rows, add_row, zeros).sum(1)  # [k * k, C]
    return total.reshape(size, size, 1, channels)


def _input_gradient(kernel, dy, shape, stride):
    size = kernel.shape[0]
    more = (size - 1) // stride
    rows, columns = (length + more for length in dy.shape[1:3])
    around = jnp.pad(dy, ((0, 0), (more, more), (more, more), (0, 0)))

    def phase(row, column):
        terms = [
            around[:, more - down :, more - right :][:, :rows, :columns]
            * kernel[down * stride + row, right * stride + column][None, None]
            for down in range(more + 1)
            for right in range(more + 1)
            if down * stride + row < size and right * stride + column < size
        ]
        return sum(terms[1:], terms[0])  # [B, rows, columns, C]

    cells = range(stride)
    parts = [jnp.concatenate([phase(i, j) for j in cells], axis=-1) for i in cells]
    dx = jnp.stack(parts, axis=2)  # [B, rows, s, columns, s * C]
    dx = dx.reshape(shape[0], rows * stride, columns * stride, shape[3])
    top, left = (padding(length, size, stride, True)[0] for length in shape[1:3])
    return dx[:, top : top + shape[1], left : left + shape[2]]


class DepthwiseConvolution(nn.Module):
    """Depthwise convolution without bias, padded as TensorFlow's "SAME".

    Attributes:
      size: side k of the kernel, odd.
      stride: of both axes.
      dtype: compute dtype; None takes it from the inputs and the kernel.
    """

    size: int = 3
    stride: int = 1
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x [B, H, W, C] to [B, ceil(H / stride), ceil(W / stride), C]."""
        kernel = self.param(
            "kernel",
            # Fan-out of one channel: k x k cells.
            nn.initializers.normal(2.0**0.5 / self.size),
            (self.size, self.size, 1, x.shape[-1]),
        )
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return convolve_channels(x, kernel, self.stride)
