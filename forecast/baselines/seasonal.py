"""The last season again, with what seasons were off by."""

import numpy as np
from numpy.random import Generator

from forecast.baselines.history import Levels, levels_of

_SEASONS = 5  # of growth to draw from


def seasonal_naive(
    history: np.ndarray, horizon: int, paths: int, rng: Generator, season: int
) -> np.ndarray:
    """Seasonal naive forecast with bootstrapped residuals.

        x_(T+h) = x_(T+h-m) + e,  e a row of x_t - x_(t-m) of the history

    Rows that follow each other, m of them from a random start (the first follows the
    last), make a season, so that a season keeps its level; errors of seasons add up.
    A history of m rows or fewer is taken as without a season, m = 1.

    Args and Returns as for `walks.gaussian_walk`; season is m, in steps.
    """
    levels = levels_of(history, logs=False)
    return _repeat(levels, horizon, paths, rng, season, len(levels.values))


def log_seasonal(
    history: np.ndarray, horizon: int, paths: int, rng: Generator, season: int
) -> np.ndarray:
    """Last season times growth over a season, bootstrapped from the last five seasons.

    As `seasonal_naive`, of logarithms where all values of a series are positive.
    """
    return _repeat(levels_of(history), horizon, paths, rng, season, _SEASONS * season)


def _repeat(
    levels: Levels, horizon: int, paths: int, rng: Generator, season: int, window: int
) -> np.ndarray:
    values = levels.values
    if len(values) <= season:
        season = 1
    growth = (values[season:] - values[:-season])[-window:]  # [n, D]
    if not len(growth):
        growth = np.zeros((1, values.shape[1]))
    seasons = -(-horizon // season)
    starts = rng.integers(len(growth), size=(paths, seasons, 1))
    drawn = growth[(starts + np.arange(season)) % len(growth)]  # [S, seasons, m, D]
    grown = values[-season:] + np.cumsum(drawn, axis=1)
    grown = grown.reshape(paths, seasons * season, -1)  # [S, seasons * m, D]
    return levels.restore(grown[:, :horizon])
