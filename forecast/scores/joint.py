"""Scores of all series of a step together."""

import numpy as np

from forecast.scores.tables import Column

PAIRS = 1000  # of the variogram score
POWER = 0.5


def draw_pairs(series: int, seed: int) -> np.ndarray:
    """Pairs i < j of series, int [2, P]: all, or `PAIRS` drawn without replacement."""
    pairs = np.stack(np.triu_indices(series, 1))
    if pairs.shape[1] <= PAIRS:
        return pairs
    rng = np.random.default_rng(seed)
    return pairs[:, rng.choice(pairs.shape[1], PAIRS, replace=False)]


def energy(paths: np.ndarray, targets: np.ndarray) -> dict[str, Column]:
    """Of each step [H, 1], and of the window [1, 1]."""
    observed = np.isfinite(targets)
    errors = np.moveaxis(np.where(observed, paths - targets, 0.0), 1, 0)  # [H, S, D]
    values = np.full((len(targets), 1), np.nan)
    total = np.zeros(2 * (len(paths),))
    for step in np.flatnonzero(observed.any(1)):
        squares = _squared_distances(errors[step])  # [S, S]
        total += squares
        from_target = np.linalg.norm(errors[step], axis=1)
        values[step] = from_target.mean() - np.sqrt(squares).mean() / 2
    norms = np.sqrt((errors**2).sum((0, 2)))
    whole = np.full((1, 1), norms.mean() - np.sqrt(total).mean() / 2)
    some = observed.any(1, keepdims=True)  # [H, 1]
    any_ = some.any(0, keepdims=True)
    return {
        "energy": (values, some.astype(np.float64)),
        "energy_path": (np.where(any_, whole, np.nan), any_.astype(np.float64)),
    }


def _squared_distances(points: np.ndarray) -> np.ndarray:
    """Between points [S, D] by one product: [S, S]."""
    products = points @ points.T
    norms = np.diag(products)
    return np.maximum(norms[:, None] + norms - 2 * products, 0.0)


def variogram(paths: np.ndarray, targets: np.ndarray, pairs: np.ndarray) -> Column:
    """Of each step: [H, 1]."""
    first, second = pairs
    expected = np.stack(
        [
            (np.abs(step[:, first] - step[:, second]) ** POWER).mean(0)
            for step in np.moveaxis(paths, 1, 0)
        ]
    )  # [H, P]
    actual = np.abs(targets[:, first] - targets[:, second]) ** POWER
    gaps = (actual - expected) ** 2
    count = np.isfinite(gaps).sum(1, keepdims=True).astype(np.float64)
    return np.where(count, np.nansum(gaps, 1, keepdims=True), np.nan), count


def correlate(paths: np.ndarray) -> np.ndarray:
    """Correlations over the sample paths of the same step, the mean over the steps.

        r_ij = mean over h of corr over s of (x_shi, x_shj)

    It is what series have in common beyond what is forecast of each. Steps at which one
    of the two is the same on all paths are left out; where that is all of them, r is 0.

    Args:
      paths: [S, H, D].

    Returns:
      float64 [D, D], 1 on the diagonal.
    """
    deviations = np.asarray(paths, np.float64) - paths.mean(0, dtype=np.float64)
    spread = np.sqrt((deviations**2).mean(0))  # [H, D]
    # Rounding leaves a little where all paths are the same.
    alive = spread > 1e-6 * np.abs(paths).max(0).clip(1e-30)
    unit = np.where(alive, deviations / np.where(alive, spread, 1), 0)
    sums = np.einsum("shi,shj->ij", unit, unit, optimize=True) / len(paths)
    steps = alive.astype(np.float64)
    found = sums / np.maximum(steps.T @ steps, 1)
    np.fill_diagonal(found, 1)
    return found.clip(-1, 1)
