"""Pooling of feature maps."""

import jax
import jax.numpy as jnp


def max_pool(x: jax.Array) -> jax.Array:
    """Maximum over windows of 3x3 cells at stride 2, padded by one cell of -inf.

    The gradient goes to the first maximum of a window in reading order, as in torch
    (areas of one colour make ties).

    Args:
      x: [B, H, W, C].

    Returns:
      [B, ceil(H / 2), ceil(W / 2), C].
    """
    # Windows are centred on even rows and columns: a cell more changes nothing.
    height, width = x.shape[1:3]
    even = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
    return _max_pool(jnp.pad(x, even, constant_values=-jnp.inf))


@jax.custom_vjp
def _max_pool(x):
    return _largest(x)[0]


def _largest(x):
    """Finds the maximum of each window, and which of its nine cells holds it.

    XLA's own windowed maximum is slow on CPU, and its gradient slower.

    Args:
      x: [B, 2 h, 2 w, C].

    Returns:
      maximum [B, h, w, C]; cell [B, h, w, C], int8, 3 * row + column in the window.
    """
    height, width = x.shape[1:3]
    before = ((0, 0), (1, 0), (1, 0), (0, 0))
    padded = jnp.pad(x, before, constant_values=-jnp.inf)
    largest = padded[:, :height:2, :width:2]
    cell = jnp.zeros(largest.shape, jnp.int8)
    for k in range(1, 9):
        row, column = divmod(k, 3)
        window = padded[:, row : row + height : 2, column : column + width : 2]
        cell = jnp.where(window > largest, jnp.int8(k), cell)
        largest = jnp.maximum(largest, window)
    return largest, cell


def _max_pool_gradient(cell, dy):
    # Input row 2r is the middle row of window r; row 2r + 1 is the last of window r
    # and the first of window r + 1. Columns alike.
    after = ((0, 0), (0, 1), (0, 1), (0, 0))
    cell = jnp.pad(cell, after, constant_values=-1)
    dy = jnp.pad(dy, after)
    windows_of = {0: ((1, 0),), 1: ((2, 0), (0, 1))}  # parity: (place, window - r)
    height, width = dy.shape[1] - 1, dy.shape[2] - 1

    def gather(row_parity, column_parity):
        parts = []
        for row, down in windows_of[row_parity]:
            for column, right in windows_of[column_parity]:
                rows = slice(down, down + height)
                columns = slice(right, right + width)
                chosen = cell[:, rows, columns] == 3 * row + column
                parts.append(jnp.where(chosen, dy[:, rows, columns], 0))
        return sum(parts)  # [B, h, w, C]

    rows = [jnp.stack([gather(i, 0), gather(i, 1)], axis=3) for i in (0, 1)]
    dx = jnp.stack(rows, axis=2)  # [B, h, 2, w, 2, C]
    batch, _, _, _, _, channels = dx.shape
    return (dx.reshape(batch, 2 * height, 2 * width, channels),)


_max_pool.defvjp(_largest, _max_pool_gradient)
