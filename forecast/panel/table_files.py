"""Panels from tables of one's own: long, a row a (series, time), or wide."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from common.errors import UserError
from common.tables.cells import LARGEST, quoted
from common.tables.decimals import find_writing
from common.tables.faults import (
    BY_CHOICE,
    Faults,
    Rejection,
    check_rejected,
    write_rejected,
)
from common.tables.row_checks import read_numbers
from common.tables.table import Table
from forecast.panel.columns import find_columns, open_series, value_columns
from forecast.panel.configs import DataConfig
from forecast.panel.frequencies import (
    check_one_frequency,
    check_span,
    find_grid,
    locate,
    make_times,
    parse_frequency,
    settle_frequency,
    split_frequency,
)
from forecast.panel.panel import Panel
from forecast.panel.time_cells import Moments, read_moments

_FINE = ("second", "minute", "hour")
_MOST_STEPS = 10_000_000
NO_GROUP = "(none)"


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a table gave.

    Attributes:
      panel: of the rows that are good.
      rejected: all other rows, in the order of the file.
      unread: {id: first reason} of series without a good row.
    """

    panel: Panel
    rejected: list[Rejection]
    unread: dict[str, str]


@dataclasses.dataclass(frozen=True, eq=False)
class _Rows:
    """N rows of a table.

    Attributes:
      codes: int [N], which of the ids each row is of; all 0 in a wide table.
      ids: of the series.
      places: int [N] on the grid.
      numbers: [N, V + C + P] values, known and past covariates.
    """

    codes: np.ndarray
    ids: np.ndarray
    places: np.ndarray
    numbers: np.ndarray


def read_panel(
    source: str | pathlib.Path | Table,
    options: DataConfig,
    *,
    rejected_file: pathlib.Path | None = None,
    check: bool = True,
) -> Reading:
    """Reads a table of series.

    Rejected are rows without an id or a time, with a time or a number that is none,
    off the grid of the frequency, that do not agree with the first row of their series
    in what is static, and rows of one series and time that contradict one another, all
    of them; of equal ones the first stays. Order does not matter. What is missing, in
    the table or between its times, is NaN among the values.

    The panel runs from the first to the last step with a value. Rows beyond it tell the
    known covariates of the future. Covariates are finite: where one is missing, a column
    of 0 and 1 has 0, another one its last number, or the first to come.

    Args:
      source: path, or a table that was read.
      options: say what the columns are; see `columns.find_columns` for the rest.
      rejected_file: lists the rejected rows.
      check: False for tables to predict: then any share of rows may be rejected.

    Raises:
      UserError: no row is left or too many are rejected; no frequency, or several.
    """
    table = open_series(source, options)
    options = find_columns(table, options)
    targets = value_columns(table, options)
    faults = Faults(table)
    if options.id:
        faults.note_ids(options.id)
        codes, ids = table.frame[options.id].factorize()
        _note_differing(faults, (*options.static, *options.hierarchy), codes)
    else:
        codes, ids = np.zeros(len(table.frame), np.int64), np.array(targets, object)
    columns = (*targets, *options.known, *options.past)
    numbers = np.stack([_read_numbers(faults, name) for name in columns], axis=1)
    moments = None
    if options.time:
        moments = read_moments(table.frame[options.time])
        faults.note(options.time, list(moments.wrong), moments.wrong.values())
    limit = options.max_rejected_fraction if check else 1.0
    _check(faults, limit, rejected_file)
    frequency, grid, places = _place(faults, options, moments)
    rows = _Rows(codes, np.array(ids, object), places, numbers)
    _note_duplicates(faults, options.time, rows)
    _check(faults, limit, rejected_file)
    panel = _build(table, options, faults.good, rows, grid, frequency, len(targets))
    panel = _leave_out(faults, options, rows, panel)
    observed, series = np.nonzero(np.isfinite(panel.values))
    check_one_frequency(series, observed, np.array(panel.ids), frequency)
    _check(faults, limit, rejected_file)
    return Reading(panel, faults.rejections(), _find_unread(faults, rows))


def _check(faults: Faults, limit: float, rejected_file: pathlib.Path | None) -> None:
    rejected = faults.rejections()
    if rejected_file is not None:
        write_rejected(rejected_file, rejected)
    check_rejected(rejected, int(faults.good.sum()), limit, rejected_file)


def _read_numbers(faults: Faults, column: str) -> np.ndarray:
    """A column of numbers or of true and false, float64 [N]; NaN where missing."""
    table: Any = faults.table
    cells = table.frame[column]
    known = cells.notna().to_numpy(bool)
    try:  # most columns are plain numbers
        plain = pa.array(cells).cast(pa.float64()).to_numpy(zero_copy_only=False)
        if (np.abs(plain[known]) <= LARGEST).all():
            return np.where(known, plain, np.nan)
    except pa.ArrowInvalid:
        pass
    lower = cells.str.lower()
    if known.any() and lower[known].isin(["true", "false"]).all():
        return np.where(known, (lower == "true").to_numpy(bool), np.nan)
    # As for every number of the house; a decimal comma only if nothing speaks for a point.
    marks = find_writing(table, column).marks
    mark = "," if marks == {","} else "."
    values, wrong = read_numbers(table, column, mark)
    faults.note(column, list(wrong), wrong.values())
    return values


def _note_differing(faults: Faults, columns: Sequence[str], codes: np.ndarray) -> None:
    """Notes cells that are not as the first ones of their series."""
    for column in columns:
        cells = faults.table.frame[column]
        first = cells.groupby(codes).transform("first")
        differs = (cells.notna() & (cells != first)).to_numpy(bool) & (codes >= 0)
        reason = "differs from the first row of its series"
        faults.note(column, np.flatnonzero(differs), reason)


def _place_steps(
    faults: Faults, options: DataConfig, moments: Moments | None
) -> tuple[str, pd.DatetimeIndex, np.ndarray]:
    """The places of rows that are counted: by a column, or one after another."""
    table, good = faults.table, faults.good
    if not options.frequency:
        what = (
            "no column of times" if moments is None else "its times are whole numbers"
        )
        raise UserError(
            f"{table.path}: {what}: say how long a step is as --data.frequency (W, D, h,"
            " 5min …) and, if you like, when the first one was as --data.start"
        )
    if moments is None or moments.steps is None:
        unread = np.sort([rejection.line for rejection in table.rejected])
        steps = np.arange(len(table.line)) + np.searchsorted(unread, table.line)
    else:
        steps = moments.steps
    places = np.where(good, steps - steps[good].min(), -1)
    count = int(places.max()) + 1
    if count > max(1000, min(10 * good.sum(), _MOST_STEPS)):
        raise UserError(
            f"{table.path}: column {quoted(options.time)} counts {count:,} steps for"
            f" {good.sum():,} rows: mend the numbers that are wrong"
        )
    frequency = parse_frequency(options.frequency)
    return frequency, make_times(options.start, count, frequency), places


def _place(
    faults: Faults, options: DataConfig, moments: Moments | None
) -> tuple[str, pd.DatetimeIndex, np.ndarray]:
    """The frequency, the grid and the places of rows; those off it are noted."""
    if moments is None or moments.steps is not None:
        return _place_steps(faults, options, moments)
    good = faults.good.copy()
    shown = moments.choose(moments.coarse)[good].unique().sort_values()
    try:
        frequency = settle_frequency(options.frequency, shown)
        coarse = split_frequency(frequency)[1] not in _FINE
        times = moments.choose(coarse)[good]
        check_span(times, frequency)
        grid = find_grid(times, frequency)
    except UserError as error:
        raise UserError(f"{faults.table.path}: {error}") from None
    places = np.full(len(good), -1)
    places[good] = locate(times, grid, frequency)
    off = np.flatnonzero(good & (places < 0))
    cells = faults.table.frame[options.time]
    reasons = [
        f"{quoted(text)} is not on the grid of {frequency} from {grid[0]}"
        for text in cells.iloc[off]
    ]
    faults.note(options.time, off, reasons)
    return frequency, grid, places


def _note_duplicates(faults: Faults, column: str, rows: _Rows) -> None:
    """Notes rows of one series and step: all where numbers differ, else the copies."""
    good = np.flatnonzero(faults.good)
    keys = pd.Series(rows.codes[good] * (rows.places.max() + 1) + rows.places[good])
    again = keys.duplicated(keep=False).to_numpy(bool)
    twice, keys = good[again], keys[again]
    if not len(twice):
        return
    groups = keys.factorize()[0]
    first = twice[np.unique(groups, return_index=True)[1]][groups]
    same = np.isclose(rows.numbers[twice], rows.numbers[first], 0, 0, equal_nan=True)
    contradict = np.zeros(groups.max() + 1, bool)
    contradict[groups[~same.all(axis=1)]] = True
    reason = "another row of this series and time says otherwise"
    faults.note(column, twice[contradict[groups]], reason)
    copies = twice[~contradict[groups] & (twice != first)]
    faults.note(column, copies, f"{BY_CHOICE}a row above says the same")


def _build(
    table: Table,
    options: DataConfig,
    good: np.ndarray,
    rows: _Rows,
    grid: pd.DatetimeIndex,
    frequency: str,
    width: int,
) -> Panel:
    """The panel of the good rows, of which `width` numbers are values."""
    chosen = np.flatnonzero(good)
    places, numbers = rows.places[chosen], rows.numbers[chosen]
    steps = int(places.max()) + 1
    if options.id:
        present, series = np.unique(rows.codes[chosen], return_inverse=True)
        ids = rows.ids[present]
        cube = np.full((steps, len(ids), numbers.shape[1]), np.nan, np.float32)
        cube[places, series] = numbers
        values, others = cube[..., 0], cube[..., 1:]
    else:
        ids, series = rows.ids, np.zeros(0, np.int64)
        lines = np.full((steps, numbers.shape[1]), np.nan, np.float32)
        lines[places] = numbers
        values = lines[:, :width]
        # What a wide table has beside the values is the same for all series.
        others = np.repeat(lines[:, None, width:], width, axis=1)
    observed = np.flatnonzero(np.isfinite(values).any(axis=1))
    if not len(observed):
        raise UserError(f"{table.path}: there is no value in any row")
    first, end = int(observed[0]), int(observed[-1]) + 1
    known = others[first:, :, : len(options.known)]
    past = others[first:end, :, len(options.known) :]
    ahead = len(known) if options.known else end - first
    frame = table.frame.iloc[chosen]
    coded = [_encode(frame[column], series) for column in options.static]
    groups = {}
    for column in options.hierarchy:
        codes, levels = _encode(frame[column], series)
        groups[column] = tuple(levels[code] or NO_GROUP for code in codes)
    categories = np.zeros((len(ids), 0), np.int32)
    if coded:
        categories = np.stack([codes for codes, _ in coded], axis=1)
    return Panel.of(
        values[first:end],
        grid[first:end],
        frequency,
        tuple(map(str, ids)),
        known=fill_gaps(known[:ahead]),
        known_names=options.known,
        past=fill_gaps(past),
        past_names=options.past,
        categories=categories,
        category_names=options.static,
        category_levels=tuple(levels for _, levels in coded),
        groups=groups,
    )


def fill_gaps(covariates: np.ndarray) -> np.ndarray:
    """Covariates [T, D, C] without NaN, float32.

    A column of 0 and 1 alone has 0 where it is missing. Another one keeps the last
    number of the series, or has the first to come, or 0 where there is none.
    """
    filled = np.zeros(covariates.shape, np.float32)
    for column in range(covariates.shape[2]):
        values = pd.DataFrame(covariates[..., column])
        if not values.isin([0, 1]).where(values.notna(), True).all(axis=None):
            values = values.ffill().bfill()
        filled[..., column] = values.fillna(0).to_numpy(np.float32)
    return filled


def _encode(cells: pd.Series, series: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """The level of each series, int32 [D], by its first cell; and the levels."""
    first = cells.groupby(series).first().fillna("")
    codes, levels = first.astype(object).factorize(sort=True)
    return codes.astype(np.int32), tuple(map(str, levels))


def _leave_out(faults: Faults, options: DataConfig, rows: _Rows, panel: Panel) -> Panel:
    """The panel without the series that have too few values; their rows are noted."""
    shares = np.isfinite(panel.values).mean(axis=0)
    keep = shares >= options.min_observed
    if keep.all():
        return panel
    if not keep.any():
        raise UserError(
            f"{faults.table.path}: no series has values at {options.min_observed:.0%} of"
            f" the steps, the fullest at {shares.max():.0%}: lower --data.min_observed"
        )
    if options.id:
        dropped = {panel.ids[number] for number in np.flatnonzero(~keep)}
        names = rows.ids[rows.codes].astype(str)
        reason = (
            f"{BY_CHOICE}values at less than {options.min_observed:.0%} of the steps"
        )
        gone = np.isin(names, sorted(dropped)) & (rows.codes >= 0)
        faults.note(options.id, np.flatnonzero(gone), reason)
    return panel.select(np.flatnonzero(keep))


def _find_unread(faults: Faults, rows: _Rows) -> dict[str, str]:
    """Series without a good row, with what is wrong with the first one."""
    reached = set(rows.codes[faults.good].tolist())
    unread: dict[str, str] = {}
    for rejection in faults.noted():
        row = int(np.searchsorted(faults.table.line, rejection.line))
        code = int(rows.codes[row])
        if code >= 0 and code not in reached:
            unread.setdefault(str(rows.ids[code]), rejection.reason)
    return unread
