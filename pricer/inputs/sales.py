"""What a row may know of the sales before it: the training rows as history."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from common.errors import UserError
from pricer.inputs.statistics import earlier_sales, encode, other_sales, summary

STATISTIC_NAMES = tuple(
    f"{whose}_{what}"
    for whose in ("all", "category", "seller")
    for what in ("first_quartile", "median", "third_quartile", "mean")
)
COUNT_NAMES = ("category_count", "seller_count")

Keys = Sequence[Any] | np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Sales:
    """Training rows as history. Not saved with a model; handed over where times count.

    Attributes:
      log_prices: [N] natural logarithms, finite.
      categories: [N] texts, None or NaN where missing; None for no such column.
      sellers: [N] likewise.
      times: [N] seconds (or any unit), NaN where unknown; None for no times. Where all
        are unknown it is as if there were no times.

    Raises:
      ValueError: lengths differ, a log price is not finite or a time is infinite.
      UserError: there are no rows.
    """

    log_prices: np.ndarray
    categories: Keys | None
    sellers: Keys | None
    times: np.ndarray | None = None

    def __post_init__(self):
        prices = np.asarray(self.log_prices, np.float64)
        if prices.ndim != 1 or not np.isfinite(prices).all():
            raise ValueError("log prices must be one axis of finite numbers")
        if not len(prices):
            raise UserError("no training rows to take prices from: check the split")
        check_lengths(len(prices), self.categories, self.sellers, self.times)
        object.__setattr__(self, "log_prices", prices)
        if self.times is not None:
            times = as_times(self.times)
            object.__setattr__(self, "times", None if np.isnan(times).all() else times)


def training_statistics(sales: Sales) -> np.ndarray:
    """Features of the training rows before they are standardised.

    With times a row sees the sales strictly before it; sales at the same time do not
    see each other. A row whose time is unknown stands after all others: it sees all
    rows with a time and no row sees it.

    Without times, statistics by category and by seller leave out the row itself: exact
    quartiles and mean of the other rows. The overall ones do not: they are the same
    for all rows, so they tell no row about itself, whereas the mean without the row,
    (S - x) / (N - 1), falls in a straight line as its price x rises, and standardising
    would bring that back to full size. For the same reason a category or seller that
    holds all rows takes the overall statistics. In smaller groups of n rows a part of
    that leak stays, 1 / (n - 1) of the price: give times where there are any.

    Args:
      sales: the training rows.

    Returns:
      float64 [N, 14]: 12 statistics in log price and two log(1 + n); a category or
      seller without sales takes the overall statistics, and those are NaN where no sale
      is seen.
    """
    prices, size = sales.log_prices, len(sales.log_prices)
    categories = _codes([(sales.categories, size)])
    sellers = _codes([(sales.sellers, size)])
    if sales.times is not None:
        return _earlier(categories, sellers, _undated_last(sales.times), prices)
    overall = np.tile(summary(prices), (size, 1))  # [N, 4]
    by_category = other_sales(categories, prices)
    by_seller = other_sales(sellers, prices)
    for statistics, counts in (by_category, by_seller):
        statistics[counts == size - 1] = np.nan  # a group that holds all rows
    return join(overall, by_category, by_seller)


def timed_statistics(
    sales: Sales, categories: Keys | None, sellers: Keys | None, times: np.ndarray
) -> np.ndarray:
    """Features of rows that are no sales, before they are standardised.

    Args:
      sales: the history, with times.
      categories: [n] texts, None or NaN where missing; None for no such column.
      sellers: [n] likewise.
      times: [n] no NaN.

    Returns:
      float64 [n, 14], of the sales strictly before each row.
    """
    assert sales.times is not None
    old, new = len(sales.log_prices), len(times)
    stream = _earlier(
        _codes([(sales.categories, old), (categories, new)]),
        _codes([(sales.sellers, old), (sellers, new)]),
        np.concatenate([_undated_last(sales.times), times]),
        np.concatenate([sales.log_prices, np.full(new, np.nan)]),
    )
    return stream[old:]


def _earlier(
    categories: np.ndarray, sellers: np.ndarray, times: np.ndarray, prices: np.ndarray
) -> np.ndarray:
    """Features [N, 14] of rows from sales strictly before them, not standardised.

    A NaN price marks a row that is no sale.
    """
    overall, _ = earlier_sales(np.zeros_like(categories), times, prices)
    by_category = earlier_sales(categories, times, prices)
    return join(overall, by_category, earlier_sales(sellers, times, prices))


def join(
    overall: np.ndarray,
    by_category: tuple[np.ndarray, np.ndarray],
    by_seller: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Joins statistics [N, 4] and counts [N] to [N, 14]; NaN falls back to overall."""
    groups = (by_category, by_seller)
    known = [np.where(np.isnan(x), overall, x) for x, _ in groups]
    counts = [np.log1p(n) for _, n in groups]
    return np.concatenate([overall, *known, np.stack(counts, axis=1)], axis=1)


def count_without_sales(
    cells: np.ndarray,
    train: np.ndarray,
    rows: np.ndarray,
    times: np.ndarray | None = None,
) -> dict[str, int]:
    """Counts the rows from which training tells nothing of their key.

    Args:
      cells: [N] texts, None where empty.
      train: int64 [n] rows that tell.
      rows: int64 [m] rows that ask.
      times: [N], NaN where unknown; a row with a time is told by what stands strictly
        before it, one without by all. None where time does not count.

    Returns:
      Rows that are "empty", whose key is "not in training", and that have "none before"
      them, of those that are in training; no row counts twice.
    """
    moments = np.full(len(cells), np.nan) if times is None else times
    # What has no time stands after all that has one.
    late = pd.Series(moments[train]).fillna(np.inf)
    first = pd.Series(cells[rows], dtype=object).map(late.groupby(cells[train]).min())
    empty, unknown = int(pd.isna(cells[rows]).sum()), int(first.isna().sum())
    return {
        "empty": empty,
        "not in training": unknown - empty,
        # A comparison with NaN is false.
        "none before": int((first.to_numpy(np.float64) >= moments[rows]).sum()),
    }


def _codes(parts: Sequence[tuple[Keys | None, int]]) -> np.ndarray:
    """Codes of columns set end to end, each with its length; -1 for an absent one."""
    columns = [
        np.full(size, None, object) if keys is None else np.asarray(keys, object)
        for keys, size in parts
    ]
    return encode(np.concatenate(columns))[0]


def as_times(times: Sequence[float] | np.ndarray) -> np.ndarray:
    """Times as float64.

    Raises:
      ValueError: a time is infinite.
    """
    times = np.asarray(times, np.float64)
    if np.isinf(times).any():
        raise ValueError("times must be finite, or NaN where unknown")
    return times


def _undated_last(times: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(times), np.inf, times)


def check_lengths(size: int, *columns: Any) -> None:
    """Checks the lengths of the columns that are not None.

    Raises:
      ValueError: one is not `size`.
    """
    lengths = [len(column) for column in columns if column is not None]
    if any(length != size for length in lengths):
        raise ValueError(f"columns of {lengths} rows where {size} are expected")
