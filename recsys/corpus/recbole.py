"""Importer of RecBole's atomic files: `name.inter` and `name.item`.

They are tab-separated text without quoting. The header gives each field a type, such as
`user_id:token item_id:token rating:float timestamp:float` or
`item_id:token categories:token_seq`.

Source: Zhao et al., "RecBole: Towards a Unified, Comprehensive and Efficient Framework
for Recommendation Algorithms", CIKM 2021 (its atomic files).
"""

from __future__ import annotations

import codecs
import io
import itertools
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from common.errors import UserError
from common.tables.cells import TEXT, parse_column, parse_number, quoted
from common.tables.csv_records import read_utf8
from common.tables.faults import Faults, Rejection, check_rejected, write_rejected
from common.tables.table import Table
from recsys.corpus.interaction_files import InteractionTable, read_interactions
from recsys.corpus.item_files import ItemTable, read_items

INTERACTIONS_FILE = "interactions.parquet"
ITEMS_FILE = "items.parquet"
REJECTED_FILE = "rejected.csv"
FEATURES_ROW = "features_row"

_TYPES = ("token", "token_seq", "float", "float_seq")
_SUFFIXES = (".inter", ".item", ".user")
_TEXT = pa.large_string()
_EMPTY = pa.array(["", "nan"], _TEXT)  # the converters write nan for what is missing


def import_atomic(
    source: str | os.PathLike,
    folder: str | os.PathLike,
    category_field: str = "categories",
    rating_at_least: float | None = None,
    *,
    separator: str = " ",
    max_rejected_fraction: float = 0.05,
) -> str:
    """Turns atomic files into the tables that `read_interactions` and `read_items` take.

    Writes `interactions.parquet` (user, item, time), `items.parquet` (item, level1 ...,
    features_row: position in the `.item` file, from 0) and `rejected.csv`. Further
    fields are kept as columns of their names, see `_further`; a `.user` file is not
    used.

    Args:
      source: `name.inter`, `name.item`, their path without the ending, or a folder
        `name` that holds them.
      folder: to write to; made where it is missing.
      category_field: field of the `.item` file; a token is a tree of one level, the
        members of a token_seq are the path from the top.
      rating_at_least: interactions of a lower rating are left out; None for none.
      separator: between the members of a token_seq.
      max_rejected_fraction: share of each file's rows that may be rejected.

    Returns:
      The numbers of rows that were taken, rejected and left out, in one line.

    Raises:
      UserError: a file can't be read or written, its header has no types, a field is
        missing, too many rows are rejected, or none is left.
    """
    base = _find_base(pathlib.Path(source))
    folder = pathlib.Path(folder)
    inter, item = pathlib.Path(f"{base}.inter"), pathlib.Path(f"{base}.item")
    taken, taken_columns, low = _read_inter(inter, rating_at_least)
    items, item_columns = _read_item(item, category_field, separator)
    rejected_file = folder / REJECTED_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: can't be made: {error.strerror}") from error
    write_rejected(rejected_file, [*taken.rejected, *items.rejected])
    for table, count in ((taken, len(taken.users)), (items, len(items.ids))):
        check_rejected(table.rejected, count, max_rejected_fraction, rejected_file)
    if not len(taken.users):
        raise UserError(
            f"{taken.path}: no rating is {rating_at_least} or more: lower"
            " rating_at_least"
        )
    _write_table(folder / INTERACTIONS_FILE, taken_columns)
    _write_table(folder / ITEMS_FILE, item_columns)
    left_out = f", {low} of low rating left out" if low else ""
    return (
        f"{folder}: {len(taken.users)} interactions ({len(taken.rejected)} rejected"
        f"{left_out}), {len(items.ids)} items ({len(items.rejected)} rejected)"
    )


def _find_base(source: pathlib.Path) -> str:
    """The path of the files without their ending."""
    if source.is_dir():
        return str(source / source.resolve().name)
    if source.suffix in _SUFFIXES:
        return str(source)[: -len(source.suffix)]
    return str(source)


def _read_inter(
    path: pathlib.Path, rating_at_least: float | None
) -> tuple[InteractionTable, dict[str, Any], int]:
    """Interactions, their columns, and how many were left out for their rating."""
    text, types = _open(path)
    fields = {"user_id": ("token",), "item_id": ("token",)}
    time = "timestamp" if "timestamp" in types else ""
    if time:
        fields["timestamp"] = ("float",)
    if rating_at_least is not None:
        fields["rating"] = ("float",)
    table = _read_rows(path, text, types, fields)
    low = 0
    if rating_at_least is not None:
        table, low = _choose_ratings(table, rating_at_least)
    taken = read_interactions(table, "user_id", "item_id", time)
    columns = _interaction_columns(taken)
    used = {"user_id", "item_id", time}
    return taken, columns | _further(table, taken.line, types, used, columns), low


def _further(
    table: Table,
    line: np.ndarray,
    types: Mapping[str, str],
    used: set[str],
    taken: Mapping[str, Any],
) -> dict[str, Any]:
    """The fields that have no column yet, of the rows that are kept.

    A float field is a column of numbers where all its cells are numbers, else of text
    as it stands. A field with the name of a column that there is already gets `_field`
    behind its own.

    Args:
      table: as read.
      line: int64 [n], lines of the rows that are kept.
      types: of all fields.
      used: fields that have become columns.
      taken: these columns.
    """
    rows = np.searchsorted(table.line, line)
    columns: dict[str, Any] = {}
    for field, kind in types.items():
        if field in used:
            continue
        cells = table.frame[field].iloc[rows].reset_index(drop=True)
        if kind == "float":
            numbers, wrong = parse_column(cells, lambda text: parse_number(text, "."))
            cells = cells if wrong else numbers
        while field in taken or field in columns:
            field += "_field"
        columns[field] = cells
    return columns


def _choose_ratings(table: Table, at_least: float) -> tuple[Table, int]:
    faults = Faults(table)
    ratings, wrong = parse_column(
        table.frame["rating"], lambda text: parse_number(text, ".")
    )
    faults.note("rating", np.array(list(wrong), np.int64), wrong.values())
    empty = np.flatnonzero(np.isnan(ratings))
    faults.note("rating", empty, "an empty cell where a rating must stand")
    keep = faults.good & (ratings >= at_least)
    frame = table.frame[keep].reset_index(drop=True)
    chosen = Table(table.path, frame, table.line[keep], faults.rejections())
    return chosen, int((faults.good & ~keep).sum())


def _read_item(
    path: pathlib.Path, field: str, separator: str
) -> tuple[ItemTable, dict[str, Any]]:
    """Items and their columns."""
    text, types = _open(path)
    fitting = [f for f, t in types.items() if t.startswith("token") and f != "item_id"]
    if field not in fitting:
        names = ", ".join(map(quoted, fitting)) or "none there"
        raise UserError(
            f"{path}: no field {quoted(field)} of tokens for the categories: set"
            f" category_field to one of its fields ({names})"
        )
    fields = {"item_id": ("token",), field: ("token", "token_seq")}
    table = _read_rows(path, text, types, fields)
    if types[field] == "token":
        separator = ""
    elif separator:
        # As RecBole reads it: nothing between two separators is no member.
        runs = f"(?:{re.escape(separator)})+"
        table.frame[field] = table.frame[field].str.replace(runs, separator, regex=True)
    items = read_items(table, "item_id", field, separator=separator)
    columns = _item_columns(items)
    used = {"item_id", field}
    return items, columns | _further(table, items.line, types, used, columns)


def _open(path: pathlib.Path) -> tuple[bytes, dict[str, str]]:
    """The text with \\n at the end of each line, and the type of each field."""
    text = read_utf8(path).removeprefix(codecs.BOM_UTF8) + b"\n"
    text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    types: dict[str, str] = {}
    for cell in text[: text.index(b"\n")].decode().split("\t"):
        field, colon, kind = cell.strip().rpartition(":")
        if not colon or not field or kind not in _TYPES:
            raise UserError(
                f"{path}: {quoted(cell)} in the header has no type: write each field of"
                " an atomic file as name:type, such as user_id:token, with tabs between"
                f" them (types: {', '.join(_TYPES)})"
            )
        if field in types:
            raise UserError(
                f"{path}: the header names {quoted(field)} twice: rename one"
            )
        types[field] = kind
    return text, types


def _read_rows(
    path: pathlib.Path,
    text: bytes,
    types: Mapping[str, str],
    fields: Mapping[str, Sequence[str]],
) -> Table:
    """All fields as a table of text; `fields` must be there, of one of their types."""
    for field, kinds in fields.items():
        if types.get(field) not in kinds:
            names = ", ".join(f"{name}:{kind}" for name, kind in types.items())
            raise UserError(
                f"{path}: no field {field}:{kinds[0]}; there are {names}: rename the"
                " one that is meant"
            )
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    lengths = np.diff(ends, prepend=-1) - 1
    lines = np.flatnonzero(lengths) + 1  # the reader counts those alone
    rejected = []

    def reject(row: csv.InvalidRow) -> str:
        reason = f"has {row.actual_columns} fields, the header {row.expected_columns}"
        line = int(lines[row.number - 1])
        rejected.append(Rejection(str(path), line, "", reason))
        return "skip"

    read = csv.read_csv(
        io.BytesIO(text),
        csv.ReadOptions(
            column_names=list(types),
            skip_rows=1,
            use_threads=False,  # threads don't count the rows
            block_size=max(2**20, 2 * int(lengths.max())),
        ),
        csv.ParseOptions(delimiter="\t", quote_char=False, invalid_row_handler=reject),
        csv.ConvertOptions(column_types=dict.fromkeys(types, _TEXT)),
    )
    if not read.num_rows and not rejected:
        raise UserError(f"{path}: a header and no rows")
    columns = {field: _tidy(read[field]) for field in types}
    frame = pa.table(columns).to_pandas(types_mapper={_TEXT: TEXT}.get)
    good = np.setdiff1d(lines[1:], [rejection.line for rejection in rejected])
    return Table(str(path), frame, good, rejected)


def _tidy(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text without blanks around it; null where nothing is left."""
    cells = pc.utf8_trim_whitespace(cells)
    missing = pc.is_in(cells, value_set=_EMPTY)
    return pc.if_else(missing, pa.scalar(None, _TEXT), cells)


def _interaction_columns(taken: InteractionTable) -> dict[str, Any]:
    columns: dict[str, Any] = {"user": taken.users, "item": taken.items}
    if taken.times is not None:
        # As dates, since a number of seconds may read like 20190131.
        micros = np.rint(taken.times * 1e6).astype(np.int64)
        columns["time"] = micros.astype("datetime64[us]")
    return columns


def _item_columns(items: ItemTable) -> dict[str, Any]:
    """One column a level; empty below the end of a path."""
    levels = enumerate(itertools.zip_longest(*items.categories), start=1)
    paths = {f"level{k}": names for k, names in levels}
    return {"item": items.ids, **paths, FEATURES_ROW: items.feature_rows}


def _write_table(path: pathlib.Path, columns: Mapping[str, Any]) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        pd.DataFrame(columns).to_parquet(partial, index=False)
        partial.replace(path)
    except OSError as error:
        raise UserError(f"{path}: can't be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
