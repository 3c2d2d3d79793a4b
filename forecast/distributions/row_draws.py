"""Draws with one key a row, the same whatever rows stand beside."""

from collections.abc import Callable
from typing import Any

import jax


def draw_rows(draw: Callable[..., Any], keys: jax.Array, *arrays) -> Any:
    """Draws each row with its own key.

    Args:
      draw: from the key of a row and its part of the arrays to that row's draws.
      keys: [...], of `jax.random.key` and split.
      arrays: [..., any].

    Returns:
      [..., any], as many arrays as `draw` returns.
    """
    for _ in range(keys.ndim):
        draw = jax.vmap(draw)
    return draw(keys, *arrays)
