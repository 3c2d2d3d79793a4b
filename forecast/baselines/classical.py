"""Exponential smoothing and theta by statsmodels, of the extra `rivals`."""

import importlib
import warnings
from types import ModuleType

import numpy as np

from common.errors import UserError
from forecast.baselines.history import Levels, levels_of
from forecast.baselines.walks import bootstrap_walk

_FEWEST = 12  # rows; statsmodels wants 10, and more with a season
_WINDOW = 1000  # rows to fit to, or ten seasons


def ets(
    history: np.ndarray,
    horizon: int,
    paths: int,
    rng: np.random.Generator,
    season: int,
) -> np.ndarray:
    """Exponential smoothing, additive with damped trend and season: ETS(A, Ad, A).

    Of logarithms where all values of a series are positive. Each series is fitted by
    itself; rows of the one-step errors of all series are resampled together.

    Without a season where it is 1 or the history shorter than two. Series that are
    constant, shorter than 12 rows, or that statsmodels can't fit have the paths of the
    bootstrap walk.

    Source: Hyndman, Koehler, Ord, Snyder, "Forecasting with Exponential Smoothing"
    (2008).

    Args:
      history: [T, D].
      horizon: H.
      paths: S.
      rng: of the draws.
      season: m, steps.

    Returns:
      float64 [S, H, D].

    Raises:
      UserError: statsmodels is not installed.
    """
    module = _statsmodels("holtwinters")
    levels = _recent(history, season)
    count = len(levels.values)
    result = bootstrap_walk(history, horizon, paths, rng)
    drawn = rng.integers(count, size=(horizon, paths))
    seasonal = _has_season(count, season)
    for series in _worth_fitting(levels):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of fits that could be better
                fitted = module.ExponentialSmoothing(
                    levels.values[:, series],
                    trend="add",
                    damped_trend=True,
                    seasonal="add" if seasonal else None,
                    seasonal_periods=season if seasonal else None,
                    initialization_method="heuristic",
                ).fit()
                errors = np.asarray(fitted.resid) - np.mean(fitted.resid)
                simulated = fitted.simulate(
                    horizon, repetitions=paths, random_errors=errors[drawn]
                )
        except (ValueError, np.linalg.LinAlgError):
            continue
        _put(result, levels, series, np.reshape(simulated, (horizon, paths)).T)
    return result


def theta(
    history: np.ndarray,
    horizon: int,
    paths: int,
    rng: np.random.Generator,
    season: int,
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
    module = _statsmodels("forecasting.theta")
    levels = _recent(history, season)
    result = bootstrap_walk(history, horizon, paths, rng)
    seasonal = _has_season(len(levels.values), season)
    drawn = rng.standard_normal((levels.values.shape[1], paths, horizon))
    for series in _worth_fitting(levels):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fitted = module.ThetaModel(
                    levels.values[:, series],
                    period=season if seasonal else 1,
                    deseasonalize=seasonal,
                    method="additive",
                ).fit()
                expected = np.asarray(fitted.forecast(horizon))
                spread = np.sqrt(fitted.sigma2)
        except (ValueError, np.linalg.LinAlgError):
            continue
        if not np.isfinite(spread):
            continue
        errors = spread * drawn[series]  # [S, H]
        before = np.cumsum(errors, axis=1) - errors
        simulated = expected + errors + fitted.params["alpha"] * before
        _put(result, levels, series, simulated)
    return result


def _statsmodels(name: str) -> ModuleType:
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


def _has_season(count: int, season: int) -> bool:
    """Whether there are rows enough for it, with the ten of statsmodels' trend."""
    return season > 1 and count >= max(2 * season, 10 + 2 * (season // 2), _FEWEST)


def _worth_fitting(levels: Levels) -> np.ndarray:
    """Series that are long enough and not constant."""
    if len(levels.values) < _FEWEST:
        return np.zeros(0, int)
    spread = np.ptp(levels.values, axis=0)
    return np.flatnonzero(spread > 1e-9 * np.abs(levels.values).max(0))


def _put(
    result: np.ndarray, levels: Levels, series: int, simulated: np.ndarray
) -> None:
    """Puts levels [S, H] of a series into paths [S, H, D], where all are finite."""
    if np.isfinite(simulated).all():
        one = Levels(*(part[..., [series]] for part in levels))
        result[:, :, series] = one.restore(simulated[..., None])[..., 0]
