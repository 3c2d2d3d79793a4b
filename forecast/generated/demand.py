"""The built-in generated panel `demand`: what articles of a shop sell each day.

Sales are counts with a negative binomial margin of mean mu and variance mu + a mu^2:

    log mu = level + season of the category + LIFT promotion + ELASTICITY log price
             - LOSS (neighbours on promotion)

The days are independent given mu. On one day the normal scores z of all articles are
jointly normal, and sales are margin^-1(Phi(z)): a Gaussian copula whose correlation,
`true_correlation`, is WITHIN in a category and ACROSS between two. Neighbours are the
articles before and after in the category, as a ring.

| off | what it takes away | what must fail then |
|---|---|---|
| `dependence` | scores of articles are independent | joint models beat independent heads |
| `promotions` | flags and prices stand there, and sales do not follow them | known covariates help |
| `substitution` | neighbours lose nothing | covariates of other articles help |
| `intermittency` | slow articles are as fast as others | count heads help |
| `seasonality` | no day of the week or the year differs | calendar and seasonal naive help |

Without `promotions` there is nothing to substitute either. Mean, margins and correlation
are known, so what a perfect forecast would say is known too, see `draw_truth`. A series
is a function of the seed and its number alone: more days or more whole categories do not
change it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

from common.data.generated import generator
from forecast.generated import parameters as p
from forecast.generated.parameters import DemandConfig
from forecast.panel.frequencies import make_times
from forecast.panel.panel import Panel
from forecast.scores.joint import correlate

_ARTICLE = int.from_bytes(b"demand article", "big")
_SHOCK = int.from_bytes(b"demand shock", "big")
_CATEGORY = int.from_bytes(b"demand category", "big")
_CATEGORY_SHOCK = int.from_bytes(b"demand joint", "big")
_COMMON_SHOCK = int.from_bytes(b"demand common", "big")


@dataclasses.dataclass(frozen=True, eq=False)
class World:
    """What decides the sales of D articles over T + H days.

    Attributes:
      mean: float64 [T + H, D] of the sales, given all that is known.
      promotion: [T + H, D], 0 or 1.
      price: [T + H, D].
      category: int32 [D].
    """

    mean: np.ndarray
    promotion: np.ndarray
    price: np.ndarray
    category: np.ndarray


def make_panel(config: DemandConfig) -> Panel:
    """The panel: T days of sales, promotions and prices for H days more."""
    world = make_world(config)
    days = config.days
    sales = to_sales(_scores(config, days), world.mean[:days])
    names = tuple(f"category {k + 1}" for k in range(world.category.max() + 1))
    known = np.stack([world.promotion, world.price], axis=-1)  # [T + H, D, 2]
    return Panel.of(
        sales,
        make_times(p.START, days, "D"),
        "D",
        tuple(f"article {d + 1}" for d in range(config.series)),
        known=known.astype(np.float32),
        known_names=("promotion", "price"),
        categories=world.category[:, None],
        category_names=("category",),
        category_levels=(names,),
        groups={"category": tuple(names[k] for k in world.category)},
    )


def make_world(config: DemandConfig) -> World:
    """Means, promotions and prices; the draws do not depend on the switches."""
    days = config.days + p.HORIZON
    numbers = np.arange(config.series)
    category, place = np.divmod(numbers, p.IN_CATEGORY)
    level, promotion, price, list_price = _draw_articles(config, days)
    slow = np.isin(place, p.SLOW_PLACES) & config.intermittency
    low, high = np.where(slow, np.transpose([p.SLOW]), np.transpose([p.FAST]))
    logs = np.repeat((low + level * (high - low))[None, :], days, axis=0)  # [T + H, D]
    if config.seasonality:
        logs += _seasons(config, days, category.max() + 1)[:, category]
    if config.promotions:
        ratio = np.log(price) - np.log(list_price)[None, :]
        logs += p.LIFT * promotion + p.ELASTICITY * ratio
    if config.promotions and config.substitution:
        logs -= p.LOSS * promotion @ neighbours(config.series)
    return World(np.exp(logs), promotion, price, category.astype(np.int32))


def neighbours(series: int) -> np.ndarray:
    """Whether an article is the neighbour of another, float64 [D, D], symmetric."""
    numbers = np.arange(series)
    first = numbers - numbers % p.IN_CATEGORY
    size = np.minimum(first + p.IN_CATEGORY, series) - first
    after = first + (numbers - first + 1) % size
    near = np.zeros((series, series))
    near[numbers, after] = near[after, numbers] = 1
    np.fill_diagonal(near, 0)
    return near


def true_correlation(config: DemandConfig) -> np.ndarray:
    """Correlation of the normal scores of sales on one day, float64 [D, D]."""
    if not config.dependence:
        return np.eye(config.series)
    category = np.arange(config.series) // p.IN_CATEGORY
    correlation = np.where(category[:, None] == category[None, :], p.WITHIN, p.ACROSS)
    np.fill_diagonal(correlation, 1)
    return correlation


def to_sales(scores: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Counts float64 [...] of normal scores and means, both [...]."""
    shape = 1 / p.DISPERSION
    return stats.nbinom.ppf(stats.norm.cdf(scores), shape, shape / (shape + mean))


def draw_truth(
    config: DemandConfig, first: int, horizon: int, paths: int, seed: int = 0
) -> np.ndarray:
    """Sample paths of a forecaster who knows all but the draws: the floor of scores.

    Args:
      config: of the world.
      first: day of the first step, from 0; up to T.
      horizon: H steps, at most 28 beyond the end.
      paths: S.
      seed: of the draws.

    Returns:
      float64 [S, H, D].
    """
    mean = make_world(config).mean[first : first + horizon]
    rng = np.random.default_rng(seed)
    factors = (rng.standard_normal((paths, horizon, n)) for n in _factors(config))
    return to_sales(_mix(config, *factors), mean[None])


def recover_correlation(
    config: DemandConfig, starts: Sequence[int], paths: np.ndarray
) -> dict[str, float]:
    """What sample paths have of the correlation on one day, see `joint.correlate`.

    Args:
      config: of the world.
      starts: [W], days on which the windows start.
      paths: [W, S, H, D].

    Returns:
      "within" and "across": mean over the pairs of one category, and of two;
      "within_true" and "across_true" of `draw_truth`, as many paths, which are nearer
      to 0 than those of scores, the more so for slow articles; "error": root mean
      square of all pairs' differences. What has no pairs is left out.
    """
    _, _, horizon, series = paths.shape
    truth = [
        draw_truth(config, start, horizon, paths.shape[1], seed)
        for seed, start in enumerate(starts)
    ]
    own, true = (np.mean([*map(correlate, each)], axis=0) for each in (paths, truth))
    category = np.arange(series) // p.IN_CATEGORY
    one, pairs = category[:, None] == category, ~np.eye(series, dtype=bool)
    found = {"error": np.sqrt(np.mean((own - true)[pairs] ** 2))} if series > 1 else {}
    for name, chosen in (("within", one & pairs), ("across", ~one)):
        if chosen.any():
            found |= {name: own[chosen].mean(), f"{name}_true": true[chosen].mean()}
    return {name: float(value) for name, value in found.items()}


def _scores(config: DemandConfig, days: int) -> np.ndarray:
    """Normal scores [T, D] as they came."""

    def draw(stream: int, count: int) -> np.ndarray:
        streams = (generator(config.seed, number, stream) for number in range(count))
        return np.stack([rng.standard_normal(days) for rng in streams], axis=1)

    streams = (_COMMON_SHOCK, _CATEGORY_SHOCK, _SHOCK)
    return _mix(config, *map(draw, streams, _factors(config)))


def _factors(config: DemandConfig) -> tuple[int, int, int]:
    """Numbers of the common factor, of those of categories, and of articles' own."""
    return 1, -(-config.series // p.IN_CATEGORY), config.series


def _mix(
    config: DemandConfig, common: np.ndarray, joint: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """Scores [..., D] of standard normal factors [..., 1], [..., categories], [..., D]."""
    if not config.dependence:
        return own
    joint = joint[..., np.arange(config.series) // p.IN_CATEGORY]  # [..., D]
    scores = np.sqrt(p.ACROSS) * common + np.sqrt(p.WITHIN - p.ACROSS) * joint
    return scores + np.sqrt(1 - p.WITHIN) * own


def _draw_articles(config: DemandConfig, days: int) -> tuple[np.ndarray, ...]:
    """Level in (0, 1) [D], promotion and price [T + H, D], list price [D]."""
    weeks = -(-days // 7)
    level, list_price = np.empty(config.series), np.empty(config.series)
    promotion, price = np.empty((2, weeks, config.series))
    for number in range(config.series):
        rng = generator(config.seed, number, _ARTICLE)
        level[number], list_price[number] = rng.random(), np.exp(rng.normal(3, 0.5))
        luck = rng.random((weeks, 2))
        promotion[:, number] = luck[:, 0] < p.PROMOTED
        rises = np.cumsum(luck[:, 1] < p.RISES)
        price[:, number] = list_price[number] * (1 + p.RISE) ** (rises - rises[0])
    price *= 1 - p.DISCOUNT * promotion
    of_days = (np.repeat(each, 7, axis=0)[:days] for each in (promotion, price))
    return level, *of_days, list_price


def _seasons(config: DemandConfig, days: int, categories: int) -> np.ndarray:
    """Logarithms of the season of each category, [T + H, categories]."""
    day = np.arange(days)
    seasons = np.empty((days, categories))
    for number in range(categories):
        rng = generator(config.seed, number, _CATEGORY)
        week = p.WEEKLY * rng.standard_normal(7)
        phase = rng.uniform(0, 2 * np.pi)
        wave = p.YEARLY * np.sin(2 * np.pi * day / p.YEAR + phase)
        seasons[:, number] = week[day % 7] - week.mean() + wave
    return seasons
