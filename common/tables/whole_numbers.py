"""Whole numbers that stand for a name: 5000, 5000.0 and 5e+3 are one id.

A column of ids that once held an empty cell is a column of floats in many programs, and
is written as one. So wherever an id or a category is read, a cell that is a whole number
written as a float becomes its digits. The rule looks at the cell alone, so that one row
to predict reads as the table of training did:

- a point and zeros behind the digits: 5000.0, 5000.00, -3.0;
- an exponent that goes with a point or a plus: 1.234e+15, 5e+03, 1.234E15. Without both
  it is a code as likely as a number: 1e5 and 12E3 stay as they are;
- all else stays: 007 (and 007.0), 5.5, 5,000 and 5.000, which may be 5 or 5000.

A float holds whole numbers below 2^53 exactly. From there on its digits are not those
of the id it was made of, so it is left as it is, and refused where an id must stand.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # models import this module where pandas may be absent
    import pandas as pd

EXACT = 2**53  # floats from here on have no neighbours at distance 1

_WHOLE = r"(?:0|[1-9][0-9]*)"
_FLOAT = re.compile(
    rf"-?(?:{_WHOLE}\.0+|{_WHOLE}(?:\.[0-9]+)?[eE]\+[0-9]{{1,3}}"
    rf"|{_WHOLE}\.[0-9]+[eE][0-9]{{1,3}})"
)
# What all of these have and few other cells; quick to look for.
_HINT = r"\.0+$|[0-9][eE]\+?[0-9]+$"


def whole_number_text(text: str) -> str:
    """The digits of a whole number that is written as a float; else the text itself."""
    number = _read(text)
    return text if number is None or abs(number) >= EXACT else str(int(number))


def is_inexact(text: str) -> bool:
    """Whether a text is a whole number as a float that is too large to be exact."""
    number = _read(text)
    return number is not None and abs(number) >= EXACT


def _read(text: str) -> decimal.Decimal | None:
    if not _FLOAT.fullmatch(text):
        return None
    number = decimal.Decimal(text)
    return number if number == number.to_integral_value() else None


def may_be_floats(cells: pd.Series) -> np.ndarray:
    """Which cells [N] of text are worth a closer look, bool [N]."""
    return cells.str.contains(_HINT, na=False).to_numpy(bool)


def with_digits(cells: pd.Series) -> pd.Series:
    """A column of names with whole numbers as their digits.

    Args:
      cells: [N] text; an empty cell is NaN or None.

    Returns:
      The same column where nothing changes, else a new one.
    """
    rows = may_be_floats(cells)
    if not rows.any():
        return cells
    changed = cells.copy()
    changed.iloc[rows] = [whole_number_text(text) for text in cells[rows]]
    return changed


def with_digits_in(frame: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """A table with `with_digits` of those columns that it has, the rest shared."""
    changed = frame.copy(deep=False)
    for name in columns:
        if name in changed:
            changed[name] = with_digits(changed[name])
    return changed


def distinct_with_digits(names: Iterable[Any]) -> list[str]:
    """Distinct names with whole numbers as their digits, and still distinct.

    For what was fitted before names were read so. Of two that fall together the one
    that has its digits already keeps them, and the other is left as it is.
    """
    changed = [str(name) for name in names]
    taken = set(changed)
    for place, name in enumerate(changed):
        text = whole_number_text(name)
        if text not in taken:
            taken.add(text)
            changed[place] = text
    return changed


def distinct_array_with_digits(names: np.ndarray) -> np.ndarray:
    """`distinct_with_digits` of an array [N]; numbers are left as they are."""
    if names.dtype.kind != "U":
        return names
    marks = [np.char.find(names, mark) >= 0 for mark in ".+"]  # every float has one
    if not np.any(marks):
        return names
    return np.array(distinct_with_digits(names.tolist()))
