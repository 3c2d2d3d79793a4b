"""The rows on which a model errs most, as cards of a report."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.data.images import decode
from common.data.listings import Listings
from common.reports import page
from common.reports.result_tables import format_plain, format_price

SHOWN = 10
_LONGEST = 240  # characters of a cell


def find(errors: np.ndarray) -> np.ndarray:
    """Positions of the rows with the largest absolute errors, the worst first."""
    order = np.argsort(-np.abs(np.asarray(errors)), kind="stable")
    return order[:SHOWN]


def cards(
    listings: Listings,
    rows: np.ndarray,
    actual: np.ndarray,
    predicted: np.ndarray,
    intervals: Sequence[tuple[float, float]],
) -> page.Cards:
    """One card a row: its first photo, prices, interval, words and attributes.

    Args:
      listings: with the schema that the model read.
      rows: int [n] positions in the frame.
      actual: [n] prices.
      predicted: [n].
      intervals: (low, high) of each.
    """
    made = []
    for row, price, suggested, (low, high) in zip(
        rows, actual, predicted, intervals, strict=True
    ):
        images = listings.source[int(row)]["images"]
        title = (
            f"{format_price(price)}; predicted {format_price(suggested)}"
            f" ({_bound(low)} to {_bound(high)})"
        )
        names = listings.names_of(np.array([row]))
        told = [f"{name} {values[0]}" for name, values in names.items()]
        told += describe(listings, int(row))
        made.append(
            page.Card(decode(images[0]) if images else None, title, "; ".join(told))
        )
    return page.Cards(made)


def describe(listings: Listings, row: int) -> list[str]:
    """ "metal: gold" for each attribute of a row that is known."""
    told = []
    for attribute in listings.schema.attributes:
        cells = [listings.frame[column].iloc[row] for column in attribute.columns]
        words = [_cell(cell) for cell in cells if not pd.isna(cell) and cell != ""]
        if words:
            told.append(f"{attribute.name}: {', '.join(words)}")
    return told


def _bound(price: float) -> str:
    """An end of an interval, which may be unbounded."""
    return "∞" if math.isinf(price) else format_price(price)


def _cell(cell: object) -> str:
    text = format_plain(cell) if isinstance(cell, float) else str(cell)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
