"""Draws with one key a row, the same whatever rows stand beside."""

from collections.abc import Callable
from typing import Any

import jax


def draw_rows(draw: Callable[..., Any], keys: jax.Array, *arrays) -> Any:
    """What `draw` makes of each key of [...] and its part of arrays [..., any]."""
    for _ in range(keys.ndim):
        draw = jax.vmap(draw)
    return draw(keys, *arrays)
