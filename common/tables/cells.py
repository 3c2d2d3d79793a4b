"""What the cells of a table say: numbers, prices, times."""

import datetime
import re
from collections.abc import Callable

import numpy as np
import pandas as pd

# Text as pandas holds it here: compact, and an empty cell is a NaN.
TEXT = pd.StringDtype("pyarrow", na_value=np.nan)

# Spellings of "no number", in lower case. They are read so in columns of numbers
# alone: as a category NA may be a country.
NO_NUMBER = frozenset({"-", "na", "n/a", "nan", "none", "null"})

# Currencies that a sign may stand for.
SIGNS = {
    "$": ("USD", "AUD", "CAD", "HKD", "MXN", "NZD", "SGD"),
    "€": ("EUR",),
    "£": ("GBP",),
    "¥": ("JPY", "CNY"),
    "₹": ("INR",),
    "₩": ("KRW",),
    "₽": ("RUB",),
}

_PLAIN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
# A comma that can't part thousands: not three digits after it, or not 1-3 before.
_DECIMAL_COMMA = re.compile(
    r"[+-]?([0-9]+,([0-9]{1,2}|[0-9]{4,})|(0|[0-9]{4,}),[0-9]+)"
)
# Thousands in groups of three by one mark, then perhaps decimals after another one.
_GROUPED = re.compile(r"([+-]?[1-9][0-9]{0,2}(?:([.,'’ ])[0-9]{3})(?:\2[0-9]{3})*)")
_DECIMALS = re.compile(r"([.,])[0-9]*")
_SPACES = re.compile(r"[\s\u00a0\u2009\u202f]+")
_PREFIX = re.compile(r"[A-Za-z]{3}(?![A-Za-z])|[$€£¥₹₩₽]")
_SUFFIX = re.compile(r"(?<![A-Za-z])[A-Za-z]{3}\Z|[$€£¥₹₩₽]\Z")
_NUMBER_STARTS = re.compile(r"[-+.]?[0-9]")
_COMPACT_DATE = re.compile(r"(19|20)[0-9]{6}")

# A number that no longer fits a float32 is a mistake of writing.
_LARGEST = float(np.finfo(np.float32).max)
_FIRST_MILLISECONDS = 1e11  # as seconds this is the year 5138


def parse_number(text: str) -> float:
    """Reads a number whose writing leaves no doubt.

    Plain numbers (12, 12.5, 1e3), decimal commas (12,5) and thousands in groups of
    three (1,234.50; 1.234,50; 1 234 567) are read; 1,234 alone is refused, since it
    is 1234 to some and 1.234 to others.

    Raises:
      ValueError: with the reason.
    """
    if _PLAIN.fullmatch(text):
        number = float(text)
    elif _DECIMAL_COMMA.fullmatch(text):
        number = float(text.replace(",", "."))
    else:
        number = _parse_grouped(text)
    if not abs(number) <= _LARGEST:
        raise ValueError(f"{quoted(text)} is too large")
    return number


def _parse_grouped(text: str) -> float:
    text = _SPACES.sub(" ", text)
    match = _GROUPED.match(text)
    if not match:
        raise ValueError(f"{quoted(text)} is not a number")
    whole, mark = match[1], match[2]
    decimals = text[match.end() :]
    if decimals and (decimals[0] == mark or not _DECIMALS.fullmatch(decimals)):
        raise ValueError(f"{quoted(text)} is not a number")
    if mark == "," and not decimals and whole.count(mark) == 1:
        readings = f"{text.replace(',', '')} or {text.replace(',', '.')}"
        raise ValueError(f"{quoted(text)} may be {readings}: write one of these")
    return float(whole.replace(mark, "") + decimals.replace(",", "."))


def split_currency(text: str) -> tuple[str, str]:
    """Parts a price into (number, sign or three-letter code or "")."""
    if match := _PREFIX.match(text):
        number = text[match.end() :].strip()
    elif match := _SUFFIX.search(text):
        number = text[: match.start()].strip()
    if match and _NUMBER_STARTS.match(number):
        return number, match[0].upper()
    return text, ""


def parse_price(text: str, currency: str) -> float:
    """Reads a price that may carry the sign or the code of its currency.

    Args:
      text: such as "12.50", "$1,234.50" or "12,50 EUR".
      currency: code that the table's prices are in; "" if none is known, then a
        price with a sign is refused.

    Raises:
      ValueError: with the reason.
    """
    number, mark = split_currency(text)
    if mark and currency not in SIGNS.get(mark, (mark,)):
        known = f"in {currency}" if currency else "of no currency (target.currency)"
        raise ValueError(
            f"{quoted(text)} is in {mark}, the schema's prices are {known}"
        )
    value = parse_number(number)
    if value <= 0:
        raise ValueError(f"{quoted(text)} is not above zero")
    return value


def parse_time(text: str) -> float:
    """Reads an ISO 8601 date or time, or seconds (milliseconds) since 1970.

    Returns:
      seconds since 1970, UTC where the text names no zone.

    Raises:
      ValueError: with the reason.
    """
    if _PLAIN.fullmatch(text) and not _COMPACT_DATE.fullmatch(text):
        number = parse_number(text)
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


def quoted(text: str, longest: int = 40) -> str:
    """Text in quotes for a message, on one line and not too long."""
    return repr(text if len(text) <= longest else text[: longest - 3] + "…")
