"""Frequencies: how far apart the steps of a panel are, and its grid of times.

A frequency is a text as pandas >= 2.2 writes it: "5min", "h", "D", "B", "W-MON", "MS",
"ME", "QS-JAN", "YE-DEC", with a multiple before it. Older and plainer names are read.
"""

import re

import numpy as np
import pandas as pd

from common.errors import UserError
from common.tables.cells import quoted

# Seconds of each unit, and its steps in a season.
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_SECONDS |= {"business day": 120_960, "week": 604_800, "month": 2_629_746}
_SECONDS |= {"quarter": 7_889_238, "year": 31_556_952}
_SEASONS = {"second": 3600, "minute": 1440, "hour": 24, "day": 7, "business day": 5}
_SEASONS |= {"week": 52, "month": 12, "quarter": 4, "year": 1}

_UNITS = {"s": "second", "min": "minute", "h": "hour", "D": "day", "B": "business day"}
_UNITS |= {"W": "week", "MS": "month", "ME": "month", "QS": "quarter", "QE": "quarter"}
_UNITS |= {"YS": "year", "YE": "year"}
_ENDS = ("ME", "QE", "YE")  # stamped by the last day

# A grid of months has all of them, whichever business day bears the stamp.
_ALIASES = {"S": "s", "T": "min", "H": "h", "d": "D", "b": "B", "w": "W", "BMS": "MS"}
_ALIASES |= {"BME": "ME", "BM": "ME", "M": "ME", "Q": "QE", "BQ": "QE", "BQE": "QE"}
_ALIASES |= {"BQS": "QS", "A": "YE", "Y": "YE", "BY": "YE", "BA": "YE", "BYE": "YE"}
_ALIASES |= {"AS": "YS", "BAS": "YS", "BYS": "YS"}
_WORDS = {"hourly": "h", "daily": "D", "weekly": "W", "monthly": "M"}
_WORDS |= {"quarterly": "Q", "yearly": "Y"}
_OPEN = ("W", "w", "M", "Q", "A", "Y")  # do not say which day; the stamps do

_MONTHS = (
    "JAN",
    "FEB",
    "MAR",
    "APR",
    "MAY",
    "JUN",
    "JUL",
    "AUG",
    "SEP",
    "OCT",
    "NOV",
    "DEC",
)
_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_FORM = re.compile(r"\s*([0-9]{0,6})\s*([A-Za-z]+)(?:-([A-Za-z]{3}))?\s*")

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
    match = _FORM.fullmatch(text)
    if match and int(match[1] or 1):
        count, name, anchor = match.groups()
        name = _WORDS.get(name, name)
        name = _ALIASES.get(name, name)
        anchored = f"{name}-{anchor.upper()}" if anchor else name
        try:
            offset = pd.tseries.frequencies.to_offset(f"{int(count or 1)}{anchored}")
        except ValueError:
            offset = None
        if offset is not None and name in _UNITS:
            return offset.freqstr
    raise UserError(
        f"frequency {quoted(text)}: give one of s, min, h, D, B, W-MON to W-SUN, MS, ME,"
        " QS, QE, YS or YE, perhaps with a number before it as in 5min"
    )


def split_frequency(frequency: str) -> tuple[int, str]:
    """How many of which unit a step is, as (5, "minute") of "5min".

    Units are second, minute, hour, day, business day, week, month, quarter and year.
    """
    count, name = _base(frequency)
    return count, _UNITS[name]


def season_length(frequency: str) -> int:
    """Steps of a season: 52 weeks, 12 months, 7 days, 5 business days, 24 hours …

    Minutes have the day (288 of 5min), seconds the hour. 1 where the step does not
    divide the season.
    """
    count, unit = split_frequency(frequency)
    whole, rest = divmod(_SEASONS[unit], count)
    return max(whole, 1) if rest == 0 else 1


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
    name = match[2] if match and not match[3] else ""
    if _WORDS.get(name, name) in _OPEN and len(times):
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
        step = float(np.gcd.reduce(steps.astype(np.int64)))  # sales that are rare
    days = step / _DAY
    months = round(step / _SECONDS["month"])
    weeks = not (steps % (7 * _DAY)).any()
    if months and abs(days - months * 30.437) < 2.6 and not weeks:
        unit = {3: "quarter", 12: "year"}.get(months, "month")
        return _anchored(months if unit == "month" else 1, unit, times)
    if days == 1:
        weekend = pd.date_range(times[0], times[-1]).day_of_week > 4
        return "B" if weekend.any() and (times.day_of_week < 5).all() else "D"
    if days % 7 == 0:
        return _anchored(int(days) // 7, "week", times)
    if days % 1 == 0:
        return f"{int(days)}D"
    for name, unit_seconds in (("h", 3600), ("min", 60)):
        if step % unit_seconds == 0:
            return parse_frequency(f"{int(step / unit_seconds)}{name}")
    return parse_frequency(f"{int(step)}s")


def make_times(
    start: str | pd.Timestamp, count: int, frequency: str
) -> pd.DatetimeIndex:
    """A grid of `count` times that begins with the first one from `start` on.

    Raises:
      UserError: `start` is no date, or the grid leaves what pandas can hold.
    """
    offset = pd.tseries.frequencies.to_offset(frequency)
    try:
        first = offset.rollforward(pd.Timestamp(start))
        return pd.date_range(first, periods=count, freq=offset, unit="us")
    except (ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"no grid of {count:,} steps of {frequency} from {str(start)!r} ({reason}):"
            " give a date such as 2000-01-01"
        ) from None


def extend_times(
    times: pd.DatetimeIndex, frequency: str, count: int
) -> pd.DatetimeIndex:
    """The `count` times after the last of a grid."""
    return make_times(times[-1], count + 1, frequency)[1:]


def check_span(times: pd.DatetimeIndex, frequency: str) -> None:
    """Refuses times so far apart that hardly any step of their grid has one.

    Raises:
      UserError: naming the first and the last.
    """
    count, unit = split_frequency(frequency)
    low, high, distinct = times.min(), times.max(), times.nunique()
    steps = (high - low).total_seconds() / _SECONDS[unit] / count
    if steps > max(1000, min(10 * distinct, _LARGEST)):
        raise UserError(
            f"times run from {low} to {high}, {steps:,.0f} steps of {frequency} for"
            f" {distinct:,} moments: mend the times that are wrong, or name the step as"
            " --data.frequency"
        )


def find_grid(times: pd.DatetimeIndex, frequency: str) -> pd.DatetimeIndex:
    """The grid from the first to the last of some times."""
    offset = pd.tseries.frequencies.to_offset(frequency)
    count, unit = split_frequency(frequency)
    low, high = times.min(), times.max()
    if unit in ("second", "minute", "hour"):
        # One odd stamp at the start must not shift the grid of all others.
        step = count * _SECONDS[unit]
        phases = _seconds(times) % step
        first = times[phases == _mode(phases)].min()
        low = first - pd.Timedelta(seconds=step) * (
            (first - low) // pd.Timedelta(seconds=step)
        )
        return pd.date_range(low, high, freq=offset, unit="us")
    low, high = low.normalize(), high.normalize()
    if _base(frequency)[1] in _ENDS:
        return pd.date_range(
            offset.rollforward(low), offset.rollforward(high), freq=offset, unit="us"
        )
    return pd.date_range(offset.rollback(low), high, freq=offset, unit="us")


def locate(
    times: pd.DatetimeIndex, grid: pd.DatetimeIndex, frequency: str
) -> np.ndarray:
    """The place of each time on a grid, int64 [N]; -1 where it is not on it.

    Months, quarters and years hold any day of theirs, days and weeks any hour.
    """
    unit = split_frequency(frequency)[1]
    if unit not in ("second", "minute", "hour"):
        times = times.normalize()
    if unit in ("month", "quarter", "year"):
        if _base(frequency)[1] in _ENDS:
            places = grid.searchsorted(times)
            return np.where(places < len(grid), places, -1).astype(np.int64)
        return grid.searchsorted(times, side="right").astype(np.int64) - 1
    return grid.get_indexer(times).astype(np.int64)


def check_one_frequency(
    codes: np.ndarray, places: np.ndarray, ids: np.ndarray, frequency: str
) -> None:
    """Refuses series that step by more than one step of the grid throughout.

    A series does so if it has at least eight values, no two of them on neighbouring
    steps, and nine of ten gaps about as wide as the narrowest. Rare sales don't.

    Args:
      codes: int [N], which series each value is of.
      places: int [N] on the grid; distinct within a series.
      ids: [D] of the series.
      frequency: of the grid.

    Raises:
      UserError: naming the first such series.
    """
    order = np.lexsort((places, codes))
    same = np.diff(codes[order]) == 0
    steps, owners = np.diff(places[order])[same], codes[order][1:][same]
    narrowest = np.full(len(ids), np.iinfo(np.int64).max)
    np.minimum.at(narrowest, owners, steps)
    alike = np.bincount(owners[steps <= 1.2 * narrowest[owners]], minlength=len(ids))
    count = np.bincount(owners, minlength=len(ids))
    other = (count >= _FEWEST) & (narrowest > 1) & (alike >= 0.9 * count)
    if other.any():
        first = int(np.argmax(other))
        raise UserError(
            f"mixed frequencies: series {quoted(str(ids[first]))} has values every"
            f" {narrowest[first]} steps of {frequency} or more, others have them closer"
            f" ({other.sum()} of {len(ids)} series are like it): give the series of each"
            " frequency in a table of their own, or sum them up to one"
        )


def _anchored(count: int, unit: str, times: pd.DatetimeIndex) -> str:
    """Weeks, months, quarters or years as the times are stamped."""
    name = "S"
    if unit != "week" and np.mean(times.is_month_end) > 0.5:
        name = "E"
    if unit == "week":
        name = f"W-{_DAYS[int(_mode(times.day_of_week))]}"
    elif unit == "month":
        name = f"M{name}"
    else:
        letter = "Q" if unit == "quarter" else "Y"
        name = f"{letter}{name}-{_MONTHS[int(_mode(times.month)) - 1]}"
    return parse_frequency(f"{count}{name}")


def _base(frequency: str) -> tuple[int, str]:
    """Multiple and alias, without the day."""
    match = _FORM.fullmatch(frequency)
    assert match, frequency
    return int(match[1] or 1), match[2]


def _seconds(times: pd.DatetimeIndex) -> np.ndarray:
    """Seconds since 1970, float64."""
    return times.as_unit("us").asi8 / 1e6


def _mode(values: np.ndarray | pd.Index) -> float:
    """The most frequent value; of several the least."""
    distinct, counts = np.unique(np.asarray(values), return_counts=True)
    return distinct[np.argmax(counts)]
