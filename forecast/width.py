"""A random walk whose width is learned, for panels whose levels wander.

Nothing tells where such a series goes, but its recent moves tell how far. From what is
known at row t a small network gives each series one factor of its volatility v_t, for
the whole horizon:

    v_(t,h)^2 = sum_i k^i r_(t-i)^2 / sum_i k^i,  k = 2^(-1 / h);  v_t is that of h = 60
    s_t = v_t exp(b tanh(g(x_t) / b)),  g(x) = a'x + u'tanh(A'x)

with returns r: of logarithms where a series is positive throughout the past, else of
values. x_t are 1 and sizes, never signs: log ratios of volatilities of other half-lives h
to v_t, their means over series, and how far the level is from its long mean. So paths
have no drift. What is learned is the Gaussian CRPS of returns cumulated over some steps,
in the units of the data,

    CRPS(N(0, s^2), y) = s (w (2 Phi(w) - 1) + 2 phi(w) - 1 / sqrt(pi)),  w = y / s

from factor 1 on, which validation may well prefer to all that follow. About half of the
paths resample rows of the past, the others draw from a correlated t distribution; both
count in s_t. Series are not told apart: it forecasts any panel.

Sources: Gneiting, Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation",
JASA 102 (2007), for the CRPS; Barone-Adesi, Giannopoulos, Vosper, "VaR without
correlations for portfolios of derivative securities", J. Futures Markets 19 (1999), for
resampled returns.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.scipy.special import erf

from forecast.config import Sizes, Support
from forecast.distributions.support import to_support
from forecast.model import Likelihood
from forecast.windows import Window

HALF_LIVES = (5, 20, 60, 250, 1000)  # h, steps
STEPS = (1, 2, 5, 10, 20, 30)  # over which returns are cumulated, within the horizon
FEATURES = 2 * (len(HALF_LIVES) - 1) + 1
MEMBERS = 2  # networks whose log-factors are averaged
_BASE = HALF_LIVES.index(60)
_HIDDEN = 16
_BOUND = 2.0  # b
_FARTHEST = 3.0  # distance of a level
# Of the root mean square of the last returns: a pegged rate that jumps would have
# standardised returns without bound.
_LEAST_VOLATILITY = 0.25
_RECENT, _LAST = 250, 1000  # returns that are correlated, and that are resampled
_FREEDOM = 4  # of t
_LARGEST = 1e35  # of a path
_TINY = 1e-30


class Walk(NamedTuple):
    """What is known of walks; a level is how far a value is from the start.

    Attributes:
      start: [B, 1, D] the last values, from which paths go on.
      logged: bool [B, 1, D], whether levels are logarithms of value / start, else
        (value - start) / unit.
      unit: [B, 1, D], what a small level of 1 is in the units of the data.
      levels: [B, P, D] of the past; before a series begins that of its first value.
      returns: [B, P, D], of each row from the one before.
      moved: [B, P, D], 1 where there is such a row, else 0.
    """

    start: jax.Array
    logged: jax.Array
    unit: jax.Array
    levels: jax.Array
    returns: jax.Array
    moved: jax.Array

    def level(self, values: jax.Array) -> jax.Array:
        """Levels of values [B, T, D]; 0 of what has none."""
        positive = jnp.where(self.logged & (values > 0), values, self.unit)
        logs = jnp.log(positive) - jnp.log(self.unit)
        shares = jnp.clip((values - self.start) / self.unit, -_LARGEST, _LARGEST)
        return jnp.where(self.logged, logs, shares)

    def values(self, levels: jax.Array) -> jax.Array:
        """Values, finite, of levels [B, S, H, D]."""
        start, logged, unit = (leaf[:, None] for leaf in self[:3])
        found = jnp.where(logged, start * jnp.exp(levels), start + unit * levels)
        return jnp.clip(found, -_LARGEST, _LARGEST)


def make_walk(values: jax.Array, observed: jax.Array) -> Walk:
    """Walks through the pasts of windows, [B, P, D]; no row before a series counts.

    Args:
      values: a missing one is the one before it.
      observed: whether a value was there.
    """
    rows = values.shape[1]
    first = jnp.where(observed.any(1), observed.argmax(1), rows - 1)[:, None]
    known = jnp.arange(rows)[None, :, None] >= first
    values = jnp.where(known, values, jnp.take_along_axis(values, first, 1))
    start, largest = values[:, -1:], jnp.abs(values).max(1, keepdims=True)
    logged = (values > 0).all(1, keepdims=True)
    unit = jnp.where(logged, start, jnp.where(largest > 0, largest, 1.0))
    nothing = jnp.zeros_like(start)
    walk = Walk(start, logged, unit, nothing, nothing, nothing)
    levels = walk.level(values)
    returns = jnp.diff(levels, axis=1, prepend=levels[:, :1])
    moved = jnp.pad(known[:, :-1], ((0, 0), (1, 0), (0, 0))).astype(levels.dtype)
    return walk._replace(levels=levels, returns=returns, moved=moved)


def average(
    values: jax.Array, counts: jax.Array, rows: jax.Array, half_lives: jax.Array
) -> jax.Array:
    """Exponentially weighted means of each row and those before it that count.

    Args:
      values: [B, P, D], 0 where they do not count.
      counts: [B, P, D], 1 where they do.
      rows: int [Q], up to which.
      half_lives: [Q].

    Returns:
      [B, Q, D]; 0 where none counts.
    """
    back = rows[:, None] - jnp.arange(values.shape[1])[None]  # [Q, P]
    weights = 0.5 ** (jnp.maximum(back, 0) / half_lives[:, None]) * (back >= 0)
    total, weight = (
        jnp.einsum("qp,bpd->bqd", weights, part, precision="highest")
        for part in (values, counts)
    )
    return total / jnp.maximum(weight, _TINY)


def volatilities(walk: Walk, rows: jax.Array, half_lives: jax.Array) -> jax.Array:
    """v [B, Q, D] of rows, above 0.

    None counts as less than a quarter of the root mean square of the last 1,000 returns
    of the series; where it did not move they are 1.
    """
    squares, last = walk.returns**2, slice(-_LAST, None)
    count = jnp.maximum(walk.moved[:, last].sum(1, keepdims=True), 1)
    size = jnp.sqrt(squares[:, last].sum(1, keepdims=True) / count)
    found = jnp.sqrt(average(squares, walk.moved, rows, half_lives))
    return jnp.maximum(found, jnp.where(size > 0, _LEAST_VOLATILITY * size, 1.0))


def features(walk: Walk) -> tuple[jax.Array, jax.Array]:
    """What is known at the end of the past.

    Returns:
      v [B, D]. And what a network reads, [B, D, 9]: four log ratios of volatilities
      (h = 5, 20, 250, 1,000) to v; their means over series; and the distance of the
      level from its mean (h = 1,000), at most 3, where 1 is as far as 1,000 steps
      usually go.
    """
    lives = jnp.array(HALF_LIVES, jnp.float32)
    rows = jnp.full(len(lives), walk.levels.shape[1] - 1)
    every = volatilities(walk, rows, lives)  # [B, 5, D]
    base = every[:, _BASE]
    ratios = jnp.log(jnp.delete(every, _BASE, 1) / base[:, None])  # [B, 4, D]
    means = jnp.broadcast_to(ratios.mean(2, keepdims=True), ratios.shape)
    # The row before the first return counts: its level is known.
    known = jnp.concatenate([walk.moved[:, 1:], jnp.ones_like(walk.start)], 1)
    mean = average(walk.levels * known, known, rows[-1:], lives[-1:])
    usual = every[:, -1:] * HALF_LIVES[-1] ** 0.5
    distance = jnp.minimum(jnp.abs(mean) / usual, _FARTHEST)  # [B, 1, D]
    inputs = jnp.concatenate([ratios, means, distance], 1)
    return base, jnp.swapaxes(inputs, 1, 2)


def gaussian_crps(scale: jax.Array, outcome: jax.Array) -> jax.Array:
    """CRPS of N(0, scale^2), elementwise, in the units of the outcome."""
    ratio = outcome / scale
    density = jnp.exp(-(ratio**2) / 2) / (2 * jnp.pi) ** 0.5
    return scale * (ratio * erf(ratio / 2**0.5) + 2 * density - jnp.pi**-0.5)


def standard_rows(walk: Walk) -> tuple[jax.Array, jax.Array]:
    """The last 1,000 rows r_(t+1) / v_t, [B, n, D], and how many of them are there."""
    rows = walk.levels.shape[1]
    last = jnp.arange(max(rows - _LAST, 1), rows)
    half_life = jnp.full(len(last), float(HALF_LIVES[_BASE]))
    found = walk.returns[:, last] / volatilities(walk, last - 1, half_life)
    return found, walk.moved[:, last].max(2).sum(1).astype(int)


def draw_steps(
    rows: jax.Array, recent: jax.Array, count: jax.Array, horizon: int, key: jax.Array
) -> jax.Array:
    """Steps [H, D] of one path, of variance 1: resampled, or of a correlated t.

    Args:
      rows: [n, D] to draw from, the last `count` of them.
      recent: [m, D], whose columns have a sum of squares of 1.
      count: of rows.
      horizon: H.
      key: of the path.
    """
    keys = jax.random.split(key, 4)
    places = jax.random.randint(keys[0], (horizon,), 0, jnp.maximum(count, 1))
    # Of normals N the product N R has the covariance R'R, singular or not.
    normal = jax.random.normal(keys[1], (horizon, len(recent))) @ recent
    chi_square = (jax.random.normal(keys[2], (_FREEDOM,)) ** 2).sum()
    student = normal / jnp.sqrt(chi_square / (_FREEDOM - 2))
    return jnp.where(jax.random.bernoulli(keys[3]), rows[-1 - places], student)


class Width(nn.Module):
    """The network over windows; see `forecast.model.Forecaster`.

    Attributes:
      sizes: of the data.
      support: what values may be.
    """

    sizes: Sizes
    support: Support = "real"

    def setup(self):
        """Makes the weights, whose factor is 1."""
        inner, shape = nn.initializers.normal(FEATURES**-0.5), (MEMBERS, FEATURES + 1)
        self.linear = self.param("linear", nn.initializers.zeros, shape)
        self.inner = self.param("inner", inner, (*shape, _HIDDEN))
        self.outer = self.param("outer", nn.initializers.zeros, (MEMBERS, _HIDDEN))

    def log_factors(self, inputs: jax.Array) -> jax.Array:
        """Logarithms [M, B, D] of s / v, within b, of features [B, D, 9]."""
        inputs = jnp.concatenate([inputs, jnp.ones_like(inputs[..., :1])], -1)
        hidden = jnp.tanh(jnp.einsum("bdf,mfh->mbdh", inputs, self.inner))
        found = jnp.einsum("bdf,mf->mbd", inputs, self.linear)
        found = found + jnp.einsum("mbdh,mh->mbd", hidden, self.outer)
        return _BOUND * jnp.tanh(found / _BOUND)

    def log_prob(self, window: Window, *, train: bool = False) -> Likelihood:
        """Minus the CRPS of cumulated returns, whose scale is s sqrt(steps).

        Args:
          window: with its horizon.
          train: changes nothing.

        Returns:
          Of the K of `STEPS` that lie within the horizon: sums over series in the units
          of the data [B, K], and of what is observed the weights v in these units, so
          that their ratio is in units of v. There are no densities.
        """
        del train
        past = self.sizes.past
        walk = make_walk(window.values[:, :past], window.observed[:, :past])
        base, inputs = features(walk)
        steps = np.array([step for step in STEPS if step <= self.sizes.horizon])
        ends = window.values[:, past - 1 + steps]  # [B, K, D]
        seen = window.observed[:, past - 1 + steps] & window.observed[:, past - 1, None]
        seen &= ~walk.logged | (ends > 0)
        outcomes = jnp.where(seen, walk.level(ends) / base[:, None], 0.0)
        factors = jnp.exp(self.log_factors(inputs))[:, :, None]  # [M, B, 1, D]
        scales = factors * np.sqrt(steps, dtype=np.float32)[None, None, :, None]
        found = gaussian_crps(scales, outcomes[None]).mean(0)
        # A series that never moves hardly counts.
        alive = (walk.returns != 0).any(1, keepdims=True)
        weights = jnp.where(alive, base[:, None] * walk.unit, _TINY) * seen
        scaled = -(found * weights).sum(-1)
        return Likelihood(scaled, None, weights.sum(-1))

    def sample(self, window: Window, keys: jax.Array) -> jax.Array:
        """Paths of the horizons: walks whose steps are s times rows of variance 1.

        By a toss, a path resamples rows r_(t+1) / v_t of the last 1,000 steps, their
        mean taken off, or draws from t with 4 degrees of freedom, one chi-square a path,
        and the correlation of the last 250 such rows about 0.

        Args:
          window: the values of its horizon are not looked at.
          keys: one a path [B, S]; a path depends on its window and its key alone.

        Returns:
          [B, S, H, D] in the units of the data, finite. Series that did not move stand
          still.
        """
        past = self.sizes.past
        walk = make_walk(window.values[:, :past], window.observed[:, :past])
        base, inputs = features(walk)
        scale = base * jnp.exp(self.log_factors(inputs).mean(0))
        rows, count = standard_rows(walk)
        there = jnp.arange(rows.shape[1])[None] >= rows.shape[1] - count[:, None]
        counts = jnp.maximum(count, 1)[:, None, None]
        centred = (rows - rows.sum(1, keepdims=True) / counts) * there[..., None]
        drawn = _unit(centred) * jnp.sqrt(counts)
        draw = jax.vmap(draw_steps, (None, None, None, None, 0))
        steps = jax.vmap(draw, (0, 0, 0, None, 0))(
            drawn, _unit(rows[:, -_RECENT:]), count, self.sizes.horizon, keys
        )
        levels = jnp.cumsum(steps * scale[:, None, None], 2)
        return to_support(walk.values(levels), self.support)


def _unit(rows: jax.Array) -> jax.Array:
    """Rows [B, n, D] whose squares sum to 1 over n; zeros stay so."""
    size = jnp.sqrt((rows**2).sum(1, keepdims=True))
    return rows / jnp.where(size > 0, size, 1.0)
