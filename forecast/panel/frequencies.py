"""Frequencies: how far apart the steps of a panel are, and its grid of times.

A frequency is a text as pandas >= 2.2 writes it: "5min", "h", "D", "B", "W-MON", "MS",
"ME", "QS-JAN", "YE-DEC", with a multiple before it. Older and plainer names are read.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from common.errors import UserError
from common.tables.cells import quoted

# Of each unit: its names, its seconds, its steps in a season.
_TABLE = {
    "second": ("s", 1, 3600),
    "minute": ("min", 60, 1440),
    "hour": ("h", 3600, 24),
    "day": ("D", 86_400, 7),
    "business day": ("B", 120_960, 5),
    "week": ("W", 604_800, 52),
    "month": ("MS ME", 2_629_746, 12),
    "quarter": ("QS QE", 7_889_238, 4),
    "year": ("YS YE", 31_556_952, 1),
}
_UNITS = {name: unit for unit, row in _TABLE.items() for name in row[0].split()}
FINE = ("second", "minute", "hour")  # units whose times have an hour that counts
_LONG = ("month", "quarter", "year")

_ALIASES = {"S": "s", "T": "min", "H": "h", "d": "D", "b": "B", "w": "W", "AS": "YS"}
_ALIASES |= {"hourly": "h", "daily": "D"}
# Do not say which day; the stamps do.
_OPEN = {"W": "W", "weekly": "W", "M": "ME", "monthly": "ME", "Q": "QE", "A": "YE"}
_OPEN |= {"w": "W", "quarterly": "QE", "Y": "YE", "yearly": "YE"}
# A grid of months has all of them, whichever business day bears the stamp.
_FORM = re.compile(r"\s*([0-9]{0,6})\s*(?:B(?=[MQAY]))?([A-Za-z]+)(-[A-Za-z]{3})?\s*")

_DAY = 86_400
_FEWEST = 7  # steps by which a series shows a frequency of its own
_LARGEST = 10_000_000  # steps of a grid


def parse_frequency(text: str) -> str:
    """The name of a frequency as the package writes it.

    Args:
      text: such as "H", "h", "M", "ME", "5T", "W-wed" or "daily". Without a day, weeks
        end on Sunday, and months, quarters and years are stamped by their last day.

    Raises:
      UserError: no such frequency.
    """
    if match := _FORM.fullmatch(text):
        name = (_ALIASES | _OPEN).get(match[2], match[2])
        try:
            offset = to_offset(f"{match[1] or 1}{name}{(match[3] or '').upper()}")
        except ValueError:
            offset = None
        if name in _UNITS and offset is not None and offset.n > 0:
            return str(offset.freqstr)
    raise UserError(
        f"frequency {quoted(text)}: give one of s, min, h, D, B, W-MON to W-SUN, MS, ME,"
        " QS, QE, YS or YE, perhaps with a number before it as in 5min"
    )


def split_frequency(frequency: str) -> tuple[int, str]:
    """How many of which unit a step is, as (5, "minute") of "5min".

    Units are second, minute, hour, day, business day, week, month, quarter and year.
    """
    offset = to_offset(frequency)
    return offset.n, _UNITS[offset.rule_code.split("-")[0]]


def season_length(frequency: str) -> int:
    """Steps of a season: 52 weeks, 12 months, 7 days, 5 business days, 24 hours …

    Minutes have the day (288 of 5min), seconds the hour. 1 where the step does not
    divide the season.
    """
    count, unit = split_frequency(frequency)
    whole, rest = divmod(_TABLE[unit][2], count)
    return whole if whole and not rest else 1


def settle_frequency(text: str, times: pd.DatetimeIndex) -> str:
    """A frequency as named, or as times show it.

    Args:
      text: as a user names it. A bare W, M, Q or Y takes its day from the times; ""
        takes all from them.
      times: distinct and sorted.

    Raises:
      UserError: no such frequency, or the times show none.
    """
    if not text:
        return infer_frequency(times)
    frequency = parse_frequency(text)
    match = _FORM.fullmatch(text)
    if match and match[2] in _OPEN and not match[3] and len(times):
        return _anchored(*split_frequency(frequency), times)
    return frequency


def infer_frequency(times: pd.DatetimeIndex) -> str:
    """The frequency that times show, gaps or not: their most frequent step.

    Steps about as long as a month, a quarter or a year, and not all whole weeks, are
    those. Days that are never at a weekend are business days. (pandas.infer_freq finds
    none where one time is missing.)

    Args:
      times: distinct and sorted.

    Raises:
      UserError: less than two times, or steps below a second.
    """
    if len(times) < 2:
        raise UserError(
            f"no frequency can be told from {len(times)} moments in time: name it as"
            " --data.frequency"
        )
    seconds = _seconds(times)
    steps = np.diff(seconds)
    if (steps % 1 > 0).any():
        raise UserError("times are parts of a second apart: give whole seconds")
    step = _mode(steps)
    midnight = not (seconds % _DAY).any()
    if midnight and np.mean(steps % step == 0) < 0.9 and step < 28 * _DAY:
        step = int(np.gcd.reduce(steps.astype(np.int64)))  # sales that are rare
    days = step / _DAY
    months = round(step / _TABLE["month"][1])
    if months and abs(days - months * 30.437) < 2.6 and (steps % (7 * _DAY)).any():
        unit = {3: "quarter", 12: "year"}.get(months, "month")
        return _anchored(months if unit == "month" else 1, unit, times)
    if days == 1:
        weekend = pd.date_range(times[0], times[-1]).day_of_week > 4
        return "B" if weekend.any() and (times.day_of_week < 5).all() else "D"
    if days % 7 == 0:
        return _anchored(int(days) // 7, "week", times)
    units = (("D", _DAY), ("h", 3600), ("min", 60), ("s", 1))
    name, size = next(unit for unit in units if step % unit[1] == 0)
    return parse_frequency(f"{int(step // size)}{name}")


def make_times(
    start: str | pd.Timestamp, count: int, frequency: str
) -> pd.DatetimeIndex:
    """A grid of `count` times that begins with the first one from `start` on.

    Raises:
      UserError: `start` is no date, or the grid leaves what pandas can hold.
    """
    offset = to_offset(frequency)
    try:
        first = offset.rollforward(pd.Timestamp(start))
        return pd.date_range(first, periods=count, freq=offset, unit="us")
    except (ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"no grid of {count:,} steps of {frequency} from {str(start)!r} ({reason}):"
            " give a date such as 2000-01-01"
        ) from None


def is_too_long(steps: float, moments: int) -> bool:
    """Whether a grid of some steps would have hardly any of so many moments."""
    return steps > max(1000, min(10 * moments, _LARGEST))


def find_grid(times: pd.DatetimeIndex, frequency: str) -> pd.DatetimeIndex:
    """The grid from the first to the last of some times.

    Raises:
      UserError: hardly any of its steps has one; it names the first and the last.
    """
    offset, (count, unit) = to_offset(frequency), split_frequency(frequency)
    low, high, distinct = times.min(), times.max(), times.nunique()
    step = count * _TABLE[unit][1]
    steps = (high - low).total_seconds() / step
    if is_too_long(steps, distinct):
        raise UserError(
            f"times run from {low} to {high}, {steps:,.0f} steps of {frequency} for"
            f" {distinct:,} moments: mend the times that are wrong, or name the step as"
            " --data.frequency"
        )
    if unit in FINE:
        # One odd stamp at the start must not shift the grid of all others.
        moments, step = times.as_unit("us").asi8, step * 1_000_000
        phase, first = _mode(moments % step), moments.min()
        low = pd.Timestamp(first + (phase - first) % step, unit="us")
    else:
        low, high = low.normalize(), high.normalize()
        if _is_end(frequency):
            low, high = offset.rollforward(low), offset.rollforward(high)
        else:
            low = offset.rollback(low)
    return pd.date_range(low, high, freq=offset, unit="us")


def locate(
    times: pd.DatetimeIndex, grid: pd.DatetimeIndex, frequency: str
) -> np.ndarray:
    """The place of each time on a grid, int64 [N]; -1 where it is not on it.

    Months, quarters and years hold any day of theirs, days and weeks any hour.
    """
    unit = split_frequency(frequency)[1]
    if unit not in FINE:
        times = times.normalize()
    if unit not in _LONG:
        return grid.get_indexer(times).astype(np.int64)
    if _is_end(frequency):
        places = grid.searchsorted(times)
        return np.where(places < len(grid), places, -1).astype(np.int64)
    return grid.searchsorted(times, side="right").astype(np.int64) - 1


def check_one_frequency(values: np.ndarray, ids: Sequence[str], frequency: str) -> None:
    """Refuses series that step by more than one step of the grid throughout.

    A series does so if it has at least eight values, no two of them on neighbouring
    steps, and nine of ten gaps about as wide as the narrowest. Rare sales don't.

    Args:
      values: [T, D], NaN where not observed.
      ids: [D] of the series.
      frequency: of the grid.

    Raises:
      UserError: naming the first such series.
    """
    others = []  # (id, narrowest gap)
    for name, observed in zip(ids, np.isfinite(values).T, strict=True):
        steps = np.diff(np.flatnonzero(observed))
        narrowest = steps.min(initial=len(values))
        regular = np.mean(steps <= 1.2 * narrowest) >= 0.9 if len(steps) else False
        if len(steps) >= _FEWEST and narrowest > 1 and regular:
            others.append((name, narrowest))
    if others:
        name, narrowest = others[0]
        raise UserError(
            f"mixed frequencies: series {quoted(name)} has values every {narrowest}"
            f" steps of {frequency} or more, others have them closer ({len(others)} of"
            f" {len(ids)} series are like it): give the series of each frequency in a"
            " table of their own, or sum them up to one"
        )


def _anchored(count: int, unit: str, times: pd.DatetimeIndex) -> str:
    """Weeks, months, quarters or years as the times are stamped."""
    if unit == "week":
        return parse_frequency(f"{count}W-{_mode(times.day_name().str[:3])}")
    ends = np.mean(times.is_month_end) > 0.5
    name = unit[0].upper() + ("E" if ends else "S")
    if unit == "month":
        return parse_frequency(f"{count}{name}")
    months = times.month
    if unit == "quarter":  # of the four that name the same grid the usual one
        months = (months - 1) % 3 + (10 if ends else 1)
    month = pd.Timestamp(2000, int(_mode(months)), 1).month_name()
    return parse_frequency(f"{count}{name}-{month[:3]}")


def _is_end(frequency: str) -> bool:
    """Whether the last day bears the stamp."""
    return to_offset(frequency).rule_code[:2] in ("ME", "QE", "YE")


def _seconds(times: pd.DatetimeIndex) -> np.ndarray:
    """Seconds since 1970, float64."""
    return times.as_unit("us").asi8 / 1e6


def _mode(values: np.ndarray | pd.Index) -> Any:
    """The most frequent value; of several the least."""
    return pd.Series(values).mode()[0]
