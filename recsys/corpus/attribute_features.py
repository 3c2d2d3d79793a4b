"""Features of items without photos: the cells of some columns, one-hot."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from common.errors import UserError
from common.tables.decimals import find_writing, mark_of_new_rows, settle_column
from common.tables.row_checks import read_numbers
from common.tables.table import Table
from common.tables.whole_numbers import distinct_with_digits

BINS = 10  # of a number, with about as many items each
MOST = 512  # values of a column that have a feature of their own, the most frequent


@dataclasses.dataclass(frozen=True, eq=False)
class AttributeEncoder:
    """Which value of which column each feature stands for.

    Attributes:
      categories: {column: its values}; a feature each.
      numbers: {column: edges between its bins, ascending}; a feature for each bin.
      decimals: {column of numbers: what stands before its decimals}; "" for whole ones.
    """

    categories: Mapping[str, Sequence[str]]
    numbers: Mapping[str, Sequence[float]]
    decimals: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def width(self) -> int:
        """F."""
        bins = sum(len(edges) + 1 for edges in self.numbers.values())
        return bins + sum(map(len, self.categories.values()))

    @classmethod
    def fit(
        cls,
        table: Table,
        categories: Sequence[str],
        numbers: Sequence[str],
        min_count: int,
        rows: np.ndarray | slice = slice(None),
    ) -> AttributeEncoder:
        """Finds the values that have a feature, and the edges of the bins.

        Args:
          table: of items.
          categories: columns with names.
          numbers: columns with numbers.
          min_count: items that a value must have.
          rows: of the table that count; all, unless told.

        Raises:
          UserError: no value of any column is frequent enough; a cell of a column of
            numbers is none, or all of them can be read in two ways.
        """
        frame = table.frame.iloc[rows]
        values = {}
        for column in categories:
            counts = frame[column].value_counts()
            frequent = counts[counts >= min_count]
            order = sorted(frequent.index, key=lambda text: (-counts[text], text))
            values[column] = tuple(order[:MOST])
        edges, decimals = {}, {}
        for column in numbers:
            decimals[column] = settle_column([find_writing(table, column)])
            cells = _parse(table, column, decimals[column])[rows]
            shares = np.linspace(0, 1, BINS + 1)[1:-1]
            inner = np.nanquantile(cells, shares) if np.isfinite(cells).any() else []
            edges[column] = tuple(float(edge) for edge in np.unique(inner))
        if not any(values.values()) and not edges:
            raise UserError(
                f"columns {', '.join(categories)}: no value stands in {min_count} items"
                " or more: name other columns or lower --data.attribute_min_count"
            )
        return cls(values, edges, decimals)

    def encode(self, table: Table) -> np.ndarray:
        """Features float16 [I, F]; zeros for empty cells and values without a feature.

        Args:
          table: of I items.

        Raises:
          UserError: a cell of a column of numbers is none.
        """
        frame = table.frame
        features = np.zeros((len(frame), self.width), np.float16)
        rows = np.arange(len(frame))
        first = 0
        for column, values in self.categories.items():
            number = pd.Index(values, dtype=object).get_indexer(frame[column])
            known = number >= 0
            features[rows[known], first + number[known]] = 1
            first += len(values)
        for column, edges in self.numbers.items():
            mark = mark_of_new_rows(table, column, self.decimals.get(column, ""))
            numbers = _parse(table, column, mark)
            known = np.isfinite(numbers)
            bins = np.searchsorted(np.asarray(edges), numbers[known], side="right")
            features[rows[known], first + bins] = 1
            first += len(edges) + 1
        return features

    def describe_unused(self, frame: pd.DataFrame, min_count: int) -> str:
        """Says which values of a frame have no feature; "" where all have one.

        Args:
          frame: that it was fitted on.
          min_count: items that a value had to have.
        """
        totals = {column: frame[column].nunique() for column in self.categories}
        parts = [
            f"{totals[column] - len(values):,} of {totals[column]:,} values of {column}"
            for column, values in self.categories.items()
            if totals[column] > len(values)
        ]
        if not parts:
            return ""
        return (
            f"{', '.join(parts)} have no feature: fewer items than"
            f" --data.attribute_min_count={min_count} have them, or {MOST} others are"
            " commoner"
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` turns back into an equal encoder."""
        return {
            "categories": {name: list(v) for name, v in self.categories.items()},
            "numbers": {name: list(v) for name, v in self.numbers.items()},
            "decimals": dict(self.decimals),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AttributeEncoder:
        """Rebuilds an encoder."""
        categories = {
            n: tuple(distinct_with_digits(v)) for n, v in value["categories"].items()
        }
        numbers = {n: tuple(map(float, v)) for n, v in value["numbers"].items()}
        return cls(categories, numbers, dict(value.get("decimals", {})))


def _parse(table: Table, column: str, decimal: str) -> np.ndarray:
    """Numbers float64 [I], NaN for empty cells."""
    numbers, wrong = read_numbers(table, column, decimal)
    if wrong:
        row, reason = min(wrong.items())
        raise UserError(
            f"column {column!r}, row {row} (counted from 0): {reason}; use it as a"
            " category, or mend the cell"
        )
    return numbers
