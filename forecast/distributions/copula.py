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
back to it. (flat: of m ranks number floor(m / 2) - 1, from 0.) So the noise of a fifth
of a standard deviation that the published code adds in training is not needed. Nothing
observed: the past is 0. `to_normal` climbs strictly (linear), continuous but at ties.

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
      edges: (Q(-z_c), Q(z_c)) [..., 1, D], where the tails begin.
      slopes: dx/dz [..., 1, D] of both tails; (0, 0) if flat.
      tails: which.
    """

    values: jax.Array
    count: jax.Array
    bound: jax.Array
    edges: tuple[jax.Array, jax.Array]
    slopes: tuple[jax.Array, jax.Array]
    tails: Tails = dataclasses.field(metadata={"static": True})


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
    found = observed.sum(-2, keepdims=True)  # [..., 1, D]
    place = jnp.arange(past.shape[-2]).reshape((1,) * (past.ndim - 2) + (-1, 1))
    if tails == "flat":
        order = jnp.argsort(~observed, axis=-2, stable=True)
        order = jnp.take_along_axis(order, place % jnp.maximum(found, 1), -2)
        values = jnp.where(found > 0, jnp.take_along_axis(past, order, -2), 0.0)
        values = jnp.sort(values, -2)
        count = jnp.full_like(values[..., :1, :], past.shape[-2])
    else:
        values = jnp.sort(jnp.where(observed, past, jnp.inf), -2)
        last = jnp.take_along_axis(values, jnp.maximum(found - 1, 0), -2)
        last = jnp.where(found > 0, last, 0.0)
        values = jnp.where(place < found, values, last)
        count = jnp.maximum(found, 1).astype(past.dtype)
    n = jnp.maximum(count, 2.0)
    clip = 1 / (4 * n**0.25 * jnp.sqrt(3.14 * jnp.log(n)))
    bound = -special.ndtri(clip if tails == "flat" else jnp.maximum(clip, 0.5 / count))
    quantile = functools.partial(_quantile, values, count, tails)
    edges = quantile(-bound), quantile(bound)
    if tails == "flat":
        zeros = jnp.zeros_like(bound)
        return Marginals(values, count, bound, edges, (zeros, zeros), tails)
    ends = values[..., :1, :], values[..., -1:, :]
    span = ends[1] - ends[0]
    level = jnp.maximum(*map(jnp.abs, ends))
    level = jnp.where(level > _TINY, level, 1.0)
    least = _LEAST * jnp.where(span > _TINY, span, level)
    width = jnp.where(bound > 0, bound * 2 / 3, 1.0)  # 0 of one value

    def slope(z: jax.Array, edge: jax.Array, end: jax.Array) -> jax.Array:
        fitted = jnp.abs(edge - quantile(z / 3)) / width
        reach = jnp.abs(end - edge) / (_REACH - bound)
        return jnp.maximum(jnp.maximum(fitted, reach), least)

    low, high = map(slope, (-bound, bound), edges, ends)
    return Marginals(values, count, bound, edges, (low, high), tails)


def to_normal(marginals: Marginals, x: jax.Array) -> jax.Array:
    """z [..., N, D] of values x [..., N, D]; NaN stays NaN."""
    m = marginals
    left, right = _search(m, x)
    if m.tails == "flat":
        # The piece that counts at a tied value is one of those without a width.
        place = jnp.maximum(left + (right - left) // 2 - 1, 0.0)
        z = _clipped_z(m, place + _share(m, x, place)[0])
        return jnp.where(jnp.isnan(x), x, z)
    place = jnp.maximum(right - 1, 0.0)
    middle = jnp.where(right > left, (left + right - 1) / 2, place)
    z = _clipped_z(m, middle + _share(m, x, place)[0] + 0.5)
    above = m.bound + (x - m.edges[1]) / m.slopes[1]
    below = -m.bound + (x - m.edges[0]) / m.slopes[0]
    # A NaN is in no tail: `above` keeps it.
    z = jnp.where(x < m.edges[0], below, z)
    return jnp.where(x <= m.edges[1], z, above)


def from_normal(marginals: Marginals, z: jax.Array) -> jax.Array:
    """Values [..., N, D] of z [..., N, D]; NaN stays NaN."""
    m = marginals
    x = _quantile(m.values, m.count, m.tails, z)
    if m.tails == "flat":
        return x
    above = m.edges[1] + m.slopes[1] * (z - m.bound)
    below = m.edges[0] + m.slopes[0] * (z + m.bound)
    return jnp.where(z > m.bound, above, jnp.where(z < -m.bound, below, x))


def log_slope(marginals: Marginals, x: jax.Array) -> jax.Array:
    """log dz/dx, what a density of z lacks to be one of x.

        log p(x) = log p_z(to_normal(x)) + sum_d log_slope(x_d)

    Where two pieces meet it is that of the upper one. So the probability that a tied
    value has as such doesn't count: the same for all models of the same marginals.

    Args:
      marginals: of leading axes [...].
      x: [..., N, D].

    Returns:
      [..., N, D], finite where x is; NaN stays NaN. 0 of flat tails, which have no
      density.
    """
    m = marginals
    if m.tails == "flat":
        return jnp.zeros_like(x)
    place = jnp.maximum(_search(m, x)[1] - 1, 0.0)
    share, gap = _share(m, x, place)
    z = _clipped_z(m, place + share + 0.5)
    normal = jnp.square(z) / 2 + math.log(2 * math.pi) / 2
    within = normal - jnp.log(m.count) - jnp.log(gap)
    below = jnp.where(x < m.edges[0], -jnp.log(m.slopes[0]), within)
    found = jnp.where(x >= m.edges[1], -jnp.log(m.slopes[1]), below)
    return jnp.where(jnp.isnan(x), x, found)


def _search(m: Marginals, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How many values are below x, and how many not above: floats [..., N, D]."""
    values, wanted = jnp.swapaxes(m.values, -1, -2), jnp.swapaxes(x, -1, -2)

    def count(side: str) -> jax.Array:
        search = functools.partial(jnp.searchsorted, side=side)
        found = jnp.vectorize(search, signature="(m),(n)->(n)")(values, wanted)
        return jnp.minimum(jnp.swapaxes(found, -1, -2).astype(x.dtype), m.count)

    return count("left"), count("right")


def _share(m: Marginals, x: jax.Array, place: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How far x has come from value `place` to the next one, and the gap (1 if 0)."""
    start, gap = _piece(m.values, m.count, place)
    wide = jnp.where(gap > 0, gap, 1.0)
    return jnp.where(gap > 0, (x - start) / wide, 0.0), wide


def _clipped_z(m: Marginals, rank: jax.Array) -> jax.Array:
    """Phi^-1(rank / n), between the tails."""
    least = special.ndtr(-m.bound)
    return special.ndtri(jnp.clip(rank / m.count, least, 1 - least))


def _quantile(
    values: jax.Array, count: jax.Array, tails: Tails, z: jax.Array
) -> jax.Array:
    """Q(z) [..., N, D] between the first and the last value."""
    rank = count * special.ndtr(z) - (0.0 if tails == "flat" else 0.5)
    place = jnp.clip(jnp.floor(rank), 0.0, count - 1)
    start, gap = _piece(values, count, place)
    return start + jnp.clip(rank - place, 0.0, 1.0) * gap


def _piece(
    values: jax.Array, count: jax.Array, place: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The sorted value of a place [..., N, D], a whole number, and the gap behind it."""
    after = jnp.minimum(place + 1, count - 1)
    start, end = (
        jnp.take_along_axis(values, each.astype(int), -2) for each in (place, after)
    )
    return start, end - start
