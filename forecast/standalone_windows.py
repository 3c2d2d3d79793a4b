"""Windows of series as an exported program takes them; needs numpy alone.

An export has this file as windows.py, beside serve.py:

    import numpy as np
    import serve, windows
    model = serve.Predictor("export")
    about = model.metadata["about"]  # ids of the series, their frequency, sizes
    window = windows.make_window(about, history, times, known=known)
    paths = model.predict_one(**window)["paths"]  # [S, H, D]

Several windows at a time: `model.predict(**windows.stack([window, other]))`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class WindowError(ValueError):
    """Arrays that make no window; the message says which and why."""


def make_window(
    about: Mapping[str, Any],
    history: Any,
    times: Any,
    *,
    known: Any = None,
    past: Any = None,
    series: Sequence[str] | None = None,
    categories: Sequence[Sequence[str]] | None = None,
    seed: int | None = None,
) -> dict[str, np.ndarray]:
    """One window, whose horizon starts after the last row of a history.

    Args:
      about: "about" of metadata.json.
      history: [T, D], any T from 1; NaN for what is missing. The program reads the last
        about["past"] rows; those before are looked at where values are missing.
      times: of the history and of the horizon [T + H], as datetime64 or ISO texts in
        the time zone of training; at the regular steps of about["frequency"].
      known: [T + F, D, K] covariates about["known_names"], those of the horizon too;
        from the last one on they stay as they are. None where there are none.
      past: [T, D, K], covariates about["past_names"].
      series: ids of the columns. None: about["ids"] in their order. A network that
        reads each series alone takes as many others in their place.
      categories: [D, K] levels of about["category_names"], of such a network alone.
      seed: of the draws, 0 to 2^32 - 1; None: T, as the package has it.

    Returns:
      {input of the program: array}, without the batch axis.

    Raises:
      WindowError: an array of another shape, or series that the program can't take.
    """
    values = np.asarray(history, np.float32)
    rows, ahead, count = len(values), about["horizon"], len(about["ids"])
    if values.ndim != 2 or not rows or values.shape[1] != count:
        raise WindowError(
            f"history is {list(values.shape)}: give [T, {count}], T from 1"
        )
    stamps = np.asarray(times, "datetime64[s]")
    if stamps.shape != (rows + ahead,):
        raise WindowError(
            f"times are {list(stamps.shape)}: give {rows} of the history and {ahead}"
            " of the horizon"
        )
    seed = rows if seed is None else seed
    if not 0 <= seed < 2**32:
        raise WindowError(f"seed {seed}: give a whole number from 0 to 2^32 - 1")
    covariates = _join(about, rows, known, past)
    front = max(about["past"] - rows, 0)  # a short history has empty rows in front
    read = -(about["context"] + ahead)
    window = {
        "values": _last(fill(values), about["past"], front),
        "observed": _last(np.isfinite(values), about["past"], front),
        "calendar": _last(make_calendar(about, stamps), -read, front),
        "covariates": _last(covariates, -read, front),
        "seed": np.array(seed, np.uint32),
    }
    if about["shared"]:
        window["categories"] = _number(about, series, categories)
    elif series is not None and list(series) != list(about["ids"]):
        raise WindowError('the series are not those of about["ids"] in their order')
    return window


def stack(windows: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Windows as a batch: {input: [B, ...]}."""
    return {name: np.stack([one[name] for one in windows]) for name in windows[0]}


def fill(values: np.ndarray) -> np.ndarray:
    """Values [T, D], missing ones carried forward; 0 before the first of a series.

    A window that ends before that one must not tell of it.
    """
    there = np.isfinite(values)
    rows = np.where(there, np.arange(len(values))[:, None], 0)
    last = np.maximum.accumulate(rows, axis=0)
    return np.take_along_axis(np.where(there, values, 0.0), last, axis=0)


def make_calendar(about: Mapping[str, Any], times: np.ndarray) -> np.ndarray:
    """Numbers of steps: cosine and sine of their place in the day, week and year.

    Args:
      about: "calendar" has (part of a time, its period); "holidays" has dates.
      times: datetime64[s] [T].

    Returns:
      float32 [T, F]; where there are holidays, the last number is 1 at steps with one.
    """
    columns = [np.zeros((0, len(times)))]
    for part, period in about["calendar"]:
        angle = 2 * np.pi * _read_part(times, part) / period
        columns.append(np.stack([np.cos(angle), np.sin(angle)]))
    if about["holidays"]:
        columns.append(_has_holiday(times, about["unit"], about["holidays"])[None])
    return np.concatenate(columns).T.astype(np.float32)


def _read_part(times: np.ndarray, part: str) -> np.ndarray:
    """A part of times, float64 [T]; days of a week from 0, Monday, others from 1."""
    days, years = times.astype("datetime64[D]"), times.astype("datetime64[Y]")
    seconds = (times - days).astype(np.int64)
    month = times.astype("datetime64[M]").astype(np.int64) % 12
    parts = {
        "minute": seconds // 60 % 60,
        "hour": seconds // 3600,
        "day_of_week": (days.astype(np.int64) + 3) % 7,  # day 0 was a Thursday
        "day_of_year": (days - years.astype("datetime64[D]")).astype(np.int64) + 1,
        "month": month + 1,
        "quarter": month // 3 + 1,
    }
    return parts[part].astype(np.float64)


def _has_holiday(times: np.ndarray, unit: str, holidays: Sequence[str]) -> np.ndarray:
    """Whether the span of a step has a holiday; that of a week ends with its stamp."""
    days, dates = times.astype("datetime64[D]"), np.array(holidays, "datetime64[D]")
    if unit == "week":
        back = (days[:, None] - dates[None, :]).astype(np.int64)
        return ((back >= 0) & (back < 7)).any(1).astype(np.float64)
    letter = {"month": "M", "quarter": "M", "year": "Y"}.get(unit, "D")
    spans, marked = (
        each.astype(f"datetime64[{letter}]").astype(np.int64)
        // (3 if unit == "quarter" else 1)
        for each in (days, dates)
    )
    return np.isin(spans, marked).astype(np.float64)


def _join(about: Mapping[str, Any], rows: int, known: Any, past: Any) -> np.ndarray:
    """Covariates [T + H, D, K]: known ones of the step, past ones of the step before.

    In the horizon past ones stay as they last were.
    """
    ahead, count = about["horizon"], len(about["ids"])
    parts = []
    for name, given in (("known", known), ("past", past)):
        width = len(about[f"{name}_names"])
        if given is None and width:
            raise WindowError(f"{name} is missing: {', '.join(about[f'{name}_names'])}")
        array = np.asarray(np.zeros((rows, count, 0)) if given is None else given)
        if array.shape[1:] != (count, width) or len(array) < rows:
            raise WindowError(
                f"{name} is {list(array.shape)}: give [{rows} or more, {count}, {width}]"
            )
        if name == "past":
            array = np.concatenate([array[:1], array[:rows]])
        array = array[: rows + ahead].astype(np.float32)
        if not np.isfinite(array).all():
            raise WindowError(f"{name} has numbers that are not finite: fill them")
        behind = ((0, rows + ahead - len(array)), (0, 0), (0, 0))
        parts.append(np.pad(array, behind, "edge"))
    return np.concatenate(parts, axis=2)


def _last(array: np.ndarray, rows: int, front: int) -> np.ndarray:
    """The last rows, with zeros in front of the first one where there are too few."""
    padded = np.pad(array, ((front, 0), *[(0, 0)] * (array.ndim - 1)))
    return padded[len(padded) - rows :]


def _number(
    about: Mapping[str, Any],
    series: Sequence[str] | None,
    categories: Sequence[Sequence[str]] | None,
) -> np.ndarray:
    """Numbers int32 [D, 1 + K] of series and of their levels, as in training."""
    known = [list(about["ids"]), *about["category_levels"]]
    count = len(known[0])
    columns = [[str(name) for name in (known[0] if series is None else series)]]
    if len(known) > 1:
        if categories is None:
            names = ", ".join(about["category_names"])
            raise WindowError(f"categories are missing: {names} of each series")
        columns += [list(column) for column in zip(*categories, strict=True)]
    if [len(column) for column in columns] != [count] * len(known):
        raise WindowError(f"give {count} series, with {len(known) - 1} categories each")
    numbers = []
    for column, names in zip(columns, known, strict=True):
        # What training did not have has the number behind.
        places = {name: place for place, name in enumerate(names)}
        numbers.append([places.get(name, len(names)) for name in column])
    return np.array(numbers, np.int32).T
