"""Prices in logarithms, and the limits beyond which a price counts as an outlier."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from common.errors import UserError

Transform = Literal["log", "log1p"]

# For each transform its function and its inverse.
_TRANSFORMS = {"log": (np.log, np.exp), "log1p": (np.log1p, np.expm1)}


def to_log_prices(
    prices: Sequence[float] | np.ndarray, transform: Transform = "log"
) -> np.ndarray:
    """Takes the logarithm of prices: log(price) or log(1 + price), natural.

    Args:
      prices: [N] in units of the currency, each above zero.
      transform: "log" or "log1p".

    Returns:
      float64 [N].

    Raises:
      UserError: a price is missing, infinite, zero or negative, under log1p too; or
        there is no such transform.
    """
    forward, _ = _functions(transform)
    prices = np.asarray(prices, np.float64)
    wrong = np.flatnonzero(~((prices > 0) & np.isfinite(prices)))
    if len(wrong):
        raise UserError(
            f"price {prices[wrong[0]]:g} in row {wrong[0] + 1} of {len(prices)}"
            f" ({len(wrong)} such): give each item a price above zero or leave it out"
        )
    return forward(prices)


def from_log_prices(
    log_prices: Sequence[float] | np.ndarray, transform: Transform = "log"
) -> np.ndarray:
    """Undoes `to_log_prices`: exp(x) or exp(x) - 1.

    Args:
      log_prices: any shape; predictions may be below what a price above zero gives.
      transform: the one that was taken.

    Returns:
      float64 of the same shape, in units of the currency; infinite where a price
      exceeds float64.

    Raises:
      UserError: there is no such transform.
    """
    _, inverse = _functions(transform)
    with np.errstate(over="ignore"):
        return inverse(np.asarray(log_prices, np.float64))


@dataclasses.dataclass(frozen=True)
class PriceLimits:
    """The range of log prices that is kept, both ends included.

    Source: Vision-based Price Suggestion for Online Second-hand Items (2012.06009)
    removes 5 % of the items as outliers; it leaves open which. Here half of the share
    goes at each end.

    Attributes:
      low: least log price that is kept; -inf for no limit.
      high: greatest log price that is kept; inf for no limit.
      share: of the training rows that was to be removed, both ends together.
    """

    low: float
    high: float
    share: float

    @classmethod
    def fit(cls, log_prices: Sequence[float] | np.ndarray, share: float) -> PriceLimits:
        """Fits the limits on training rows.

        With k = floor(N share / 2) the limits are the (k + 1)-th least and the
        (k + 1)-th greatest log price, so k rows fall away at each end, fewer where
        rows tie with a limit: never more than the share.

        Args:
          log_prices: [N] of the training rows, and only those.
          share: in [0, 1); 0 sets no limits at all, for new rows neither.

        Raises:
          ValueError: a log price is not finite or the share is out of range.
          UserError: there are no rows.
        """
        values = np.sort(_finite(log_prices))
        if not 0 <= share < 1:
            raise ValueError(f"share must lie in [0, 1), not {share}")
        if not len(values):
            raise UserError("no training rows to fit price limits on: check the split")
        if share == 0:
            return cls(-math.inf, math.inf, 0.0)
        # The addend keeps a product such as 200 * 0.07 / 2 from falling below 7.
        cut = math.floor(len(values) * share / 2 + 1e-9)
        return cls(float(values[cut]), float(values[-1 - cut]), float(share))

    def keep(self, log_prices: Sequence[float] | np.ndarray) -> np.ndarray:
        """Says which rows lie within the limits: low <= x <= high.

        Args:
          log_prices: [N].

        Returns:
          bool [N].

        Raises:
          ValueError: a log price is not finite.
        """
        values = _finite(log_prices)
        return (self.low <= values) & (values <= self.high)

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` turns back into equal limits."""
        # JSON has no infinity.
        low = self.low if math.isfinite(self.low) else None
        high = self.high if math.isfinite(self.high) else None
        return {"low": low, "high": high, "share": self.share}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PriceLimits:
        """Rebuilds limits.

        Raises:
          UserError: the value was not written by `to_json`.
        """
        try:
            low = -math.inf if value["low"] is None else float(value["low"])
            high = math.inf if value["high"] is None else float(value["high"])
            share = float(value["share"])
            if not (low <= high and 0 <= share < 1):
                raise ValueError("limits out of order")
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                "the price limits' file is damaged: copy it anew or train again"
            ) from error
        return cls(low, high, share)


def _functions(transform: str) -> tuple[np.ufunc, np.ufunc]:
    if transform not in _TRANSFORMS:
        raise UserError(f"no price transform {transform!r}: give log or log1p")
    return _TRANSFORMS[transform]


def _finite(log_prices: Sequence[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(log_prices, np.float64)
    if not np.isfinite(values).all():
        raise ValueError("log prices must be finite")
    return values
