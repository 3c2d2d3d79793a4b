"""Quartiles and mean of earlier prices: of all sales, of a category, of a seller.

Source: Vision-based Price Suggestion for Online Second-hand Items (2012.06009),
footnote 2: first quartile, median, third quartile and mean of the sold price of all
historical items, of those in the item's category and of those of its seller. Here of
log prices, and only of sales that the row may know of.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import UserError
from pricer.inputs.sales import (
    COUNT_NAMES,
    STATISTIC_NAMES,
    Keys,
    Sales,
    as_times,
    check_lengths,
    join,
    timed_statistics,
    training_statistics,
)
from pricer.inputs.statistics import STATISTICS, GroupTable, summary

# Least scale of a statistic, in standard deviations of the log price. A statistic that
# varies less than this says next to nothing of a price. Blown up to unit scale it would
# show the noise in it, which without times is the row's own price.
_LEAST_SCALE = 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class PriceHistory:
    """Final statistics of the training rows: features of rows that are to be priced.

    Feature j of a row is (x_j - center_j) / scale_j. x is first quartile, median, third
    quartile (linear interpolation) and mean of the log prices of all sales, of the
    row's category and of its seller, then log(1 + n) for the n sales of the category
    and of the seller. A category or seller that is missing or has no sales takes the
    statistics of all sales, with n = 0.

    Attributes:
      overall: [4] statistics of all training rows, log price.
      categories: statistics by category; None where fitted without.
      sellers: statistics by seller; None where fitted without.
      center: [F] mean of the training rows' features.
      scale: [F] standard deviation of the training rows' features, for the statistics
        at least a tenth of that of the log prices; 1 where that is 0.
    """

    overall: np.ndarray
    categories: GroupTable | None
    sellers: GroupTable | None
    center: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(
        cls,
        log_prices: Sequence[float] | np.ndarray,
        categories: Keys | None,
        sellers: Keys | None,
        times: Sequence[float] | np.ndarray | None = None,
        *,
        counts: bool = True,
    ) -> tuple[PriceHistory, np.ndarray]:
        """Fits the tables and gives the training rows their own features.

        `sales.training_statistics` says which sales a training row sees. Where it sees
        none at all (the first in time) its statistics are the mean over the training
        rows, 0 after standardising, and its counts are 0. The mean is one constant for
        all rows, so it tells no row about itself.

        Args:
          log_prices: [N] natural logarithms of the prices of the training rows, and
            only those.
          categories: [N] texts, None or NaN where missing; None for no such column.
          sellers: [N] likewise.
          times: [N], NaN where unknown; None for no times.
          counts: False leaves the two counts out.

        Returns:
          (history, float32 [N, F]), F = 14 with counts and 12 without.

        Raises:
          ValueError: lengths differ, a log price is not finite or a time is infinite.
          UserError: there are no rows.
        """
        prices = np.asarray(log_prices, np.float64)
        given = None if times is None else np.asarray(times)
        sales = Sales(prices, categories, sellers, given)
        overall = summary(sales.log_prices)
        by_category = _table(sales.categories, sales.log_prices)
        by_seller = _table(sales.sellers, sales.log_prices)
        width = len(STATISTIC_NAMES) + (len(COUNT_NAMES) if counts else 0)
        features = training_statistics(sales)[:, :width]
        # Where no row sees any sale there is nothing to average.
        blank = np.concatenate([np.tile(overall, 3), np.zeros(width - 3 * STATISTICS)])
        center, scale = _standard(features, blank, sales.log_prices.std())
        history = cls(overall, by_category, by_seller, center, scale)
        return history, history._standardise(features)

    def features(
        self,
        categories: Keys | None,
        sellers: Keys | None,
        times: Sequence[float] | np.ndarray | None = None,
        *,
        sales: Sales | None = None,
        rows: int | None = None,
    ) -> np.ndarray:
        """Features of rows that are not training rows.

        Without times all training rows are the history. With times a row sees the sales
        strictly before it, and one whose time is unknown all training rows. Where the
        sales have no times those of the rows do not count. With times the cost is that
        of going through all sales, however few the rows are.

        Args:
          categories: [n] texts, None or NaN where missing; None for no such column.
          sellers: [n] likewise.
          times: [n] in the unit of the sales' times, NaN where unknown.
          sales: the history, needed with times: the training rows.
          rows: n; needed only where nothing else tells it.

        Returns:
          float32 [n, F].

        Raises:
          ValueError: lengths differ, a time is infinite, times without sales, or
            nothing tells n.
        """
        known = [len(x) for x in (categories, sellers, times) if x is not None]
        if rows is None and not known:
            raise ValueError("neither categories, sellers, times nor rows are given")
        if times is not None and sales is None:
            raise ValueError("times need the sales that they are compared with")
        size = known[0] if rows is None else rows
        check_lengths(size, categories, sellers, times)
        raw = join(
            np.tile(self.overall, (size, 1)),
            _look_up(self.categories, categories, size),
            _look_up(self.sellers, sellers, size),
        )
        if times is not None and sales is not None and sales.times is not None:
            when = as_times(times)
            dated = np.flatnonzero(~np.isnan(when))
            raw[dated] = timed_statistics(
                sales, _take(categories, dated), _take(sellers, dated), when[dated]
            )
        return self._standardise(raw)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each of the F features."""
        return (STATISTIC_NAMES + COUNT_NAMES)[: len(self.center)]

    @property
    def available(self) -> tuple[str, ...]:
        """Names of the features that are more than copies of the overall statistics.

        Those of a column that is absent or empty are left out.
        """
        tables = {"category_": self.categories, "seller_": self.sellers}
        absent = tuple(key for key, x in tables.items() if x is None or not x.names)
        return tuple(name for name in self.names if not name.startswith(absent))

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` turns back into an equal history."""
        return {
            "overall": self.overall.tolist(),
            "categories": None
            if self.categories is None
            else self.categories.to_json(),
            "sellers": None if self.sellers is None else self.sellers.to_json(),
            "center": self.center.tolist(),
            "scale": self.scale.tolist(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PriceHistory:
        """Rebuilds a history.

        Raises:
          UserError: the value was not written by `to_json`.
        """
        try:
            overall, center, scale = (
                np.array(value[key], np.float64)
                for key in ("overall", "center", "scale")
            )
            statistics = len(STATISTIC_NAMES)
            sound = (
                overall.shape == (STATISTICS,)
                and center.shape == scale.shape
                and center.shape in ((statistics,), (statistics + len(COUNT_NAMES),))
                and np.isfinite(np.concatenate([overall, center, scale])).all()
                and (scale > 0).all()
            )
            if not sound:
                raise ValueError("wrong shapes or values")
            categories = _table_from_json(value["categories"])
            sellers = _table_from_json(value["sellers"])
            return cls(overall, categories, sellers, center, scale)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(
                "the price history's file is damaged: copy it anew or train again"
            ) from error

    def _standardise(self, raw: np.ndarray) -> np.ndarray:
        raw = raw[:, : len(self.center)]
        standard = (raw - self.center[None, :]) / self.scale[None, :]
        # Unknown only where no sale is seen: the mean stands in.
        return np.where(np.isnan(raw), 0.0, standard).astype(np.float32)


def _standard(
    features: np.ndarray, blank: np.ndarray, deviation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Center [F] and scale [F] of features [N, F]; `blank` [F] where all are NaN."""
    seen = ~np.isnan(features)
    number = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, features, 0.0).sum(axis=0) / number
    center = np.where(seen.any(axis=0), mean, blank)
    away = np.where(seen, features - center[None, :], 0.0)
    scale = np.sqrt((away**2).sum(axis=0) / number)
    statistics = len(STATISTIC_NAMES)
    scale[:statistics] = np.maximum(scale[:statistics], _LEAST_SCALE * deviation)
    # Below rounding error of the values a column is as good as constant.
    constant = scale <= 1e-12 * np.maximum(1.0, abs(center))
    return center, np.where(constant, 1.0, scale)


def _table(keys: Keys | None, log_prices: np.ndarray) -> GroupTable | None:
    return None if keys is None else GroupTable.fit(keys, log_prices)


def _look_up(
    table: GroupTable | None, keys: Keys | None, size: int
) -> tuple[np.ndarray, np.ndarray]:
    if table is None or keys is None:
        return np.full((size, STATISTICS), np.nan), np.zeros(size, np.int64)
    return table.look_up(keys)


def _take(keys: Keys | None, rows: np.ndarray) -> Keys | None:
    return None if keys is None else np.asarray(keys, object)[rows]


def _table_from_json(value: Mapping[str, Any] | None) -> GroupTable | None:
    return None if value is None else GroupTable.from_json(value)
