"""What the cells of a table say: numbers and times."""

import datetime
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# Text as pandas holds it here: compact, and an empty cell is a NaN.
TEXT = pd.StringDtype("pyarrow", na_value=np.nan)

# Spellings of "no number", in lower case. They are read so in columns of numbers
# alone: as a category NA may be a country.
NO_NUMBER = frozenset({"-", "na", "n/a", "nan", "none", "null"})

# What may stand before decimals.
MARKS = (".", ",")
MARK_NAMES = {".": "a decimal point", ",": "a decimal comma"}

_PLAIN = {
    ".": re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?"),
    ",": re.compile(r"[+-]?[0-9]+(,[0-9]+)?([eE][+-]?[0-9]{1,3})?"),
}
# Thousands in groups of three by another mark, then perhaps decimals.
_GROUPED = {
    ".": re.compile(r"[+-]?[1-9][0-9]{0,2}([,'’ ])[0-9]{3}(\1[0-9]{3})*(\.[0-9]*)?"),
    ",": re.compile(r"[+-]?[1-9][0-9]{0,2}([.'’ ])[0-9]{3}(\1[0-9]{3})*(,[0-9]*)?"),
}
_SPACES = re.compile(r"[\s\u00a0\u2009\u202f]+")
_COMPACT_DATE = re.compile(r"(19|20)[0-9]{6}")

# A number that no longer fits a float32 is a mistake of writing.
LARGEST = float(np.finfo(np.float32).max)
_FIRST_MILLISECONDS = 1e11  # as seconds this is the year 5138


def read_number(text: str, decimal: str) -> float | None:
    """What a text says where decimals stand behind a certain mark.

    Plain numbers (12, 12.5, 1e3) and thousands in groups of three by another mark,
    apostrophes or spaces (1,234.50; 1'234; 1 234 567.8) are read.

    Args:
      text: of a cell.
      decimal: "." or ",".

    Returns:
      None where it is no number so.
    """
    if _PLAIN[decimal].fullmatch(text):
        return float(text if decimal == "." else text.replace(",", "."))
    text = _SPACES.sub(" ", text)
    if match := _GROUPED[decimal].fullmatch(text):
        return float(text.replace(match[1], "").replace(",", "."))
    return None


def parse_number(text: str, decimal: str = "") -> float:
    """Reads a number.

    Args:
      text: of a cell.
      decimal: what stands before the decimals of its column, see `decimals`; "" where
        that is not known: then 1.234 and 1,234 are refused, since each is 1234 to some
        and 1.234 to others, and all others are read, since their writing tells.

    Raises:
      ValueError: with the reason.
    """
    readings = {mark: read_number(text, mark) for mark in decimal or MARKS}
    known = {number for number in readings.values() if number is not None}
    if len(known) == 1:
        number = known.pop()
        if not abs(number) <= LARGEST:
            raise ValueError(f"{quoted(text)} is too large")
        return number
    if known:
        whole, part = sorted(known, key=abs, reverse=True)
        raise ValueError(
            f"{quoted(text)} may be {whole:.0f} or {part:.3f}: write {whole:.1f} or"
            f" {part:.4f}"
        )
    for mark in MARKS:
        if decimal and read_number(text, mark) is not None:
            raise ValueError(
                f"{quoted(text)} has {MARK_NAMES[mark]}, its column"
                f" {MARK_NAMES[decimal]}"
            )
    raise ValueError(f"{quoted(text)} is not a number")


def parse_time(text: str) -> float:
    """Reads an ISO 8601 date or time, or seconds (milliseconds) since 1970.

    Returns:
      seconds since 1970, UTC where the text names no zone.

    Raises:
      ValueError: with the reason.
    """
    if _PLAIN["."].fullmatch(text) and not _COMPACT_DATE.fullmatch(text):
        number = parse_number(text, ".")
        return number / 1000 if abs(number) >= _FIRST_MILLISECONDS else number
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{quoted(text)} is no date such as 2019-01-31 or 2019-01-31T12:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (moment - epoch).total_seconds()


def parse_column(
    cells: pd.Series, parse: Callable[[str], float]
) -> tuple[np.ndarray, dict[int, str]]:
    """Reads a column of numbers.

    Args:
      cells: [N] text; empty cells and the spellings of "no number" are missing.
      parse: one of the functions above.

    Returns:
      (float64 [N], NaN where missing or wrong; {position: reason} of the wrong ones).
    """
    codes, uniques = cells.factorize()  # an empty cell has code -1, the last entry
    values = np.full(len(uniques) + 1, np.nan)
    reasons = {}
    for code, text in enumerate(uniques):
        if text.lower() in NO_NUMBER:
            continue
        try:
            values[code] = parse(text)
        except ValueError as error:
            reasons[code] = str(error)
    wrong = np.flatnonzero(np.isin(codes, list(reasons))) if reasons else ()
    return values[codes], {int(row): reasons[codes[row]] for row in wrong}


def take_off(cells: pd.Series, pattern: str) -> pd.Series:
    """Texts without what a pattern of RE2 finds in them."""
    bare = pc.replace_substring_regex(pa.array(cells), pattern, "")
    return pd.Series(TEXT.__from_arrow__(bare), cells.index)


def quoted(text: str, longest: int = 40) -> str:
    """Text in quotes for a message, on one line and not too long."""
    return repr(text if len(text) <= longest else text[: longest - 3] + "…")
