"""What values become before a network sees them, window by window.

    scaled   z = x / s,  s_d = mean |x_d| over the context
    copula   z = N^-1(F_d(x)),  F_d the distribution of the last values of a series

Both are monotone, so a forecast z goes back to x.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from forecast.config import ModelConfig, Sizes
from forecast.distributions import copula
from forecast.windows import Window


class Transform(NamedTuple):
    """Fitted on the past of each window.

    Attributes:
      scale: [B, D], above 0.
      marginals: of the copula; None without it, where values are divided by the scale.
    """

    scale: jax.Array
    marginals: Any = None

    def forward(self, x: jax.Array) -> jax.Array:
        """z of x [B, T, D]."""
        if self.marginals is None:
            return x / self.scale[:, None]
        return copula.to_normal(self.marginals, x)

    def inverse(self, z: jax.Array) -> jax.Array:
        """x of z [B, S, H, D]."""
        if self.marginals is None:
            return z * self.scale[:, None, None]
        rows, paths, steps, series = z.shape
        flat = z.reshape(rows, paths * steps, series)
        return copula.from_normal(self.marginals, flat).reshape(z.shape)

    def log_slope(self, x: jax.Array) -> jax.Array:
        """log dz/dx [B, T, D] at x [B, T, D], for densities of x."""
        if self.marginals is None:
            return jnp.broadcast_to(-jnp.log(self.scale)[:, None], x.shape)
        return copula.log_slope(self.marginals, x)


def fit_transform(
    config: ModelConfig, sizes: Sizes, window: Window, by_copula: bool
) -> Transform:
    """The transform of each window of a batch, by its past alone."""
    past = window.values[:, : sizes.past]
    observed = window.observed[:, : sizes.past]
    context = slice(sizes.past - sizes.context, None)
    scale = mean_scale(past[:, context], observed[:, context])
    if not by_copula:
        return Transform(scale)
    last = slice(-config.marginal, None)
    tails: copula.Tails = "flat" if config.flat_tails else "linear"
    marginals = copula.fit(past[:, last], observed[:, last], tails)
    return Transform(scale, marginals)


def mean_scale(values: jax.Array, observed: jax.Array) -> jax.Array:
    """Mean absolute value of what is observed.

    A series that is 0 throughout, or was not observed, has the mean of the others, and
    where there are none, 1.

    Args:
      values: [B, C, D].
      observed: bool [B, C, D].

    Returns:
      [B, D], above 0.
    """
    there = observed.astype(values.dtype)
    total, count = (jnp.abs(values) * there).sum(1), there.sum(1)
    scale = total / jnp.maximum(count, 1)
    known = scale > 0
    mean = scale.sum(1, keepdims=True) / jnp.maximum(known.sum(1, keepdims=True), 1)
    return jnp.where(known, scale, jnp.where(mean > 0, mean, 1.0))
