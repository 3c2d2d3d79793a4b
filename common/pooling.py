"""Pooling of feature maps."""

import jax
import jax.numpy as jnp


def max_pool(x: jax.Array) -> jax.Array:
    """Maximum over windows of 3x3, stride 2, padded by one cell of -inf.

    Args:
      x: [B, H, W, C].

    Returns:
      [B, ceil(H / 2), ceil(W / 2), C].
    """
    pad = [(0, 0), (1, 1), (1, 1), (0, 0)]
    padded = jnp.pad(x, pad, constant_values=-jnp.inf)
    rows, columns = -(-x.shape[1] // 2), -(-x.shape[2] // 2)
    largest = None
    for i in range(3):
        for j in range(3):
            window = padded[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2]
            largest = window if largest is None else jnp.maximum(largest, window)
    return largest
