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

_FAR = 4.0  # standard deviations


class Transform(NamedTuple):
    """Fitted on the past of each window.

    Attributes:
      scale: [B, D], above 0.
      marginals: of the copula; None without it, where values are divided by the scale.
    """

    scale: jax.Array
    marginals: Any = None

    def forward(self, x: jax.Array, observed: jax.Array) -> jax.Array:
        """z of x [B, T, D].

        What stands for a value that is not `observed`, 0 or one from before the
        marginals, may be far out: of a copula it is read as within `_FAR`.
        """
        if self.marginals is None:
            return x / self.scale[:, None]
        z = copula.to_normal(self.marginals, x)
        return jnp.where(observed, z, jnp.clip(z, -_FAR, _FAR))

    def inverse(self, z: jax.Array) -> jax.Array:
        """x of z [B, S, H, D]."""
        if self.marginals is None:
            return z * self.scale[:, None, None]
        rows, paths, steps, series = z.shape
        flat = z.reshape(rows, paths * steps, series)
        return copula.from_normal(self.marginals, flat).reshape(z.shape)

    def log_slope(self, x: jax.Array) -> jax.Array:
        """log dz/dx [B, T, D] at x [B, T, D], for densities of x; see the copula's."""
        if self.marginals is None:
            return jnp.broadcast_to(-jnp.log(self.scale)[:, None], x.shape)
        return copula.log_slope(self.marginals, x)


def fit_transform(
    config: ModelConfig, sizes: Sizes, window: Window, by_copula: bool
) -> Transform:
    """The transform of each window of a batch, by its past alone."""
    past = window.values[:, : sizes.past]
    observed = window.observed[:, : sizes.past]
    scale = mean_scale(past, observed, sizes.context)
    if not by_copula:
        return Transform(scale)
    last = slice(-config.marginal, None)
    tails: copula.Tails = "flat" if config.flat_tails else "linear"
    marginals = copula.fit(past[:, last], observed[:, last], tails)
    return Transform(scale, marginals)


def mean_scale(values: jax.Array, observed: jax.Array, context: int) -> jax.Array:
    """Mean absolute value of what is observed in the context, else in all of the past.

    A series that is observed and 0 throughout has the smallest scale of the others: it
    sells little. One that was not observed at all has their mean. Without others it
    is 1.

    Args:
      values: [B, P, D], the past.
      observed: bool [B, P, D].
      context: C, steps at its end.

    Returns:
      [B, D], above 0.
    """
    size = jnp.where(observed, jnp.abs(values), 0.0)

    def mean(first: int) -> jax.Array:
        count = observed[:, first:].sum(1)
        return size[:, first:].sum(1) / jnp.maximum(count, 1)

    recent = mean(values.shape[1] - context)
    scale = jnp.where(recent > 0, recent, mean(0))
    known = scale > 0
    count = known.sum(1, keepdims=True)
    least = jnp.where(known, scale, jnp.inf).min(1, keepdims=True)
    usual = scale.sum(1, keepdims=True) / jnp.maximum(count, 1)
    seen = observed.any(1)
    other = jnp.where(count > 0, jnp.where(seen, least, usual), 1.0)
    return jnp.where(known, scale, other)
