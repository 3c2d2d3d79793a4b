"""Walks from the last values, and the last values by themselves."""

import numpy as np
from numpy.random import Generator
from scipy import signal

from forecast.baselines.history import fill, levels_of

# Of the root mean square of a series: a pegged rate that jumps would have standardised
# returns without bound.
_LEAST_VOLATILITY = 0.25


def gaussian_walk(
    history: np.ndarray, horizon: int, paths: int, rng: Generator, window: int = 250
) -> np.ndarray:
    """Correlated Gaussian random walk: returns ~ N(0, R'R / n), R the last n returns.

    No drift, and moments about 0. Without returns the last values stand still.

    Args:
      history: [T, D].
      horizon: H.
      paths: S.
      rng: of the draws.
      window: n, or all returns where there are fewer.

    Returns:
      float64 [S, H, D].
    """
    levels = levels_of(history)
    rows = levels.returns(window)
    # Of R = Q U the factor U has U'U = R'R, singular or not.
    factor = np.linalg.qr(rows, mode="r") / np.sqrt(len(rows))
    return levels.walk(rng.standard_normal((paths, horizon, len(factor))) @ factor)


def bootstrap_walk(
    history: np.ndarray, horizon: int, paths: int, rng: Generator, window: int = 250
) -> np.ndarray:
    """Random walk by resampled rows of the last returns, their mean taken off.

    Args and Returns as for `gaussian_walk`. With one return the last values stand
    still.
    """
    levels = levels_of(history)
    rows = levels.returns(window)
    return levels.walk(_resample(rows - rows.mean(0), horizon, paths, rng))


def filtered_bootstrap(
    history: np.ndarray,
    horizon: int,
    paths: int,
    rng: Generator,
    half_life: float = 40.0,
    window: int = 1000,
) -> np.ndarray:
    """Walk by resampled standardised returns times the volatility of now.

        v_(t+1) = k v_t + (1 - k) r_t^2,  z_t = r_t / sqrt(v_t),  k = 2^(-1 / half_life)

    The mean of z is taken off, and the volatility of now holds for the whole horizon.
    v starts at the mean square of the first half-life; it never counts as less than a
    quarter of the returns' root mean square.

    Source: Barone-Adesi, Giannopoulos, Vosper, "VaR without correlations for portfolios
    of derivative securities", J. Futures Markets 19 (1999).

    Args and Returns as for `gaussian_walk`; half_life is of the volatility, in steps,
    and window counts rows of z. With one return the last values stand still.
    """
    levels = levels_of(history)
    rows = levels.returns(len(levels.values))  # [T - 1, D]
    keep = 0.5 ** (1 / half_life)
    first = np.mean(rows[: int(np.ceil(half_life))] ** 2, axis=0, keepdims=True)
    later, _ = signal.lfilter(
        [1 - keep], [1, -keep], rows**2, axis=0, zi=keep * first
    )  # [T - 1, D], of the step after each row
    volatility = np.sqrt(np.concatenate([first, later]))  # [T, D]
    least = _LEAST_VOLATILITY * np.sqrt(np.mean(rows[-window:] ** 2, axis=0))
    volatility = np.maximum(volatility, np.where(least > 0, least, 1.0))
    standard = (rows / volatility[:-1])[-window:]
    drawn = _resample(standard - standard.mean(0), horizon, paths, rng)
    return levels.walk(drawn * volatility[-1])


def resampled_values(
    history: np.ndarray, horizon: int, paths: int, rng: Generator, window: int = 26
) -> np.ndarray:
    """Rows of the last values, drawn anew at each step.

    Args and Returns as for `gaussian_walk`; window counts values here.
    """
    return _resample(fill(history)[-window:], horizon, paths, rng)


def _resample(rows: np.ndarray, horizon: int, paths: int, rng: Generator) -> np.ndarray:
    """Rows of [n, D] drawn with replacement: [S, H, D]."""
    return rows[rng.integers(len(rows), size=(paths, horizon))]
