"""Prices as shops write them: a number with the sign or the code of a currency."""

import re

import numpy as np
import pandas as pd

from common.tables.cells import parse_number, quoted

# Currencies that a sign may stand for, the likeliest first. Signs in upper case.
SIGNS = {
    "$": ("USD", "AUD", "CAD", "HKD", "MXN", "NZD", "SGD"),
    "US$": ("USD",),
    "AU$": ("AUD",),
    "A$": ("AUD",),
    "CA$": ("CAD",),
    "C$": ("CAD",),
    "HK$": ("HKD",),
    "NZ$": ("NZD",),
    "R$": ("BRL",),
    "S$": ("SGD",),
    "€": ("EUR",),
    "EURO": ("EUR",),
    "£": ("GBP",),
    "¥": ("JPY", "CNY"),
    "₹": ("INR",),
    "RS": ("INR", "PKR", "LKR"),
    "RS.": ("INR", "PKR", "LKR"),
    "₩": ("KRW",),
    "₽": ("RUB",),
    "₺": ("TRY",),
    "KR": ("SEK", "NOK", "DKK", "ISK"),
    "KR.": ("DKK", "SEK", "NOK", "ISK"),
    "ZŁ": ("PLN",),
    "KČ": ("CZK",),
    "FR.": ("CHF",),
}
CODES = frozenset(
    [
        "AUD",
        "BRL",
        "CAD",
        "CHF",
        "CNY",
        "CZK",
        "DKK",
        "EUR",
        "GBP",
        "HKD",
        "INR",
        "ISK",
        "JPY",
        "KRW",
        "MXN",
        "NOK",
        "NZD",
        "PLN",
        "RUB",
        "SEK",
        "SGD",
        "TRY",
        "USD",
    ]
)

# A price with one of these is not the one that is paid.
_NOT_FIXED = frozenset(
    [
        "ab",
        "approx",
        "ca",
        "from",
        "max",
        "min",
        "neg",
        "negotiable",
        "obo",
        "ono",
        "starting",
        "vb",
        "vhb",
        "vhs",
    ]
)


def _pattern_of(sign: str) -> str:
    return re.escape(sign).replace("S\\$", "S ?\\$")  # US $40


_SIGN = "|".join(map(_pattern_of, sorted(SIGNS, key=len, reverse=True)))
_PREFIX = re.compile(rf"({_SIGN}|[A-Z]{{3}})(?![A-Z])", re.IGNORECASE)
_SUFFIX = re.compile(rf"(?<![A-Z])({_SIGN}|[A-Z]{{3}})\Z", re.IGNORECASE)
_NUMBER_STARTS = re.compile(r"[-+.]?[0-9]")
_NO_CENTS = re.compile(r"(?<=[0-9])[.,:] ?[-–—]{1,2}\Z")  # 40.- or 40,--
_THOUSANDS = re.compile(r"(?<=[0-9]) ?k\Z", re.IGNORECASE)  # 4k
_INDIAN = re.compile(r"[1-9][0-9]?(,[0-9]{2})+,[0-9]{3}(\.[0-9]*)?")  # 1,40,500
_RANGE = re.compile(
    r"[^0-9]*[0-9][0-9.,']*[^0-9]{0,5}(-|–|—|~|/|\bto\b|\bbis\b)[^0-9]{0,5}"
    r"[0-9][0-9.,']*[^0-9]*",
    re.IGNORECASE,
)
_LONGEST = 60  # characters of what is looked at as a range


def split_currency(text: str) -> tuple[str, str]:
    """Parts a price into (number, sign or three-letter code or "").

    Of "$40 CAD" the code is told, since it says more than the sign.
    """
    number, mark = _split_once(text)
    if mark:
        rest, second = _split_once(number)
        if second and set(currencies(second)) & set(currencies(mark)):
            return rest, min(second, mark, key=lambda each: len(currencies(each)))
    return number, mark


def _split_once(text: str) -> tuple[str, str]:
    if match := _PREFIX.match(text):
        number = text[match.end() :].strip()
    elif match := _SUFFIX.search(text):
        number = text[: match.start()].strip()
    if match and _NUMBER_STARTS.match(number):
        mark = match[0].upper().replace(" ", "")
        if mark.lower() not in _NOT_FIXED:
            return number, mark
    return text, ""


def currencies(mark: str) -> tuple[str, ...]:
    """The codes that a sign or a code may stand for, the likeliest first."""
    return SIGNS.get(mark, (mark,))


def codes_of(cells: pd.Series) -> np.ndarray:
    """What currencies a column names: codes, signs as the likeliest of theirs.

    Args:
      cells: [N] text.

    Returns:
      object [N]; "" for empty cells.
    """
    marks = cells.str.upper().str.replace(" ", "").fillna("")
    return (
        marks.map({mark: codes[0] for mark, codes in SIGNS.items()})
        .fillna(marks)
        .to_numpy(object)
    )


def affix_pattern(currency: str) -> str:
    """A pattern of the signs and codes that prices in a currency carry; "" for all."""
    fitting = [mark for mark, codes in SIGNS.items() if currency in ("", *codes)]
    signs = map(_pattern_of, sorted(fitting, key=len, reverse=True))
    marks = f"(?i:{'|'.join([*signs, currency or '[A-Z]{3}'])})"
    return f"^{marks} ?|[ \u00a0\u202f]?{marks}$"


def plain_number(number: str) -> tuple[str, float]:
    """Parts the number of a price into (what `parse_number` reads, its factor)."""
    number = _NO_CENTS.sub("", number)
    if match := _THOUSANDS.search(number):
        return number[: match.start()], 1000.0
    if _INDIAN.fullmatch(number):
        whole, _, cents = number.partition(".")
        return f"{whole.replace(',', '')}.{cents}", 1.0
    return number, 1.0


def parse_price(text: str, currency: str, decimal: str = "") -> float:
    """Reads a price that may carry the sign or the code of its currency.

    Args:
      text: such as "12.50", "$1,234.50", "12,50 EUR", "CHF 40.-", "₹1,40,500" or "4k".
      currency: code that the table's prices are in; "" if none is known, then a
        price with a sign is refused.
      decimal: what stands before decimals, see `parse_number`.

    Raises:
      ValueError: with the reason.
    """
    number, mark = split_currency(text)
    if mark and currency not in currencies(mark):
        known = f"in {currency}" if currency else "of no currency (target.currency)"
        raise ValueError(
            f"{quoted(text)} is in {mark}, the schema's prices are {known}"
        )
    number, factor = plain_number(number)
    try:
        value = parse_number(number, decimal)
    except ValueError:
        if reason := _find_no_price(text):
            raise ValueError(f"{quoted(text)} {reason}: write one price") from None
        raise
    if factor != 1:
        value = round(value * factor, 6)
    if value <= 0:
        raise ValueError(f"{quoted(text)} is not above zero")
    return value


def _find_no_price(text: str) -> str:
    """Why a text with a number is not one price; "" where that can't be told."""
    words = re.findall(r"[a-z]+", text.lower())
    if word := next((word for word in words if word in _NOT_FIXED), ""):
        return f"is no fixed price ({word})"
    if len(text) <= _LONGEST and _RANGE.fullmatch(text):
        return "is a range of prices"
    return ""
