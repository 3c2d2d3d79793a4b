"""Scores of each series at each step by itself."""

from typing import NamedTuple

import numpy as np

from forecast.scores.tables import Column, Windows, checked

LEVELS = np.arange(1, 20) / 20
INTERVALS = (50, 80, 90, 95)  # per cent
_ROUNDING = 1e-9  # of the values of a series: a naive error below is none


class Scale(NamedTuple):
    """What the seasonal naive forecast is off by in the history, above 0.

    Attributes:
      absolute: mean |y_t - y_(t - season)|, float64 [D].
      square: root of the mean of its square, float64 [D].
    """

    absolute: np.ndarray
    square: np.ndarray


def naive_scale(history: np.ndarray, season: int) -> Scale:
    """Scale of MASE, RMSSE and MSIS.

    Where a series has no two observed rows a season apart, or they never differ, rows
    next to each other stand instead, then the values themselves, then 1.

    Args:
      history: [T, D], NaN where not observed: rows before the first window.
      season: steps.
    """
    history = np.asarray(history, np.float64)
    lags = [history[lag:] - history[:-lag] for lag in (season, 1)]
    ones = np.ones((1, history.shape[1]))
    least = _ROUNDING * np.nanmax(np.abs(np.append(history, 0 * ones, axis=0)), axis=0)
    absolute = square = np.zeros(history.shape[1])
    for rows in (*lags, history, ones):
        count = np.maximum(np.isfinite(rows).sum(0), 1)
        first = np.nansum(np.abs(rows), axis=0) / count
        second = np.sqrt(np.nansum(rows**2, axis=0) / count)
        missing = absolute <= least
        absolute = np.where(missing, first, absolute)
        square = np.where(missing, second, square)
    return Scale(absolute, square)


def _order(paths: np.ndarray) -> np.ndarray:
    """Order statistics of paths [S, H, D]: [H, D, S]."""
    return np.sort(np.moveaxis(paths, 0, -1))


def _quantile(ordered: np.ndarray, levels: float | np.ndarray) -> np.ndarray:
    """Element round((S - 1) q) of order statistics [H, D, S], halves to even."""
    places = np.round((ordered.shape[-1] - 1) * np.asarray(levels)).astype(int)
    return ordered[..., places]


def crps(paths: np.ndarray, targets: np.ndarray) -> Column:
    """CRPS of paths [S, H, D] and targets [H, D] alone."""
    return _crps(_order(paths), targets)


def _crps(ordered: np.ndarray, targets: np.ndarray) -> Column:
    quantiles, y = _quantile(ordered, LEVELS), targets[..., None]  # [H, D, 19]
    losses = 2 * np.abs((quantiles - y) * ((y <= quantiles) - LEVELS))
    return losses.mean(-1), np.nan_to_num(np.abs(targets))


def unscaled(paths: np.ndarray, targets: np.ndarray) -> dict[str, Column]:
    """Scores that need no history."""
    ordered = _order(paths)
    count, observed = ordered.shape[-1], np.isfinite(targets)
    level, seen = np.nan_to_num(np.abs(targets)), observed.astype(np.float64)
    # sum |x - x'| over pairs is a weighted sum of the order statistics, whose weights
    # sum to 0: the target may be taken off first, which keeps the digits.
    errors = ordered - targets[..., None]  # [H, D, S]
    spread = errors @ (2.0 * np.arange(count) - count + 1) / max(count * (count - 1), 1)
    off = paths.mean(0) - targets
    columns = {
        "crps": _crps(ordered, targets),
        "crps_fair": (np.abs(errors).mean(-1) - spread, level),
        "wape": (np.abs(_quantile(ordered, 0.5) - targets), level),
        "bias": (off, level),
        "mse": (off**2, seen),
    }
    for share in INTERVALS:
        low, high = _interval(ordered, share)
        inside = ((low <= targets) & (targets <= high)).astype(np.float64)
        columns[f"coverage_{share}"] = np.where(observed, inside, np.nan), seen
    return columns


def _interval(ordered: np.ndarray, share: int) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the central interval of a share in per cent."""
    low, high = (_quantile(ordered, (100 + side * share) / 200) for side in (-1, 1))
    return low, high


def scaled(paths: np.ndarray, targets: np.ndarray, scale: Scale) -> dict[str, Column]:
    """Scores in units of the naive forecast."""
    ordered, observed = _order(paths), np.isfinite(targets)
    seen = observed.astype(np.float64)
    low, high = _interval(ordered, 95)
    missed = np.maximum(low - targets, 0) + np.maximum(targets - high, 0)
    width = high - low + 40 * missed  # 40 is 2 over the 5 % outside
    squares = np.nansum((paths.mean(0) - targets) ** 2, axis=0, keepdims=True)
    steps = seen.sum(0, keepdims=True)  # [1, D]
    roots = np.sqrt(squares / np.maximum(steps, 1)) / scale.square
    some = steps > 0
    return {
        "mase": (np.abs(_quantile(ordered, 0.5) - targets) / scale.absolute, seen),
        "rmsse": (np.where(some, roots, np.nan), some.astype(np.float64)),
        "msis": (width / scale.absolute, seen),
    }


def pit(paths: Windows, targets: Windows, seed: int = 0) -> np.ndarray:
    """Probability integral transform, (number of x < y, + u) / (S + 1).

    u is uniform on [0, 1 + number of x = y], so that PITs of a calibrated forecast are
    uniform on [0, 1], counts with their ties included.

    Args:
      paths: [W, S, H, D], or one window at a time.
      targets: [W, H, D].
      seed: of u.

    Returns:
      [W, H, D], NaN where the target is.
    """
    rng = np.random.default_rng(seed)
    values = []
    for path, target in zip(paths, targets, strict=True):
        path, target = checked(path, target)
        below, ties = (path < target).sum(0), (path == target).sum(0)
        rank = below + rng.random(target.shape) * (1 + ties)
        values.append(np.where(np.isnan(target), np.nan, rank / (len(path) + 1)))
    return np.stack(values)


def pit_histogram(values: np.ndarray, bins: int = 10) -> np.ndarray:
    """Share of PITs in each of some equal parts of [0, 1]; NaNs are left out.

    Too narrow paths fill the outer bins, too wide ones the middle; 1 / bins is ideal.
    """
    counts, _ = np.histogram(values[np.isfinite(values)], bins, (0.0, 1.0))
    return counts / max(counts.sum(), 1)
