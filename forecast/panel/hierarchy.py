"""Sums along a hierarchy: article -> category -> total."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

TOTAL = "total"  # the level above all that a panel names


class Sums(NamedTuple):
    """Sums of one level.

    Attributes:
      names: [G] of the groups, in the order of their first series.
      values: [..., G].
    """

    names: tuple[str, ...]
    values: np.ndarray


def sum_groups(
    values: np.ndarray, groups: Mapping[str, tuple[str, ...]]
) -> dict[str, Sums]:
    """Sums over the series of each group, at each level and in total.

    sum_g = sum of x_d over d in g. Taken of sample paths, the forecasts of all levels
    agree by construction: a category is the sum of its articles on every path.

    Args:
      values: [..., D]. A sum with a NaN in it is NaN: nobody knows it.
      groups: {level: group of each series [D]}; levels need not be nested.

    Returns:
      {level: sums}, with `TOTAL` last, which a level of that name stands for.
    """
    levels = dict(groups)
    levels.setdefault(TOTAL, (TOTAL,) * values.shape[-1])
    sums = {}
    for level, of_series in levels.items():
        places = {name: place for place, name in enumerate(dict.fromkeys(of_series))}
        names, codes = tuple(places), np.array([places[name] for name in of_series])
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(names)))
        totals = np.add.reduceat(values[..., order], starts, axis=-1)  # [..., G]
        sums[level] = Sums(names, totals)
    return sums
