"""The marginals of a Gaussian copula: each series to a standard normal, and back.

Of n observed values of the past, sorted, x_0 <= ... <= x_{n-1}, the distribution
function F runs linearly from rank to rank. With Phi the normal's, c the clip bound:

    z = Phi^-1(F(x)) within [c, 1 - c],   c = 1 / (4 n^(1/4) sqrt(3.14 log n))

`tails` says what comes beyond, where the outer ranks are too noisy to be followed:

  linear   (default) F(x_k) = (k + 1/2) / n, so that the past has mean 0. With z_c =
           -Phi^-1(max(c, 1 / (2n))) and Q the inverse of F, x goes on linearly in z:
               x = Q(z_c) + b (z - z_c) for z > z_c,  b the largest of
                 (Q(z_c) - Q(z_c / 3)) / (2/3 z_c)   the slope from about the quartile,
                 (x_{n-1} - Q(z_c)) / (4 - z_c)      no value of the past is above 4,
                 (x_{n-1} - x_0) / 100               and never flat;
           of a constant series b = |x_0| / 100, or 1/100 where it is 0. Likewise below.
           Forecasts can leave the range of the past. A value far out has a large z:
           clip what a network reads, not what is scored.
  flat     F(x_k) = k / n and z clipped, as published: forecasts stay in the range of
           the past, whatever the trend. Too few values are repeated in their order.

Ties: the tied value has the z in the middle of its ranks, and all z of these ranks lead
back to it. (flat: of m ranks number floor(m / 2) - 1, from 0.) Nothing observed: the
past is 0. `to_normal` climbs strictly (linear), and is continuous but at ties.

Costs O(n log n) a series to fit, O(log n) a value. Sources: Salinas et al. 2019,
"High-Dimensional Multivariate Forecasting with Low-Rank Gaussian Copula Processes";
c: Liu, Lafferty, Wasserman 2009, "The Nonparanormal", which has pi for 3.14.
"""

import dataclasses
import functools
import math
from typing import Literal

import jax
import jax.numpy as jnp
from jax.scipy import special

Tails = Literal["linear", "flat"]

NOISE = 0.2  # standard deviations, added in training
_REACH = 4.0  # largest |z| of a value of the past
_LEAST = 0.01  # slope, in ranges of the past
_TINY = 1e-30  # ranges and levels below are 0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Marginals:
    """The transform of each series.

    Attributes:
      values: [..., M, D], sorted; the last one over again behind the first `count`.
      count: [..., 1, D], n as a float, at least 1.
      bound: [..., 1, D], z_c.
      low: [..., 1, D], Q(-z_c), where the lower tail begins.
      high: [..., 1, D], Q(z_c).
      low_slope: [..., 1, D], dx/dz of the lower tail; 0 if flat.
      high_slope: [..., 1, D], of the upper one.
      tails: which.
    """

    values: jax.Array
    count: jax.Array
    bound: jax.Array
    low: jax.Array
    high: jax.Array
    low_slope: jax.Array
    high_slope: jax.Array
    tails: Tails = dataclasses.field(metadata={"static": True})


def clip_bound(count: jax.Array) -> jax.Array:
    """c of n values; of one, that of two."""
    n = jnp.maximum(count, 2.0)
    return 1 / (4 * n**0.25 * jnp.sqrt(3.14 * jnp.log(n)))


def fit(past: jax.Array, observed: jax.Array, tails: Tails = "linear") -> Marginals:
    """Learns the marginals of each series from its past.

    Args:
      past: [..., M, D], the last M values; any where they aren't observed.
      observed: bool [..., M, D]. What isn't finite is not observed.
      tails: see above.

    Returns:
      Marginals of the same leading axes.
    """
    observed = observed & jnp.isfinite(past)
    places = past.shape[-2]
    if tails == "flat":
        values = jnp.sort(_repeat(past, observed), -2)
        count = jnp.full_like(values[..., :1, :], places)
        bound = -special.ndtri(clip_bound(count))
    else:
        found = observed.sum(-2, keepdims=True)  # [..., 1, D]
        values = jnp.sort(jnp.where(observed, past, jnp.inf), -2)
        last = jnp.take_along_axis(values, jnp.maximum(found - 1, 0), -2)
        last = jnp.where(found > 0, last, 0.0)
        place = jnp.arange(places).reshape((1,) * (past.ndim - 2) + (-1, 1))
        values = jnp.where(place < found, values, last)
        count = jnp.maximum(found, 1).astype(past.dtype)
        bound = -special.ndtri(jnp.maximum(clip_bound(count), 0.5 / count))
    zeros = jnp.zeros_like(bound)
    marginals = Marginals(values, count, bound, zeros, zeros, zeros, zeros, tails)
    low, high = _quantile(marginals, -bound), _quantile(marginals, bound)
    marginals = dataclasses.replace(marginals, low=low, high=high)
    return marginals if tails == "flat" else _with_slopes(marginals)


def to_normal(marginals: Marginals, x: jax.Array) -> jax.Array:
    """z of values.

    Args:
      marginals: of leading axes [...].
      x: [..., N, D]; NaN stays NaN.

    Returns:
      [..., N, D].
    """
    left, right = _search(marginals, x)
    flat = marginals.tails == "flat"
    if flat:
        # The piece that counts at a tied value is one of those without a width.
        place = jnp.maximum(left + (right - left) // 2 - 1, 0.0)
        rank = place + _share(marginals, x, place)[0]
    else:
        place = jnp.maximum(right - 1, 0.0)
        middle = jnp.where(right > left, (left + right - 1) / 2, place)
        rank = middle + _share(marginals, x, place)[0] + 0.5
    z = _clipped_z(marginals, rank)
    m = marginals
    if flat:
        return jnp.where(jnp.isnan(x), x, z)
    above = m.bound + (x - m.high) / m.high_slope
    below = -m.bound + (x - m.low) / m.low_slope
    # A NaN is in no tail: `above` keeps it.
    z = jnp.where(x < m.low, below, z)
    return jnp.where(x <= m.high, z, above)


def from_normal(marginals: Marginals, z: jax.Array) -> jax.Array:
    """Values of z.

    Args:
      marginals: of leading axes [...].
      z: [..., N, D]; NaN stays NaN.

    Returns:
      [..., N, D].
    """
    m = marginals
    x = _quantile(m, z)
    if m.tails == "flat":
        return x
    above = m.high + m.high_slope * (z - m.bound)
    below = m.low + m.low_slope * (z + m.bound)
    return jnp.where(z > m.bound, above, jnp.where(z < -m.bound, below, x))


def log_slope(marginals: Marginals, x: jax.Array) -> jax.Array:
    """log dz/dx, what a density of z lacks to be one of x.

        log p(x) = log p_z(to_normal(x)) + sum_d log_slope(x_d)

    Where two pieces meet it is that of the upper one. So the probability that a tied
    value has as such doesn't count: the same for all models of the same marginals.

    Args:
      marginals: with linear tails, of leading axes [...].
      x: [..., N, D].

    Returns:
      [..., N, D], finite where x is; NaN stays NaN.

    Raises:
      ValueError: of flat tails, where almost all slopes are 0.
    """
    m = marginals
    if m.tails == "flat":
        raise ValueError("flat tails have no density")
    _, right = _search(m, x)
    place = jnp.maximum(right - 1, 0.0)
    share, gap = _share(m, x, place)
    z = _clipped_z(m, place + share + 0.5)
    normal = jnp.square(z) / 2 + math.log(2 * math.pi) / 2
    within = normal - jnp.log(m.count) - jnp.log(gap)
    below = jnp.where(x < m.low, -jnp.log(m.low_slope), within)
    found = jnp.where(x >= m.high, -jnp.log(m.high_slope), below)
    return jnp.where(jnp.isnan(x), x, found)


def add_noise(
    past: jax.Array,
    observed: jax.Array,
    noise: jax.Array,
    over: Literal["time", "series"] = "time",
) -> jax.Array:
    """past + 0.2 x standard deviation x noise, what marginals are fitted to in training.

    Args:
      past: [..., M, D].
      observed: bool [..., M, D]; the others have no part in the deviation.
      noise: [..., M, D], standard normal.
      over: the deviation is taken over the time of a series, or over the series of a
        time, as the published code has it, which drowns small series in noise.

    Returns:
      [..., M, D], as it was where it isn't observed.
    """
    axis = -2 if over == "time" else -1
    observed = observed & jnp.isfinite(past)
    known = jnp.where(observed, past, 0.0)
    count = jnp.maximum(observed.sum(axis, keepdims=True), 1)
    offset = jnp.where(observed, known - known.sum(axis, keepdims=True) / count, 0.0)
    variance = jnp.square(offset).sum(axis, keepdims=True) / count
    return jnp.where(observed, past + NOISE * jnp.sqrt(variance) * noise, past)


def _repeat(past: jax.Array, observed: jax.Array) -> jax.Array:
    """Observed values in their order, over and over until M; zeros if there are none."""
    order = jnp.argsort(~observed, axis=-2, stable=True)
    count = observed.sum(-2, keepdims=True)
    place = jnp.arange(past.shape[-2]).reshape((1,) * (past.ndim - 2) + (-1, 1))
    order = jnp.take_along_axis(order, place % jnp.maximum(count, 1), -2)
    return jnp.where(count > 0, jnp.take_along_axis(past, order, -2), 0.0)


def _with_slopes(m: Marginals) -> Marginals:
    """Slopes of the linear tails."""
    first, last = m.values[..., :1, :], m.values[..., -1:, :]
    span = last - first
    level = jnp.maximum(jnp.abs(first), jnp.abs(last))
    level = jnp.where(level > _TINY, level, 1.0)
    least = _LEAST * jnp.where(span > _TINY, span, level)
    width = jnp.where(m.bound > 0, m.bound * 2 / 3, 1.0)  # 0 of one value
    low_fit = (_quantile(m, -m.bound / 3) - m.low) / width
    high_fit = (m.high - _quantile(m, m.bound / 3)) / width
    low_reach = (m.low - first) / (_REACH - m.bound)
    high_reach = (last - m.high) / (_REACH - m.bound)
    return dataclasses.replace(
        m,
        low_slope=jnp.maximum(jnp.maximum(low_fit, low_reach), least),
        high_slope=jnp.maximum(jnp.maximum(high_fit, high_reach), least),
    )


def _search(m: Marginals, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How many values are below x, and how many not above: floats [..., N, D]."""
    values, wanted = jnp.swapaxes(m.values, -1, -2), jnp.swapaxes(x, -1, -2)
    sides = []
    for side in ("left", "right"):
        search = functools.partial(jnp.searchsorted, side=side)
        found = jnp.vectorize(search, signature="(m),(n)->(n)")(values, wanted)
        found = jnp.swapaxes(found, -1, -2).astype(x.dtype)
        sides.append(jnp.minimum(found, m.count))
    return sides[0], sides[1]


def _share(m: Marginals, x: jax.Array, place: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How far x has come from value `place` to the next one, and the gap (1 if 0)."""
    start = _value(m, place)
    gap = _value(m, jnp.minimum(place + 1, m.count - 1)) - start
    share = jnp.where(gap > 0, (x - start) / jnp.where(gap > 0, gap, 1.0), 0.0)
    return share, jnp.where(gap > 0, gap, 1.0)


def _value(m: Marginals, place: jax.Array) -> jax.Array:
    """Sorted values [..., N, D] of places that are whole numbers."""
    return jnp.take_along_axis(m.values, place.astype(int), -2)


def _clipped_z(m: Marginals, rank: jax.Array) -> jax.Array:
    """Phi^-1(rank / n), between the tails."""
    least = special.ndtr(-m.bound)
    return special.ndtri(jnp.clip(rank / m.count, least, 1 - least))


def _quantile(m: Marginals, z: jax.Array) -> jax.Array:
    """Q(z) [..., N, D] between the first and the last value."""
    first = 0.0 if m.tails == "flat" else 0.5
    rank = m.count * special.ndtr(z) - first
    place = jnp.clip(jnp.floor(rank), 0.0, m.count - 1)
    start = _value(m, place)
    step = _value(m, jnp.minimum(place + 1, m.count - 1)) - start
    return start + jnp.clip(rank - place, 0.0, 1.0) * step
