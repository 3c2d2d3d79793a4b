"""From counts to reals and back: what a density needs, and what a user may see.

Dequantisation adds uniform noise to counts, so that a density can't grow without bound
on the few values they take: the density of x + U(0, 1), integrated from k to k + 1, is
the probability of k. Source: Theis et al. 2016, "A note on the evaluation of generative
models".
"""

import jax
import jax.numpy as jnp

from forecast.config import Support
from forecast.distributions.row_draws import draw_rows


def dequantise(keys: jax.Array, x: jax.Array) -> jax.Array:
    """x + U(0, 1) of x [..., any] and keys [...], one a row; NaN stays NaN."""
    return draw_rows(
        lambda key, row: row + jax.random.uniform(key, row.shape, row.dtype), keys, x
    )


def to_support(x: jax.Array, support: Support, dequantised: bool = False) -> jax.Array:
    """The nearest values that the data can take.

    Args:
      x: forecasts of any shape; NaN stays NaN.
      support: "real": as they are. "non_negative": max(x, 0). "count": rounded, and 0
        where that is negative.
      dequantised: whether the model saw data with U(0, 1) added. Counts are rounded down
        then, and from others the noise's mean of a half is taken away.
    """
    if support == "count":
        x = jnp.floor(x) if dequantised else jnp.round(x)
    elif dequantised:
        x = x - 0.5
    return x if support == "real" else jnp.where(x <= 0, 0.0, x)
