"""Tables of listings, read so that every row is either accepted or rejected."""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common.errors import UserError
from common.tables import photo_cells, set_cells
from common.tables.cell_values import LIST_SEPARATOR, LISTS, cell_text
from common.tables.cells import (
    TEXT,
    parse_column,
    parse_number,
    parse_price,
    parse_time,
    quoted,
)
from common.tables.csv_records import check_header, read_header, read_utf8, records
from common.tables.faults import Faults, Rejection
from common.tables.schema import Schema, did_you_mean
from common.tables.whole_numbers import (
    EXACT,
    whole_number_text,
    with_digits,
    with_digits_in,
)

# Names of the splits as tables spell them, in lower case.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}

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
    """

    path: str
    frame: pd.DataFrame
    line: np.ndarray
    rejected: list[Rejection]
    lists: frozenset[str] = frozenset()


def read_table(path: str | pathlib.Path) -> Table:
    """Reads a CSV (.csv, .csv.gz, .tsv, .txt) or Parquet (.parquet) file as text.

    CSV: UTF-8, a header, fields parted by the comma, semicolon or tab that parts the
    header into most names, quoted by double quotes; blank lines are no rows. A row
    with broken quoting, a field over 131,072 characters, a NUL character or another
    number of fields than the header is rejected; reading goes on at the next line.

    Parquet: numbers and dates become text; the members of a list are joined by "|".

    Raises:
      UserError: the file as a whole can't be read: missing, empty, damaged, another
        encoding, header names empty or twice, no rows.
    """
    path = pathlib.Path(path)
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".parquet", ".pq")):
        return _read_parquet(path)
    if name.endswith((".csv", ".tsv", ".txt")):
        return _read_csv(path)
    raise UserError(f"{path}: no table by its ending: give .csv, .csv.gz or .parquet")


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
    if not columns:
        raise UserError(f"{name}: no rows: give at least one row with a column")
    arrays = {key: _tidy(pa.array(cells, _TEXT)) for key, cells in columns.items()}
    line = np.arange(1, len(rows) + 1)
    return Table(name, _to_frame(arrays), line, [], frozenset(lists))


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
    return dataclasses.replace(table, frame=frame, line=table.line[keep])


def check_rows(
    table: Table, schema: Schema, *, need_target: bool = True
) -> tuple[pd.DataFrame, list[Rejection]]:
    """Gives the columns their types and rejects the rows that have no valid values.

    Empty cells are normal, save in the target and the split column. Every row of
    `table.frame` is in exactly one of the two results; rows that could not even be
    read are in `table.rejected`.

    Args:
      table: as read.
      schema: of the table.
      need_target: False for rows that are only to be predicted: their id, photos and
        attributes are checked and returned, other columns may be absent.

    Returns:
      frame: accepted rows. Continuous variables and the target are float64, the time
        is float64 seconds since 1970, NaN where the cell is empty; the split is
        train, validation or test; the rest is text, NaN where empty, and names (id,
        group, categories) are as `whole_numbers` has them. The index are the rows'
        places in `table.frame` (and so in `table.line`).
      rejections: one for each row left out, in the order of the file.

    Raises:
      UserError: the schema names a column that the table lacks.
    """
    columns = schema.columns() if need_target else schema.input_columns()
    for column in columns:
        if column not in table.frame:
            hint = did_you_mean(column, table.frame.columns)
            raise UserError(
                f"{table.path}: no column {quoted(column, 80)}{hint}: correct the schema"
                " or the table"
            )
    typed = with_digits_in(table.frame[list(columns)], schema.name_columns())
    faults = Faults(table)
    if schema.id:
        faults.note_inexact(schema.id)
    for column, parse in _number_columns(schema, need_target).items():
        typed[column], wrong = parse_column(table.frame[column], parse)
        faults.note(column, list(wrong), wrong.values())
    for column in _json_columns(schema):
        if column in table.lists:
            texts = typed[column].map(_list_to_json, na_action="ignore")
            typed[column] = texts.astype(TEXT)
        wrong = set_cells.find_faults(typed[column])
        faults.note(column, list(wrong), wrong.values())
    for column in schema.images.columns if schema.images else ():
        if column in table.lists:
            texts = typed[column].map(_list_to_names(schema), na_action="ignore")
            typed[column] = texts.astype(TEXT)
    if need_target and schema.target:
        _require(faults, typed[schema.target.column], "a price")
    if need_target and schema.split:
        cells = table.frame[schema.split].str.lower()
        typed[schema.split] = cells.map(SPLIT_NAMES).astype(TEXT)
        _require(faults, typed[schema.split], "train, validation or test")
    return typed[faults.good], faults.noted()


def _number_columns(
    schema: Schema, need_target: bool
) -> dict[str, Callable[[str], float]]:
    """The columns that become numbers, and how their cells are read."""
    parsers: dict[str, Callable[[str], float]] = {}
    if need_target and schema.target:
        currency = schema.target.currency
        parsers[schema.target.column] = lambda text: parse_price(text, currency)
    if need_target and schema.time:
        parsers[schema.time] = parse_time
    for attribute in schema.attributes:
        if attribute.kind == "continuous":
            parsers.update(dict.fromkeys(attribute.columns, parse_number))
    return parsers


def _json_columns(schema: Schema) -> list[str]:
    separator = set_cells.SEPARATOR
    sets = [a for a in schema.attributes if a.separator == separator]
    return list(dict.fromkeys(attribute.columns[0] for attribute in sets))


def _list_to_json(text: str) -> str:
    return set_cells.from_joined(text, LIST_SEPARATOR)


def _list_to_names(schema: Schema) -> Callable[[str], str]:
    separator = schema.images.separator if schema.images else ""
    return lambda text: photo_cells.from_joined(text, LIST_SEPARATOR, separator)


def _require(faults: Faults, typed: pd.Series, needed: str) -> None:
    """Notes the rows of a column whose cell gave no value."""
    cells, rows = faults.table.frame[typed.name], np.flatnonzero(typed.isna())
    texts = [
        quoted(cell) if isinstance(cell, str) else "an empty cell"
        for cell in cells.iloc[rows]
    ]
    reasons = [f"{text} where {needed} must stand" for text in texts]
    faults.note(str(typed.name), rows, reasons)


def _read_csv(path: pathlib.Path) -> Table:
    data = read_utf8(path)
    delimiter, header = max(
        ((mark, read_header(data, mark)) for mark in ",;\t"),
        key=lambda found: len(found[1]),
    )
    check_header(path, header)
    builder = _TextColumns(header)
    line: list[int] = []
    rejected = []
    for number, fields, reason in itertools.islice(records(data, delimiter), 1, None):
        if not reason and len(fields) != len(header):
            reason = f"has {len(fields)} fields, the header {len(header)}"
        elif "\0" in "".join(fields):
            reason = "holds a NUL character"
        if reason:
            rejected.append(Rejection(str(path), number, "", reason))
        else:
            builder.append(fields)
            line.append(number)
    if not line and not rejected:
        raise UserError(f"{path}: a header and no rows")
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
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            check_header(path, names)
            data = file.read()
        data.validate(full=True)
    except OSError as error:
        reason = error.strerror or "damaged"
        raise UserError(f"{path}: can't read the table: {reason}") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: damaged Parquet file ({reason})") from error
    if not data.num_rows:
        raise UserError(f"{path}: no rows")
    columns = {
        name: _tidy(_as_text(path, name, column))
        for name, column in zip(names, data.columns, strict=True)
    }
    line = np.arange(1, data.num_rows + 1)
    lists = frozenset(n for n in names if _is_list(data.schema.field(n).type))
    return Table(str(path), _to_frame(columns), line, [], lists)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _as_text(path: pathlib.Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind, where = column.type, f"{path}: column {name!r}"
    if pa.types.is_dictionary(kind):
        return _as_text(path, name, column.cast(kind.value_type))
    if _is_list(kind):
        cells = [cell_text(value, where) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(cells, _TEXT)])
    if pa.types.is_floating(kind):
        return _floats_as_text(pc.if_else(pc.is_nan(column), None, column))
    try:
        texts = column.cast(_TEXT)
    except pa.ArrowException as error:
        raise UserError(
            f"{where} holds {kind}, not cells of text or numbers: leave it out"
        ) from error
    if pa.types.is_decimal(kind):  # exact at any size
        return pc.replace_substring_regex(texts, r"\.0+$", "")
    return texts


def _floats_as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers as their digits; too large ones look like floats, see `EXACT`."""
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    exact = pc.less(pc.abs(column), float(EXACT))
    whole = pc.and_(exact, pc.equal(column, pc.floor(column)))
    digits = pc.if_else(whole, column, 0).cast(pa.int64()).cast(_TEXT)
    texts = column.cast(_TEXT)
    bare = pc.match_substring_regex(texts, "^-?[0-9]+$")
    ending, between = pa.scalar(".0", _TEXT), pa.scalar("", _TEXT)
    marked = pc.binary_join_element_wise(texts, ending, between)
    return pc.if_else(whole, digits, pc.if_else(bare, marked, texts))
