"""Sums along a hierarchy: article -> category -> total."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

TOTAL = "total"  # the level above all that a panel names


class Sums(NamedTuple):
    """Sums of one level.

    Attributes:
      names: [G] of the groups, in the order of their first series.
      counts: int [G], series of each group.
      values: float64 [..., G].
    """

    names: tuple[str, ...]
    counts: np.ndarray
    values: np.ndarray


def sum_groups(
    values: np.ndarray, groups: Mapping[str, tuple[str, ...]]
) -> dict[str, Sums]:
    """Sums over the series of each group, at each level and in total.

    sum_g = sum of x_d over d in g. Taken of sample paths, the forecasts of all levels
    agree by construction: a category is the sum of its articles on every path.

    Args:
      values: [..., D]. NaN is left out; a sum of nothing else is NaN.
      groups: {level: group of each series [D]}; levels need not be nested.

    Returns:
      {level: sums}, with `TOTAL` last, which a level of that name stands for.
    """
    levels = dict(groups)
    levels.setdefault(TOTAL, (TOTAL,) * values.shape[-1])
    seen = ~np.isnan(values)
    known = np.where(seen, values, 0.0)
    sums = {}
    for level, of_series in levels.items():
        codes, names = pd.factorize(np.array(of_series, object))
        order = np.argsort(codes, kind="stable")
        counts = np.bincount(codes)
        starts = np.cumsum(counts) - counts
        total, some = (
            np.add.reduceat(part[..., order], starts, axis=-1, dtype=np.float64)
            for part in (known, seen)
        )
        sums[level] = Sums(tuple(names), counts, np.where(some > 0, total, np.nan))
    return sums
