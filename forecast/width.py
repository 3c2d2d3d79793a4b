"""A random walk whose width is learned, for panels whose levels wander.

Nothing tells where such a series goes, but its recent moves tell how far. From what is
known at row t a small network gives each series one factor of its volatility v_t, for
the whole horizon:

    v_(t,h)^2 = sum_i k^i r_(t-i)^2 / sum_i k^i,  k = 2^(-1 / h);  v_t is that of h = 60
    s_t = v_t exp(b tanh(g(x_t) / b)),  g(x) = a'x + u'tanh(A'x)

with returns r, as `forecast.baselines` has them. x_t are 1 and sizes, never signs: log
ratios of volatilities of other half-lives h to v_t, their means over series, and how far
the level is from its long mean. So paths have no drift. What is learned is the Gaussian
CRPS of returns cumulated over some steps, in the units of the data,

    CRPS(N(0, s^2), y) = s (w (2 Phi(w) - 1) + 2 phi(w) - 1 / sqrt(pi)),  w = y / s

from factor 1 on, which validation may well prefer to all that follow. Half of the paths
resample rows of the past, half draw from a correlated t distribution; both count in s_t.

Sources: Gneiting, Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation",
JASA 102 (2007), for the CRPS; Barone-Adesi, Giannopoulos, Vosper, "VaR without
correlations for portfolios of derivative securities", J. Futures Markets 19 (1999), for
resampled returns.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.scipy.special import erf
from scipy import signal

from common.parallel import rng as keys
from forecast.baselines.history import Levels, fill, levels_of

HALF_LIVES = (5, 20, 60, 250, 1000)  # h, steps
STEPS = (1, 2, 5, 10, 20, 30)  # over which returns are cumulated, within the horizon
FEATURES = 2 * (len(HALF_LIVES) - 1) + 1
MEMBERS = 2  # networks whose log-factors are averaged
UPDATES, BATCH, EVERY = 600, 256, 10  # validated after every 10 updates
_BASE = HALF_LIVES.index(60)
_HIDDEN, _LEARNING_RATE = 16, 0.01
_BOUND = 2.0  # b
_FARTHEST = 3.0  # distance of a level
# Of the root mean square of the last returns: a pegged rate that jumps would have
# standardised returns without bound.
_LEAST_VOLATILITY = 0.25
_WARM_UP = 60  # rows before the first that is learned from
_FEWEST = 100  # rows to learn from
_RECENT, _LAST = 250, 1000  # returns that are correlated, and that are resampled
_FREEDOM = 4  # of t

Params = dict[str, Any]


class Examples(NamedTuple):
    """N rows to learn from; K of `STEPS` lie within the horizon.

    Attributes:
      features: float32 [N, D, 9], see `features`.
      outcomes: float32 [N, K, D] returns cumulated over the K steps, in units of v; NaN
        where an end is not observed.
      weights: float32 [N, D] v in the units of the data, of mean 1 over all rows; 0 for
        series that never move.
    """

    features: Any
    outcomes: Any
    weights: Any


class Width(NamedTuple):
    """A fitted model; of any panel, as series are not told apart.

    Attributes:
      params: of the M networks, each leaf [M, ..].
      steps: int [C] updates after which validation was asked; empty where there was too
        little to learn from, which leaves factor 1.
      validation: float64 [C, M] loss then; the first is that of factor 1.
    """

    params: Params
    steps: np.ndarray
    validation: np.ndarray


def init(key: jax.Array) -> Params:
    """Weights of one network, whose factor is 1."""
    inner = jax.random.normal(key, (FEATURES + 1, _HIDDEN))
    return {
        "linear": jnp.zeros(FEATURES + 1),
        "inner": inner / FEATURES**0.5,
        "outer": jnp.zeros(_HIDDEN),
    }


def log_factor(params: Params, inputs: jax.Array) -> jax.Array:
    """Logarithms [..] of s / v, between -2 and 2, of features [.., 9]."""
    inputs = jnp.append(inputs, jnp.ones_like(inputs[..., :1]), axis=-1)
    hidden = jnp.tanh(inputs @ params["inner"])
    found = inputs @ params["linear"] + hidden @ params["outer"]
    return _BOUND * jnp.tanh(found / _BOUND)


def gaussian_crps(scale: jax.Array, outcome: jax.Array) -> jax.Array:
    """CRPS of N(0, scale^2), elementwise, in the units of the outcome."""
    ratio = outcome / scale
    density = jnp.exp(-(ratio**2) / 2) / (2 * jnp.pi) ** 0.5
    return scale * (ratio * erf(ratio / 2**0.5) + 2 * density - jnp.pi**-0.5)


def loss(params: Params, batch: Examples) -> jax.Array:
    """Weighted mean of the CRPS of cumulated returns, whose scale is s sqrt(steps).

    Args:
      params: of one network.
      batch: of B rows.

    Returns:
      A scalar in units of v; 0 where nothing is observed or moves.
    """
    steps = jnp.array(STEPS[: batch.outcomes.shape[1]], jnp.float32)
    factor = jnp.exp(log_factor(params, batch.features))  # [B, D]
    scale = factor[:, None] * jnp.sqrt(steps)[None, :, None]  # [B, K, D]
    seen = jnp.isfinite(batch.outcomes)
    found = gaussian_crps(scale, jnp.where(seen, batch.outcomes, 0.0))
    weights = batch.weights[:, None] * seen
    return (found * weights).sum() / jnp.maximum(weights.sum(), 1e-30)


def features(levels: Levels) -> tuple[np.ndarray, np.ndarray]:
    """What is known at each row, from it and those before.

    No volatility counts as less than a quarter of the root mean square of the last
    1,000 returns of the series, nor as 0: it is 1 where a series did not move.

    Args:
      levels: of T rows.

    Returns:
      v, float64 [T, D]. And what a network reads, float32 [T, D, 9]: four log ratios of
      volatilities (h = 5, 20, 250, 1,000) to v; their means over series; and the
      distance of the level from its mean (h = 1,000), at most 3, where 1 is as far as
      1,000 steps usually go.
    """
    values = levels.values
    ones = np.ones((len(values), 1))
    moved = np.minimum(np.arange(len(values)), 1.0)[:, None]  # the first row has not
    squares = np.diff(values, axis=0, prepend=values[:1]) ** 2
    least = _LEAST_VOLATILITY * np.sqrt(np.mean(levels.returns(_LAST) ** 2, axis=0))
    least = np.where(least > 0, least, 1.0)
    every = [
        np.maximum(np.sqrt(_mean_so_far(squares, moved, each)), least)
        for each in HALF_LIVES
    ]
    base = every.pop(_BASE)
    away = np.abs(values - _mean_so_far(values, ones, HALF_LIVES[-1]))
    distance = np.minimum(away / (every[-1] * HALF_LIVES[-1] ** 0.5), _FARTHEST)
    ratios = np.stack([np.log(each / base) for each in every], axis=-1)
    means = np.broadcast_to(ratios.mean(1, keepdims=True), ratios.shape)
    inputs = np.concatenate([ratios, means, distance[..., None]], axis=-1)
    return base, inputs.astype(np.float32)


def make_examples(history: np.ndarray, horizon: int) -> Examples:
    """Every row of a history [T, D] as one to learn from: N = T."""
    levels = levels_of(history)
    values, seen = levels.values, np.isfinite(history)
    base, inputs = features(levels)
    steps = [step for step in STEPS if step <= horizon]
    outcomes = np.full((len(values), len(steps), values.shape[1]), np.nan, np.float32)
    for number, step in enumerate(steps):
        moved = (values[step:] - values[:-step]) / base[:-step]
        outcomes[:-step, number] = np.where(seen[step:] & seen[:-step], moved, np.nan)
    level = np.where(levels.logged, fill(history), levels.units)
    weights = level / level.max() * base * (np.ptp(values, axis=0) > 0)
    weights = weights / (weights.mean() or 1.0)
    return Examples(inputs, outcomes, weights.astype(np.float32))


def fit(history: np.ndarray, horizon: int, validation_rows: int, seed: int) -> Width:
    """Trains the networks, and keeps each as it was when validation liked it best.

    No outcome to learn from reaches into the validation rows.

    Args:
      history: [T, D], rows before the test; NaN where not observed.
      horizon: H steps.
      validation_rows: last rows of the history, which choose.
      seed: of weights and batches.

    Returns:
      The model; that of factor 1 where fewer than 100 rows are left to learn from, or
      validation has fewer than the longest outcome.
    """
    history = np.asarray(history, np.float64)
    longest = max(step for step in STEPS if step <= horizon)
    known = len(history) - validation_rows - 1  # last row before validation
    end = known - longest + 1
    members = jax.random.split(keys.stream(keys.root(seed), "width"), MEMBERS)
    if end - _WARM_UP < _FEWEST or validation_rows < longest:
        params, losses = jax.vmap(init)(members), np.zeros((MEMBERS, 0))
    else:
        examples = make_examples(history, horizon)
        train = Examples(*(part[_WARM_UP:end] for part in examples))
        valid = Examples(*(part[known : len(history) - longest] for part in examples))
        params, losses = _train(members, train, valid)
    found = np.asarray(losses, np.float64).T
    return Width(jax.tree.map(np.asarray, params), EVERY * np.arange(len(found)), found)


@jax.jit
def _train(members: jax.Array, train: Examples, valid: Examples) -> tuple[Params, Any]:
    """Params [M, ..] of the best step, and losses [M, C] on validation."""
    optimizer = optax.adam(_LEARNING_RATE)

    def update(carry, rows):
        params, state = carry
        batch = jax.tree.map(lambda part: part[rows], train)
        changes, state = optimizer.update(jax.grad(loss)(params, batch), state)
        return (optax.apply_updates(params, changes), state), None

    def check(carry, batches):
        trained, best, lowest = carry
        trained, _ = lax.scan(update, trained, batches)
        found = loss(trained[0], valid)
        best = jax.tree.map(
            lambda new, old: jnp.where(found < lowest, new, old), trained[0], best
        )
        return (trained, best, jnp.minimum(found, lowest)), found

    def train_member(key):
        params, key = init(keys.stream(key, "init")), keys.stream(key, "batches")
        first = loss(params, valid)
        shape = (UPDATES // EVERY, EVERY, BATCH)
        batches = jax.random.randint(key, shape, 0, len(train.weights))
        start = ((params, optimizer.init(params)), params, first)
        (_, best, _), losses = lax.scan(check, start, batches)
        return best, jnp.append(first, losses)

    return jax.vmap(train_member)(members)


def simulate(
    width: Width,
    history: np.ndarray,
    horizon: int,
    paths: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Sample paths: walks whose steps are s times rows of variance 1.

    Every other path, from the first on, resamples rows r_(t+1) / v_t of the last 1,000
    steps, their mean taken off. The rest draw from t with 4 degrees of freedom, one
    chi-square a path, and the correlation of the last 250 such rows about 0.

    Args:
      width: fitted, to this panel or another.
      history: [T, D], NaN where not observed.
      horizon: H.
      paths: S.
      rng: of the draws.

    Returns:
      float64 [S, H, D], finite. Series that did not move stand still.
    """
    levels = levels_of(history)
    base, inputs = features(levels)
    logs = jax.vmap(log_factor, (0, None))(width.params, jnp.asarray(inputs[-1]))
    scale = base[-1] * np.exp(np.asarray(logs, np.float64).mean(0))
    returns = levels.returns(_LAST)
    rows = returns / np.concatenate([base[:1], base[:-1]])[-len(returns) :]  # [n, D]
    steps = np.empty((paths, horizon, len(scale)))
    drawn = rng.integers(len(rows), size=(len(steps[::2]), horizon))
    steps[::2] = _unit(rows - rows.mean(0))[drawn]
    recent = _unit(rows[-_RECENT:])
    # Of R = Q U the factor U has U'U = R'R, singular or not.
    factor = np.linalg.qr(recent, mode="r") / np.sqrt(len(recent))
    normal = rng.standard_normal((len(steps[1::2]), horizon, len(factor))) @ factor
    spread = rng.chisquare(_FREEDOM, (len(normal), 1, 1)) / (_FREEDOM - 2)
    steps[1::2] = normal / np.sqrt(spread)
    return levels.walk(steps * scale)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows [n, D] over their root mean square; zeros stay so."""
    size = np.sqrt(np.mean(rows**2, axis=0))
    return rows / np.where(size > 0, size, 1.0)


def _mean_so_far(
    values: np.ndarray, counts: np.ndarray, half_life: float
) -> np.ndarray:
    """Exponentially weighted mean [T, D] of each row and those before that count."""
    filters = [1.0], [1.0, -(0.5 ** (1 / half_life))]
    total, weight = (signal.lfilter(*filters, x, axis=0) for x in (values, counts))
    return total / np.maximum(weight, 1.0)
