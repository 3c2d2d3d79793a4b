"""Scores in parts: numerators and weights of windows, steps and series."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

Column = tuple[np.ndarray, np.ndarray]  # values and weights [H, D] of a window
Windows = Iterable[np.ndarray]


class Table(NamedTuple):
    """A score in parts.

    Attributes:
      values: numerators, float64 [W, H, D]; NaN where nothing was observed. H is 1 for
        scores of a whole window, D is 1 for scores of all series together.
      weights: denominators, same shape; 0 where nothing was observed.
    """

    values: np.ndarray
    weights: np.ndarray

    @property
    def mean(self) -> float:
        """Sum of the values over that of the weights, as in `forecast.metrics`."""
        return float(self._over((0, 1, 2)))

    @property
    def by_step(self) -> np.ndarray:
        """The mean of each step: [H]."""
        return self._over((0, 2))

    @property
    def by_series(self) -> np.ndarray:
        """The mean of each series: [D]."""
        return self._over((0, 1))

    @property
    def by_window(self) -> np.ndarray:
        """What each window adds: [W], whose mean is `mean`.

        Its sum of values over the windows' mean sum of weights, for paired claims
        (`claims.verdict_over_windows`): the ratio of a window itself would let windows
        of small numbers count more than in `mean`.
        """
        weights = self.weights if self.weights.any() else np.isfinite(self.values)
        share = weights.sum() / len(weights)
        return np.nansum(self.values, axis=(1, 2)) / (share or np.nan)

    def _over(self, axes: tuple[int, ...]) -> np.ndarray:
        above, below = np.nansum(self.values, axes), self.weights.sum(axes)
        below = np.where(below > 0, below, np.isfinite(self.values).sum(axes))
        return np.divide(
            above, below, out=np.full(below.shape, np.nan), where=below > 0
        )


def tabulate(
    columns: Callable[[np.ndarray, np.ndarray], dict[str, Column]],
    paths: Windows,
    targets: Windows,
) -> dict[str, Table]:
    """Values and weights [H, D] of windows, one in memory at a time, as tables."""
    found = [
        columns(*checked(path, target))
        for path, target in zip(paths, targets, strict=True)
    ]
    if not found:
        raise ValueError("there is no window to score")
    tables = {}
    for name in found[0]:
        values, weights = zip(*(window[name] for window in found), strict=True)
        tables[name] = Table(np.stack(values), np.stack(weights))
    return tables


def checked(paths: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Paths [S, H, D] and targets [H, D] of a window as float64."""
    paths, targets = np.asarray(paths, np.float64), np.asarray(targets, np.float64)
    if paths.ndim != 3 or paths.shape[1:] != targets.shape or not len(paths):
        raise ValueError(
            f"paths are [S, H, D] and targets [H, D], not {paths.shape} and"
            f" {targets.shape}"
        )
    if np.isinf(targets).any():
        raise ValueError("a target is infinite: NaN stands for what is not observed")
    bad = ~np.isfinite(paths).all((1, 2))
    if bad.any():
        raise ValueError(
            f"{bad.sum()} of {len(bad)} paths are not finite, the first is path"
            f" {bad.argmax()}"
        )
    return paths, targets


def summed(
    paths: np.ndarray, targets: np.ndarray, axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums over steps (axis 0) or series (axis 1) that leave out what is not observed.

    Args:
      paths: [S, H, D].
      targets: [H, D]; NaN is left out on both sides.
      axis: of the targets.

    Returns:
      Paths and targets with 1 in the place of H or D; the target is NaN where nothing
      is observed.
    """
    seen = np.isfinite(targets)
    total = np.where(seen, targets, 0.0).sum(axis, keepdims=True)
    total = np.where(seen.any(axis, keepdims=True), total, np.nan)
    return np.where(seen, paths, 0.0).sum(axis + 1, keepdims=True), total
