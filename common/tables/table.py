"""Tables of listings, read so that every row is either in them or rejected."""

import dataclasses
import hashlib
import itertools
import numbers
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from common.errors import UserError
from common.tables import parquet_files
from common.tables.cell_values import LISTS, cell_text
from common.tables.cells import TEXT
from common.tables.csv_records import (
    check_header,
    double_quotes,
    find_header,
    read_utf8,
    records,
)
from common.tables.faults import Rejection
from common.tables.parquet_files import ENDINGS
from common.tables.schema import did_you_mean
from common.tables.whole_numbers import whole_number_text, with_digits

_TEXT = pa.large_string()
_CHUNK = 50_000  # rows that are held as Python objects at a time


@dataclasses.dataclass(frozen=True)
class Table:
    """A table as found.

    Attributes:
      path: of the file.
      frame: text, blanks around cells removed; empty cells are NaN. Its index counts
        the rows from 0.
      line: [N] where each row of `frame` starts in the file, counted from 1; the
        row's number in Parquet.
      rejected: rows that could not be read, not in `frame`.
      lists: columns in which lists became text.
      typed: {column: bool [N], cells that came as numbers and not as text}; columns
        without such cells are left out.
    """

    path: str
    frame: pd.DataFrame
    line: np.ndarray
    rejected: list[Rejection]
    lists: frozenset[str] = frozenset()
    typed: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


def read_table(path: str | pathlib.Path) -> Table:
    r"""Reads a CSV (.csv, .csv.gz, .tsv, .txt) or Parquet (.parquet) file as text.

    CSV: UTF-8, a header, fields parted by the comma, semicolon, tab or "|" that parts
    the header into most names, or by what a first line such as Excel's sep=; names;
    quoted by double quotes; blank lines are no rows. A row with broken quoting, a field
    over 131,072 characters, a NUL character or another number of fields than the header
    is rejected; reading goes on at the next line. Where quotes in quotes are written as
    \\", and fewer rows are rejected for it, they are read so.

    Parquet: a file or a folder of parts; numbers and dates become text; the members of
    a list are joined by "|". Rows are counted through all parts.

    Raises:
      UserError: the file as a whole can't be read: missing, empty, damaged, another
        encoding, header names empty or twice, no rows.
    """
    path = pathlib.Path(path)
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(ENDINGS):
        return _read_parquet(path)
    if path.is_dir():
        return _read_parquet(path)
    if name.endswith((".csv", ".tsv", ".txt")):
        return _read_csv(path)
    raise UserError(f"{path}: no table by its ending: give .csv, .csv.gz or .parquet")


def hash_of(path: pathlib.Path) -> str:
    """SHA-256 of a table's file; of the hashes of its parts where it is a folder."""
    if path.is_dir():
        hashes = "".join(map(hash_of, parquet_files.find_parts(path)))
        return hashlib.sha256(hashes.encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_rows(
    rows: Iterable[Mapping[str, Any]] | pd.DataFrame, name: str = "rows"
) -> Table:
    """A table of rows given in Python.

    Args:
      rows: {column: value}, or a DataFrame; None and NaN are empty cells, the members
        of a list, tuple or set are joined by "|", a mapping becomes its JSON text,
        everything else becomes text. A set attribute whose separator is "json" takes
        mappings, lists and JSON texts.
      name: stands for the path in messages.

    Raises:
      UserError: no rows, a row that is no mapping, a column that stands twice.
    """
    if isinstance(rows, pd.DataFrame):
        twice = rows.columns[rows.columns.duplicated()]
        if len(twice):
            raise UserError(f"{name}: column {twice[0]!r} stands twice: rename one")
        rows = rows.to_dict("records")
    if not isinstance(rows, Iterable):
        raise UserError(
            f"{name}: give a DataFrame or mappings of column to value, not a"
            f" {type(rows).__name__}"
        )
    rows = list(rows)
    columns: dict[str, list[str | None]] = {}
    typed: dict[str, np.ndarray] = {}
    lists: set[str] = set()
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise UserError(f"{name}: row {index + 1} is no mapping of column to value")
        for column in row:
            columns.setdefault(str(column), [None] * len(rows))
        for column, value in row.items():
            where = f"{name}: row {index + 1}, column {column!r}"
            columns[str(column)][index] = cell_text(value, where)
            if isinstance(value, LISTS):
                lists.add(str(column))
            elif isinstance(value, numbers.Number):
                typed.setdefault(str(column), np.zeros(len(rows), bool))[index] = True
    if not columns:
        raise UserError(f"{name}: no rows: give at least one row with a column")
    arrays = {key: _tidy(pa.array(cells, _TEXT)) for key, cells in columns.items()}
    line = np.arange(1, len(rows) + 1)
    return Table(name, _to_frame(arrays), line, [], frozenset(lists), typed)


def choose_rows(table: Table, where: str) -> Table:
    """Keeps the rows whose cell in one column is one of some values.

    Whole numbers are compared as their digits, see `whole_numbers`.

    Args:
      table: as read.
      where: "column=value|value|…".

    Raises:
      UserError: no such column, or no row left.
    """
    column, sign, values = where.partition("=")
    if not sign or column not in table.frame:
        hint = did_you_mean(column, table.frame.columns)
        raise UserError(
            f"{table.path}: rows can't be chosen by {where!r}: write"
            f" COLUMN=VALUE|VALUE with a column of the table{hint}"
        )
    wanted = list(map(whole_number_text, values.split("|")))
    keep = with_digits(table.frame[column]).isin(wanted).to_numpy()
    if not keep.any():
        raise UserError(f"{table.path}: no row has {where!r}")
    frame = table.frame[keep].reset_index(drop=True)
    typed = {column: cells[keep] for column, cells in table.typed.items()}
    return dataclasses.replace(table, frame=frame, line=table.line[keep], typed=typed)


def _read_csv(path: pathlib.Path) -> Table:
    data = read_utf8(path)
    table = _read_records(path, data)
    if table.rejected and b'\\"' in data:
        other = _read_records(path, double_quotes(data))
        if len(other.rejected) < len(table.rejected):
            table = other
    if not len(table.line) and not table.rejected:
        raise UserError(f"{path}: a header and no rows")
    return table


def _read_records(path: pathlib.Path, data: bytes) -> Table:
    delimiter, before, header = find_header(data)
    check_header(path, header)
    builder = _TextColumns(header)
    line: list[int] = []
    rejected = []
    rows = itertools.islice(records(data, delimiter), before + 1, None)
    for number, fields, reason in rows:
        if not reason and len(fields) != len(header):
            reason = f"has {len(fields)} fields, the header {len(header)}"
        elif "\0" in "".join(fields):
            reason = "holds a NUL character"
        if reason:
            rejected.append(Rejection(str(path), number, "", reason))
        else:
            builder.append(fields)
            line.append(number)
    return Table(str(path), builder.frame(), np.array(line, np.int64), rejected)


class _TextColumns:
    """Collects rows of text into compact columns."""

    def __init__(self, names: Sequence[str]):
        self._names = names
        self._rows: list[list[str]] = []
        self._chunks: list[list[pa.Array]] = [[] for _ in names]

    def append(self, fields: list[str]) -> None:
        self._rows.append(fields)
        if len(self._rows) == _CHUNK:
            self._flush()

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True)
        for chunks, cells in zip(self._chunks, columns, strict=True):
            chunks.append(_tidy(pa.array(cells, _TEXT)))
        self._rows.clear()

    def frame(self) -> pd.DataFrame:
        if self._rows:
            self._flush()
        arrays = (pa.chunked_array(chunks, _TEXT) for chunks in self._chunks)
        return _to_frame(dict(zip(self._names, arrays, strict=True)))


def _tidy(cells: Any) -> Any:
    """Text without blanks around it; empty cells are null."""
    cells = pc.utf8_trim_whitespace(cells)
    return pc.if_else(pc.equal(cells, ""), pa.scalar(None, _TEXT), cells)


def _to_frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    return pa.table(dict(columns)).to_pandas(types_mapper={_TEXT: TEXT}.get)


def _read_parquet(path: pathlib.Path) -> Table:
    paths = parquet_files.find_parts(path) if path.is_dir() else [path]
    if not paths:
        raise UserError(f"{path}: a folder without .parquet files: give a table")
    cells, typed, lists = parquet_files.read(paths)
    columns = {name: _tidy(column) for name, column in cells.items()}
    frame = _to_frame(columns)
    if not len(frame):
        raise UserError(f"{path}: no rows")
    return Table(str(path), frame, np.arange(1, len(frame) + 1), [], lists, typed)
