"""Panels from tables of one's own: long, a row a (series, time), or wide."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from common.errors import UserError
from common.tables.cells import quoted
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
from forecast.panel.configs import LARGEST, DataConfig
from forecast.panel.frequencies import (
    FINE,
    check_one_frequency,
    find_grid,
    is_too_long,
    locate,
    make_times,
    parse_frequency,
    settle_frequency,
    split_frequency,
)
from forecast.panel.panel import Panel
from forecast.panel.time_cells import Moments, read_moments

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

    @property
    def note(self) -> str:
        """A line on the rejected rows; "" if there are none."""
        if not self.rejected:
            return ""
        first = self.rejected[0]
        column = f", column {first.column}" if first.column else ""
        return (
            f"note: {len(self.rejected):,} rows rejected; the first is line"
            f" {first.line}{column}: {first.reason}"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Rows:
    """N rows of a table.

    Attributes:
      options: with the columns that the table has.
      faults: what is wrong with rows.
      codes: int [N], which of the ids each row is of; all 0 in a wide table.
      ids: of the series.
      numbers: [N, V + C + P] values, known and past covariates.
      moments: of a column of times.
    """

    options: DataConfig
    faults: Faults
    codes: np.ndarray
    ids: np.ndarray
    numbers: np.ndarray
    moments: Moments | None


class _Grid(NamedTuple):
    """A grid of times, and the places of rows on it, int [N]."""

    frequency: str
    times: pd.DatetimeIndex
    places: np.ndarray


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
    known covariates of the future. Covariates are finite, see `fill_gaps`.

    Args:
      source: path, or a table that was read.
      options: say what the columns are; see `columns.find_columns` for the rest.
      rejected_file: lists the rejected rows.
      check: False for tables to predict: then any share of rows may be rejected.

    Raises:
      UserError: no row is left or too many are rejected; no frequency, or several.
    """
    rows = _read_rows(open_series(source, options), options)
    options, faults = rows.options, rows.faults

    def check_faults() -> None:
        rejected = faults.rejections()
        if rejected_file is not None:
            write_rejected(rejected_file, rejected)
        limit = options.max_rejected_fraction if check else 1.0
        check_rejected(rejected, int(faults.good.sum()), limit, rejected_file)

    check_faults()
    if rows.moments is None or rows.moments.steps is not None:
        grid = _place_steps(rows)
    else:
        grid = _place(rows, rows.moments)
    _note_duplicates(rows, grid.places)
    check_faults()
    panel = _leave_out(rows, _build(rows, grid))
    check_one_frequency(panel.values, panel.ids, grid.frequency)
    check_faults()
    return Reading(panel, faults.rejections(), _find_unread(rows))


def _read_rows(table: Table, options: DataConfig) -> _Rows:
    """The ids, numbers and times of rows; those that are none are noted."""
    options, faults = find_columns(table, options), Faults(table)
    targets = value_columns(table, options)
    codes, ids = np.zeros(len(table.frame), np.int64), np.array(targets, object)
    if options.id:
        faults.note_ids(options.id)
        codes, names = table.frame[options.id].factorize()
        ids = np.array(names, object)
    for column in (*options.static, *options.hierarchy):
        cells = table.frame[column]
        first = cells.groupby(codes).transform("first")
        differs = (cells.notna() & (cells != first)).to_numpy(bool) & (codes >= 0)
        reason = "differs from the first row of its series"
        faults.note(column, np.flatnonzero(differs), reason)
    columns = (*targets, *options.known, *options.past)
    numbers = np.stack([read_column(faults, column) for column in columns], axis=1)
    moments = read_moments(table.frame[options.time]) if options.time else None
    if moments is not None:
        faults.note(options.time, list(moments.wrong), moments.wrong.values())
    return _Rows(options, faults, codes, ids, numbers, moments)


def read_column(faults: Faults, column: str) -> np.ndarray:
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
    far = np.flatnonzero(np.abs(values) > LARGEST)
    faults.note(column, far, f"a number beyond {LARGEST:g} is too large")
    return values


def _place_steps(rows: _Rows) -> _Grid:
    """As `_place`, of rows that are counted: by a column, or one after another."""
    options, moments, good = rows.options, rows.moments, rows.faults.good
    table: Any = rows.faults.table
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
    if is_too_long(count, good.sum()):
        raise UserError(
            f"{table.path}: column {quoted(options.time)} counts {count:,} steps for"
            f" {good.sum():,} rows: mend the numbers that are wrong"
        )
    frequency = parse_frequency(options.frequency)
    return _Grid(frequency, make_times(options.start, count, frequency), places)


def _place(rows: _Rows, moments: Moments) -> _Grid:
    """The frequency, the grid and the places of rows; those off it are noted."""
    options, faults, good = rows.options, rows.faults, rows.faults.good.copy()
    shown = moments.choose(moments.coarse)[good].unique().sort_values()
    try:
        frequency = settle_frequency(options.frequency, shown)
        coarse = split_frequency(frequency)[1] not in FINE
        grids = [_lay(moments.choose(coarse), good, frequency)]
        if not coarse and (grids[0].places[good] < 0).any():
            # Every six hours by the wall is no grid in UTC when the clocks change.
            grids.append(_lay(moments.wall, good, frequency))
    except UserError as error:
        raise UserError(f"{faults.table.path}: {error}") from None
    grid = max(grids, key=lambda grid: (grid.places[good] >= 0).sum())
    off = np.flatnonzero(good & (grid.places < 0))
    reason = f" is not on the grid of {frequency} from {grid.times[0]}"
    cells = faults.table.frame[options.time].iloc[off]
    faults.note(options.time, off, [quoted(text) + reason for text in cells])
    return grid


def _lay(times: pd.DatetimeIndex, good: np.ndarray, frequency: str) -> _Grid:
    """The grid of the good rows by their times [N], and where they lie on it."""
    grid = find_grid(times[good], frequency)
    places = np.full(len(good), -1)
    places[good] = locate(times[good], grid, frequency)
    return _Grid(frequency, grid, places)


def _note_duplicates(rows: _Rows, places: np.ndarray) -> None:
    """Notes rows of one series and step: all where numbers differ, else the copies."""
    note, column = rows.faults.note, rows.options.time
    good = np.flatnonzero(rows.faults.good)
    keys = [rows.codes[good], places[good]]
    copy = pd.DataFrame(np.column_stack([*keys, rows.numbers[good]])).duplicated()
    different = (~copy).groupby(keys).transform("sum")
    reason = "another row of this series and time says otherwise"
    note(column, good[different > 1], reason)
    copies = good[copy & (different == 1)]
    note(column, copies, f"{BY_CHOICE}a row above says the same")


def _build(rows: _Rows, grid: _Grid) -> Panel:
    """The panel of the good rows."""
    options, table = rows.options, rows.faults.table
    good = np.flatnonzero(rows.faults.good)
    places, numbers, ids = grid.places[good], rows.numbers[good], rows.ids
    series = rows.codes[good]
    if options.id:
        present, series = np.unique(series, return_inverse=True)
        ids = ids[present]
    width = numbers.shape[1] - len(options.known) - len(options.past)
    shape = (int(places.max()) + 1, len(ids), 1 + numbers.shape[1] - width)
    cube = np.full(shape, np.nan, np.float32)
    if options.id:
        cube[places, series] = numbers
    else:  # what a wide table has beside the values is the same for all series
        cube[places, :, 0] = numbers[:, :width]
        cube[places, :, 1:] = numbers[:, None, width:]
    observed = np.flatnonzero(np.isfinite(cube[..., 0]).any(axis=1))
    if not len(observed):
        raise UserError(f"{table.path}: there is no value in any row")
    first, end = int(observed[0]), int(observed[-1]) + 1
    known, past = np.split(cube[first:, :, 1:], [len(options.known)], axis=2)
    if not options.known:
        known = known[: end - first]
    frame = table.frame.iloc[good]
    coded = [_encode(frame[column], series) for column in options.static]
    categories = np.array([codes for codes, _ in coded], np.int32)
    groups = {}
    for column in options.hierarchy:
        codes, levels = _encode(frame[column], series)
        groups[column] = tuple(levels[code] or NO_GROUP for code in codes)
    return Panel.of(
        cube[first:end, :, 0],
        grid.times[first:end],
        grid.frequency,
        tuple(map(str, ids)),
        known=fill_gaps(known, ahead=True),
        known_names=options.known,
        past=fill_gaps(past[: end - first], ahead=False),
        past_names=options.past,
        categories=categories.reshape(-1, len(ids)).T,
        category_names=options.static,
        category_levels=tuple(levels for _, levels in coded),
        groups=groups,
    )


def fill_gaps(covariates: np.ndarray, ahead: bool) -> np.ndarray:
    """Covariates without NaN.

    A column of 0 and 1 alone has 0 where it is missing. Another one keeps the last
    number of the series; before the first it has that one where it is known ahead, else
    0, so that nothing tells of what is to come.

    Args:
      covariates: [T, D, C].
      ahead: whether they are known for the future.

    Returns:
      float32 [T, D, C].
    """
    filled = np.zeros(covariates.shape, np.float32)
    for column in range(covariates.shape[2]):
        values = pd.DataFrame(covariates[..., column])
        if not (values.isin([0, 1]) | values.isna()).all(axis=None):
            values = values.ffill().bfill() if ahead else values.ffill()
        filled[..., column] = values.fillna(0).to_numpy(np.float32)
    return filled


def _encode(cells: pd.Series, series: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """The level of each series, int32 [D], by its first cell; and the levels."""
    first = cells.groupby(series).first().fillna("")
    codes, levels = first.astype(object).factorize(sort=True)
    return codes.astype(np.int32), tuple(map(str, levels))


def _leave_out(rows: _Rows, panel: Panel) -> Panel:
    """The panel without the series that have too few values; their rows are noted."""
    options, faults = rows.options, rows.faults
    shares = np.isfinite(panel.values).mean(axis=0)
    keep = shares >= options.min_observed
    least = f"{options.min_observed:.0%} of the steps"
    if not keep.any():
        raise UserError(
            f"{faults.table.path}: no series has values at {least}, the fullest at"
            f" {shares.max():.0%}: lower --data.min_observed"
        )
    if options.id:
        dropped = np.array(panel.ids, object)[~keep]
        gone = np.isin(rows.ids.astype(str), dropped.astype(str))[rows.codes]
        reason = f"{BY_CHOICE}values at less than {least}"
        faults.note(options.id, np.flatnonzero(gone & (rows.codes >= 0)), reason)
    return panel.select(np.flatnonzero(keep))


def _find_unread(rows: _Rows) -> dict[str, str]:
    """Series without a good row, with what is wrong with the first one."""
    faults, reached = rows.faults, set(rows.codes[rows.faults.good].tolist())
    unread: dict[str, str] = {}
    for rejection in faults.noted():
        row = int(np.searchsorted(faults.table.line, rejection.line))
        code = int(rows.codes[row])
        if code >= 0 and code not in reached:
            unread.setdefault(str(rows.ids[code]), rejection.reason)
    return unread
