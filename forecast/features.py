"""What a step is told beside covariates: earlier values, the calendar, holidays."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.errors import UserError
from common.tables.cells import quoted
from forecast.panel.frequencies import season_length, split_frequency

# Steps back by unit, as in GluonTS' and PyTorchTS' multivariate models, which read one
# step back of weeks and months: these see the year here.
_LAGS = {
    "second": (1, 4, 12, 24, 48),
    "minute": (1, 4, 12, 24, 48),
    "hour": (1, 24, 168),
    "day": (1, 7, 14),
    "business day": (1, 2),
    "week": (1, 52),
    "month": (1, 12),
    "quarter": (1, 4),
    "year": (1,),
}
# (part of a time, its period) by unit. The periods are fixed, so that a step has the
# same numbers in a short table and in a long one.
_MINUTE, _HOUR, _DAY = ("minute", 60), ("hour", 24), ("day_of_week", 7)
_CALENDAR: dict[str, tuple[tuple[str, float], ...]] = {
    "second": (_MINUTE, _HOUR, _DAY),
    "minute": (_MINUTE, _HOUR, _DAY),
    "hour": (_HOUR, _DAY),
    "day": (_DAY, ("day_of_year", 365.25)),
    "business day": (("day_of_week", 5), ("day_of_year", 365.25)),
    "week": (("day_of_year", 365.25),),
    "month": (("month", 12),),
    "quarter": (("quarter", 4),),
    "year": (),
}


def lags_of(frequency: str, rows: int) -> tuple[int, ...]:
    """Steps back that networks read.

    Args:
      frequency: of the panel. Of several hours, days … a step has one season as well.
      rows: that there are to look back on; longer lags are left out.
    """
    count, unit = split_frequency(frequency)
    lags = _LAGS[unit]
    if count > 1 and unit not in ("second", "minute"):
        lags = (1, season_length(frequency))
    kept = tuple(sorted({lag for lag in lags if lag <= rows}))
    return kept or (1,)


def calendar(
    times: pd.DatetimeIndex, frequency: str, holidays: Sequence[str] = ()
) -> np.ndarray:
    """Numbers of steps: cosine and sine of their place in the day, week and year.

    Args:
      times: [T].
      frequency: of these.
      holidays: dates; where there are any, a last number is 1 at steps that have one.

    Returns:
      float32 [T, F].

    Raises:
      UserError: a holiday that is no date.
    """
    _, unit = split_frequency(frequency)
    columns = []
    for name, period in calendar_parts(frequency):
        angle = 2 * np.pi * np.asarray(getattr(times, name), np.float64) / period
        columns += [np.cos(angle), np.sin(angle)]
    if holidays:
        columns.append(_has_holiday(times, unit, holidays))
    if not columns:
        return np.zeros((len(times), 0), np.float32)
    return np.stack(columns, axis=1).astype(np.float32)


def calendar_parts(frequency: str) -> tuple[tuple[str, float], ...]:
    """(part of a time, its period) of each pair of numbers in the calendar."""
    return _CALENDAR[split_frequency(frequency)[1]]


def _has_holiday(
    times: pd.DatetimeIndex, unit: str, holidays: Sequence[str]
) -> np.ndarray:
    dates = []
    for text in holidays:
        date = pd.to_datetime(text, errors="coerce", format="ISO8601")
        if pd.isna(date):
            raise UserError(f"--window.holidays: {quoted(text)} is no date")
        dates.append(date.normalize().tz_localize(None))
    days = times.tz_localize(None).normalize()
    if unit in ("second", "minute", "hour", "day", "business day"):
        return np.isin(days, dates).astype(np.float64)
    period = {"week": "W", "month": "M", "quarter": "Q", "year": "Y"}[unit]
    if unit == "week":  # those that end on the day of the stamp, or start on it
        period = f"W-{days[0].day_name()[:3].upper()}"
    spans = days.to_period(period)
    return np.isin(spans, pd.DatetimeIndex(dates).to_period(period)).astype(np.float64)
