"""Exponential smoothing and theta by statsmodels, of the extra `rivals`."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator

from common.errors import UserError
from forecast.baselines.history import Levels, levels_of
from forecast.baselines.walks import bootstrap_walk

_FEWEST = 12  # rows; statsmodels wants 10, and more with a season
_WINDOW = 1000  # rows to fit to, or ten seasons


def ets(
    history: np.ndarray, horizon: int, paths: int, rng: Generator, season: int
) -> np.ndarray:
    """Exponential smoothing, additive with damped trend and season: ETS(A, Ad, A).

    Of logarithms where all values of a series are positive. Each series is fitted by
    itself; rows of the one-step errors of all series are resampled together.

    Without a season where it is 1 or the history shorter than two. Series that are
    constant, shorter than 12 rows, or that statsmodels can't fit have the paths of the
    bootstrap walk.

    Source: Hyndman, Koehler, Ord, Snyder, "Forecasting with Exponential Smoothing"
    (2008).

    Args and Returns as for `walks.gaussian_walk`; season is m, in steps.

    Raises:
      UserError: statsmodels is not installed.
    """
    module, levels = _import("holtwinters"), _recent(history, season)
    result = bootstrap_walk(history, horizon, paths, rng)
    drawn = rng.integers(len(levels.values), size=(horizon, paths))

    def simulate(values: np.ndarray, series: int, period: int) -> np.ndarray:
        fitted = module.ExponentialSmoothing(
            values,
            trend="add",
            damped_trend=True,
            seasonal="add" if period > 1 else None,
            seasonal_periods=period if period > 1 else None,
            initialization_method="heuristic",
        ).fit()
        errors = np.asarray(fitted.resid) - np.mean(fitted.resid)
        found = fitted.simulate(horizon, repetitions=paths, random_errors=errors[drawn])
        return np.reshape(found, (horizon, paths)).T

    return _replace(result, levels, season, simulate)


def theta(
    history: np.ndarray, horizon: int, paths: int, rng: Generator, season: int
) -> np.ndarray:
    """Theta: simple exponential smoothing with half the slope of the linear trend.

    Around statsmodels' forecast f, x_(T+h) = f_h + e_h + a (e_1 + .. + e_(h-1)) with e
    ~ N(0, s^2) and a the smoothing, as it is an ARIMA(0, 1, 1) with drift: the variance
    is s^2 (1 + (h - 1) a^2). (statsmodels' own intervals have 1 + (a - 1)^2 for a^2.)
    Series are independent. Logarithms, seasons and series that are not fitted as for
    `ets`; the season is taken off where a test finds one.

    Sources: Assimakopoulos, Nikolopoulos, "The theta model", IJF 16 (2000); Hyndman,
    Billah, "Unmasking the Theta method", IJF 19 (2003), for its errors.

    Args, Returns and Raises as for `ets`.
    """
    module, levels = _import("forecasting.theta"), _recent(history, season)
    result = bootstrap_walk(history, horizon, paths, rng)
    drawn = rng.standard_normal((levels.values.shape[1], paths, horizon))

    def simulate(values: np.ndarray, series: int, period: int) -> np.ndarray:
        fitted = module.ThetaModel(
            values, period=period, deseasonalize=period > 1, method="additive"
        ).fit()
        errors = np.sqrt(fitted.sigma2) * drawn[series]  # [S, H]
        before = np.cumsum(errors, axis=1) - errors
        expected = np.asarray(fitted.forecast(horizon))
        return expected + errors + fitted.params["alpha"] * before

    return _replace(result, levels, season, simulate)


def _import(name: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 0.14 uses what pandas 3 gives up
            return importlib.import_module(f"statsmodels.tsa.{name}")
    except ImportError as error:
        raise UserError(
            "the baselines ets and theta need statsmodels: pip install -e '.[rivals]'"
        ) from error


def _recent(history: np.ndarray, season: int) -> Levels:
    levels = levels_of(history)
    window = max(_WINDOW, 10 * season)
    return levels._replace(values=levels.values[-window:])


def _replace(
    result: np.ndarray,
    levels: Levels,
    season: int,
    simulate: Callable[[np.ndarray, int, int], np.ndarray],
) -> np.ndarray:
    """Paths with those of series that can be fitted in the place of a walk's.

    Args:
      result: of the walk [S, H, D].
      levels: what is fitted.
      season: steps.
      simulate: (values [T], number of the series, its season or 1) -> levels [S, H].
    """
    count = len(levels.values)
    # With the ten rows of statsmodels' trend.
    seasonal = count >= max(2 * season, 10 + 2 * (season // 2), _FEWEST)
    spread = np.ptp(levels.values, axis=0)
    worth = (spread > 1e-9 * np.abs(levels.values).max(0)) & (count >= _FEWEST)
    for series in np.flatnonzero(worth).tolist():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of fits that could be better
                period = season if seasonal else 1
                simulated = simulate(levels.values[:, series], series, period)
        except (ValueError, np.linalg.LinAlgError):
            continue
        if np.isfinite(simulated).all():
            one = Levels(*(part[..., [series]] for part in levels))
            result[:, :, series] = one.restore(simulated[..., None])[..., 0]
    return result
