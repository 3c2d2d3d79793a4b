"""Quartiles and mean of prices by group: of all sales, of others, of earlier ones."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.indexers import BaseIndexer

from common.tables.whole_numbers import distinct_with_digits

QUARTILES = (0.25, 0.5, 0.75)
STATISTICS = len(QUARTILES) + 1  # the mean is the last one


@dataclasses.dataclass(frozen=True, eq=False)
class GroupTable:
    """Statistics of the sales of each group.

    Attributes:
      names: of the G groups, sorted.
      statistics: float64 [G, 4] quartiles and mean of the log prices.
      counts: int64 [G] number of sales, at least 1.
    """

    names: tuple[str, ...]
    statistics: np.ndarray
    counts: np.ndarray

    @classmethod
    def fit(cls, keys: Any, log_prices: np.ndarray) -> GroupTable:
        """Fits the table; rows whose key is missing belong to no group.

        Args:
          keys: [N] texts, None or NaN where missing.
          log_prices: float64 [N].
        """
        codes, names = encode(keys)
        known = codes >= 0
        groups = _Groups(codes[known], log_prices[known])
        starts = groups.starts
        whole = groups.statistics(starts, np.full(len(starts), len(log_prices)))
        return cls(names, whole, groups.sizes[starts])

    def look_up(self, keys: Any) -> tuple[np.ndarray, np.ndarray]:
        """Finds the groups of rows.

        Args:
          keys: [n] texts, None or NaN where missing.

        Returns:
          statistics: float64 [n, 4], NaN for a group that the table does not hold.
          counts: int64 [n], 0 for such a group.
        """
        codes, names = encode(keys)
        rows = np.append(self._index.get_indexer(pd.Index(names, dtype=object)), -1)
        rows = rows[codes]  # a missing key has code -1, the last entry
        known = rows >= 0
        statistics = np.full((len(codes), STATISTICS), np.nan)
        statistics[known] = self.statistics[rows[known]]
        counts = np.zeros(len(codes), np.int64)
        counts[known] = self.counts[rows[known]]
        return statistics, counts

    @functools.cached_property
    def _index(self) -> pd.Index:
        return pd.Index(self.names, dtype=object)

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` turns back into an equal table."""
        return {
            "names": list(self.names),
            "statistics": self.statistics.tolist(),
            "counts": self.counts.tolist(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> GroupTable:
        """Rebuilds a table.

        Raises:
          KeyError, TypeError, ValueError, OverflowError: the value was not written by
            `to_json`.
        """
        names = tuple(distinct_with_digits(value["names"]))
        statistics = np.array(value["statistics"], np.float64)
        statistics = statistics.reshape(len(names), STATISTICS)  # [G, 4]
        counts = np.array(value["counts"], np.int64)
        if len(set(names)) < len(names) or counts.shape != (len(names),):
            raise ValueError("names stand twice or lengths differ")
        if not np.isfinite(statistics).all() or (counts < 1).any():
            raise ValueError("statistics or counts out of range")
        return cls(names, statistics, counts)


def encode(keys: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Numbers the groups by name.

    Args:
      keys: [N] texts, None or NaN where missing; other values become text.

    Returns:
      codes: int64 [N], -1 where missing.
      names: of the groups, sorted; group i has code i.
    """
    if not isinstance(keys, (pd.Series, np.ndarray)):
        # Inferring a type would make floats of whole numbers with a None among them.
        keys = pd.Series(list(keys), dtype=object)
    factors, uniques = pd.factorize(keys)
    texts = [str(unique) for unique in uniques]
    names = tuple(sorted(set(texts)))
    index = {name: code for code, name in enumerate(names)}
    codes = np.array([*(index[text] for text in texts), -1], np.int64)
    return codes[factors], names  # a missing key has factor -1, the last entry


def summary(log_prices: np.ndarray) -> np.ndarray:
    """Quartiles and mean of float64 [N], N >= 1, as float64 [4]."""
    return np.array([*np.quantile(log_prices, QUARTILES), log_prices.mean()])


def other_sales(
    codes: np.ndarray, log_prices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of the other rows of each row's group.

    One sort, then index arithmetic: the k-th least of a group without the row of rank r
    is the k-th least with it where k < r, and the next one elsewhere.

    Args:
      codes: int64 [N] group of the row, -1 for none.
      log_prices: float64 [N].

    Returns:
      statistics: float64 [N, 4], NaN for a row without others.
      counts: int64 [N] number of others.
    """
    groups = _Groups(codes, log_prices)
    rows = np.arange(len(codes))
    statistics = np.empty((len(codes), STATISTICS))
    statistics[groups.order] = groups.statistics(rows, rows - groups.start)
    counts = np.empty(len(codes), np.int64)
    counts[groups.order] = groups.sizes - 1
    statistics[codes < 0], counts[codes < 0] = np.nan, 0
    return statistics, counts


def earlier_sales(
    codes: np.ndarray, times: np.ndarray, log_prices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of the sales of each row's group strictly before the row.

    Sorted by group and time, the sales before a row are a window that only grows until
    the next group begins; pandas keeps its order in a skip list. Cost: N log N.

    Args:
      codes: int64 [N] group of the row, -1 for none.
      times: float64 [N], no NaN.
      log_prices: float64 [N], NaN for a row that is no sale and only asks.

    Returns:
      statistics: float64 [N, 4], NaN for a row without earlier sales.
      counts: int64 [N] number of earlier sales.
    """
    # Equal times in the order of the price: sums do not depend on the rows' order.
    order = np.lexsort((log_prices, times, codes))
    codes_, times_, values = codes[order], times[order], log_prices[order]
    first_of_group = _changes(codes_)
    first_of_time = first_of_group | _changes(times_)
    start, end = _last_true(first_of_group), _last_true(first_of_time)
    windows = _Windows(start=start, end=end)
    rolling = pd.Series(values).rolling(windows, min_periods=1)
    statistics = np.empty((len(codes), STATISTICS))
    for column, quartile in enumerate(QUARTILES):
        statistics[order, column] = rolling.quantile(quartile).to_numpy()
    statistics[order, -1] = rolling.mean().to_numpy()
    sales = np.concatenate([[0], np.cumsum(~np.isnan(values))])
    counts = np.empty(len(codes), np.int64)
    counts[order] = sales[end] - sales[start]
    statistics[codes < 0], counts[codes < 0] = np.nan, 0
    return statistics, counts


class _Windows(BaseIndexer):
    """Windows [start, end) that are known beforehand."""

    start: np.ndarray
    end: np.ndarray

    def get_window_bounds(
        self, num_values=0, min_periods=None, center=None, closed=None, step=None
    ):
        return self.start, self.end


class _Groups:
    """Rows sorted by group and price.

    Attributes:
      order: int64 [N] row at each position.
      start: int64 [N] first position of the group at each position.
      sizes: int64 [N] rows of the group at each position.
      starts: int64 [G] first position of each group.
    """

    def __init__(self, codes: np.ndarray, log_prices: np.ndarray):
        self.order = np.lexsort((log_prices, codes))
        self._values = log_prices[self.order]
        first = _changes(codes[self.order])
        self.starts = np.flatnonzero(first)
        self.start = _last_true(first)
        lengths = np.diff(np.append(self.starts, len(codes)))
        self.sizes = np.repeat(lengths, lengths)
        sums = np.add.reduceat(self._values, self.starts) if len(codes) else lengths
        self._sums = np.repeat(sums, lengths)

    def statistics(self, positions: np.ndarray, removed: np.ndarray) -> np.ndarray:
        """Statistics of the groups at some positions, one row of each left out.

        Args:
          positions: int64 [n].
          removed: int64 [n] rank within its group of the row to leave out; from the
            group's size on none is.

        Returns:
          float64 [n, 4], NaN where no row is left.
        """
        start, sizes = self.start[positions], self.sizes[positions]
        out = removed < sizes
        left = sizes - out
        kept = np.maximum(left, 1)

        def ranked(rank: np.ndarray) -> np.ndarray:
            # Only a group with no row left can point past the end.
            index = start + rank + (rank >= removed)
            return self._values[np.minimum(index, len(self._values) - 1)]

        columns = []
        for quartile in QUARTILES:
            position = (kept - 1) * quartile
            low = np.floor(position).astype(np.int64)
            below, above = ranked(low), ranked(np.minimum(low + 1, kept - 1))
            columns.append(below + (above - below) * (position - low))
        price = np.where(out, self._values[start + np.where(out, removed, 0)], 0.0)
        columns.append((self._sums[positions] - price) / kept)
        return np.where((left > 0)[:, None], np.stack(columns, axis=1), np.nan)


def _changes(values: np.ndarray) -> np.ndarray:
    """Whether each value differs from the one before; the first one does."""
    return np.concatenate(
        [np.ones(min(len(values), 1), bool), values[1:] != values[:-1]]
    )


def _last_true(flags: np.ndarray) -> np.ndarray:
    """Position of the last True up to each position."""
    return np.maximum.accumulate(np.where(flags, np.arange(len(flags)), 0))
