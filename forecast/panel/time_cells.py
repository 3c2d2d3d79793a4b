"""What the cells of a column of times say."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd

from common.tables.cells import quoted

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,7}(\.0+)?")
_YEAR = re.compile(r"(1[89]|2[01])[0-9]{2}")
_MONTH = re.compile(r"((?:19|20)[0-9]{2})(0[1-9]|1[0-2])")
_DATE = re.compile(r"(19|20)[0-9]{6}")
_ZONED = re.compile(r"(.{8,}[Tt ][0-9]{2}.*?)\s*([Zz]|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)")
_LEAST = 1e7  # seconds since 1970; smaller numbers are something else
_FIRST_MILLISECONDS = 1e11  # as seconds this is the year 5138


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """What N cells say of times.

    Attributes:
      wall: [N] as the clock on the wall has it, without a zone; NaT where unknown.
      utc: [N] the same moments in UTC; `wall` where a cell names no zone.
      steps: int64 [N] where the cells are whole numbers that count steps, else None.
      wrong: {row: reason} of cells that say no time; empty ones among them.
    """

    wall: pd.DatetimeIndex
    utc: pd.DatetimeIndex
    steps: np.ndarray | None
    wrong: dict[int, str]

    def choose(self, coarse: bool) -> pd.DatetimeIndex:
        """Wall time for days and coarser steps, UTC for finer ones.

        A day is a day in summer and winter. On the wall clock an hour of autumn
        comes twice, in UTC never.
        """
        return self.wall.normalize() if coarse else self.utc

    @property
    def coarse(self) -> bool:
        """Whether all times are of one hour of the day, as of days and coarser steps."""
        return (self.wall - self.wall.normalize()).nunique() <= 1


def read_moments(cells: pd.Series) -> Moments:
    """Reads ISO 8601 dates and times, with zone or without.

    Read are also months (1998-02, 199802), years, seconds or milliseconds since 1970,
    and whole numbers below ten million that count steps, if all cells are.

    Args:
      cells: text; empty cells are NaN.
    """
    codes, uniques = cells.factorize()
    texts = [str(text) for text in uniques]

    def all_are(form: re.Pattern) -> bool:
        return all(map(form.fullmatch, texts))

    wrong = dict.fromkeys(np.flatnonzero(codes < 0).tolist(), "an empty cell, no time")
    if texts and all_are(_WHOLE) and not all_are(_YEAR) and not all_are(_MONTH):
        numbers = np.array([*map(float, texts), 0]).astype(np.int64)
        none = pd.DatetimeIndex(np.full(len(cells), "NaT", "M8[us]"))
        return Moments(none, none, numbers[codes], wrong)
    wall, utc = _parse([_ZONED.sub(r"\1", text) for text in texts]), _parse(texts)
    for code in np.flatnonzero((utc.isna() | wall.isna())[:-1]):
        reason = (
            f"{quoted(texts[code])} is no date such as 2019-01-31 or 2019-01-31T12:00"
        )
        wrong |= dict.fromkeys(np.flatnonzero(codes == code).tolist(), reason)
    return Moments(wall[codes], utc[codes], None, wrong)


def _parse(texts: list[str]) -> pd.DatetimeIndex:
    """Times in UTC, the zone then taken off; NaT where a text is none, and behind all.

    (There the code -1 of an empty cell finds it.)
    """
    plain = [
        _MONTH.sub(r"\1-\2", text) if _MONTH.fullmatch(text) else text for text in texts
    ]
    times = pd.to_datetime(
        pd.Series([*plain, None], dtype=object),
        format="ISO8601",
        errors="coerce",
        utc=True,
    )
    found = pd.DatetimeIndex(times).tz_localize(None).as_unit("us").to_numpy().copy()
    for place, text in enumerate(texts):
        if _NUMBER.fullmatch(text) and not (_DATE.fullmatch(text) or len(text) <= 6):
            number = float(text)
            seconds = number / 1000 if abs(number) >= _FIRST_MILLISECONDS else number
            if _LEAST <= abs(seconds) < 9e9:  # the year 2255
                found[place] = np.datetime64(round(seconds * 1e6), "us")
    return pd.DatetimeIndex(found)
