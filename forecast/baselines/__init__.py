"""Simple forecasts that every model is held against: sample paths without a network.

Each is a pure function of the history, `simulate(history [T, D], horizon, paths, rng)
-> [S, H, D]` in float64; the seasonal ones take a season too. `BASELINES` has them all
by name under one signature.

What they share: missing values are carried forward, leading ones back from the first
that is observed, and a series without any is 0. "Returns" are log returns of series
whose values are all positive, differences of the others. Rows of returns or residuals
are drawn for all series at once, so that the paths depend on each other as the series
did; theta alone draws each series by itself. Any history gives finite paths, one of no
rows (all 0) or of one row (the last value) too; each function says what it does where
there are too few rows for it.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from forecast.baselines.autoregression import vector_autoregression
from forecast.baselines.classical import ets, theta
from forecast.baselines.seasonal import log_seasonal, seasonal_naive
from forecast.baselines.walks import (
    bootstrap_walk,
    filtered_bootstrap,
    gaussian_walk,
    resampled_values,
)

BASELINES: dict[str, Callable[..., np.ndarray]] = {
    "gaussian_walk": gaussian_walk,
    "bootstrap_walk": bootstrap_walk,
    "filtered_bootstrap": filtered_bootstrap,
    "resampled_values": resampled_values,
    "vector_autoregression": vector_autoregression,
    "seasonal_naive": seasonal_naive,
    "log_seasonal": log_seasonal,
    "ets": ets,
    "theta": theta,
}
_SEASONAL = ("seasonal_naive", "log_seasonal", "ets", "theta")
NEED_STATSMODELS = ("ets", "theta")


def simulate(
    name: str,
    history: np.ndarray,
    horizon: int,
    paths: int,
    rng: Generator,
    season: int,
) -> np.ndarray:
    """Sample paths of a baseline.

    Args:
      name: one of `BASELINES`.
      history: [T, D], NaN where not observed.
      horizon: H, steps.
      paths: S.
      rng: of the draws.
      season: steps; 1 for none. Walks do not use it.

    Returns:
      float64 [S, H, D], finite.

    Raises:
      UserError: ets or theta, and statsmodels is not installed.
    """
    options = {"season": season} if name in _SEASONAL else {}
    return BASELINES[name](history, horizon, paths, rng, **options)
