"""Which columns a table of series has: named, guessed, or none at all."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pandas as pd

from common.data.table_files import open_table
from common.errors import UserError
from common.tables.cells import TEXT, quoted, read_number
from common.tables.csv_records import find_header, read_utf8, records
from common.tables.faults import Rejection
from common.tables.table import Table
from forecast.panel.configs import DataConfig

# Names in lower case without blanks and signs; the first that is there is taken.
_GUESSES = {
    "id": "uniqueid itemid seriesid articleid productid sku id item series article"
    " product",
    "time": "ds timestamp datetime date time month week day weekindex step",
    "target": "y target value sales quantity qty demand units turnover",
}
_LOOKED_AT = 1000  # rows that tell whether the first line is one of numbers


def open_series(source: str | pathlib.Path | Table, options: DataConfig) -> Table:
    """A table, or a matrix of numbers without a header: a column a series "1", "2" …

    The first line is no header if all its cells are numbers, and some have decimals,
    stand twice, or all lie within what their columns hold.

    Raises:
      UserError: it can't be read, or lacks a column that is named.
    """
    table = source if isinstance(source, Table) else _read_matrix(pathlib.Path(source))
    table = open_table(source if table is None else table, [])
    options = find_columns(table, options)
    names = [*filter(None, [options.id]), *options.static, *options.hierarchy]
    others = [*filter(None, [options.time, options.target])]
    return open_table(table, names, [*others, *options.known, *options.past])


def find_columns(table: Table, options: DataConfig) -> DataConfig:
    """The options with the columns that a table has; `id` stays "" where it is wide.

    A table is long where an id is named, or id, time and target can be guessed, or a
    column of texts has the name of an id.

    Raises:
      UserError: a long table without times or values, a wide one with static columns.
    """
    folded = {"".join(filter(str.isalnum, c)).lower(): c for c in table.frame.columns}
    found: dict[str, Any] = {}
    for role, guesses in _GUESSES.items():
        known = [folded[guess] for guess in guesses.split() if guess in folded]
        found[role] = getattr(options, role) or next(iter(known), "")
    found["time"] = found["time"] or _find_dates(table)
    named = bool(found["id"]) and not _has_numbers(table, found["id"])
    if options.id or all(found.values()) or named:
        for role in ("time", "target"):
            if not found[role]:
                raise UserError(
                    f"{table.path}: which column has the {role} of each row? Name it as"
                    f" --data.{role}"
                )
        return dataclasses.replace(options, **found)
    if options.static or options.hierarchy:
        raise UserError(
            f"{table.path}: static and hierarchy columns need a long table: name the"
            " column of the series' ids as --data.id"
        )
    return dataclasses.replace(options, time=found["time"])


def value_columns(table: Table, options: DataConfig) -> list[str]:
    """Columns of values: the target, or all of a wide table without other roles."""
    if options.target:
        return [options.target]
    others = {options.time, *options.known, *options.past}
    columns = [column for column in table.frame.columns if column not in others]
    if not columns:
        raise UserError(
            f"{table.path}: no column of values beside {quoted(options.time)}"
        )
    return columns


def _has_numbers(table: Table, column: str) -> bool:
    cells = table.frame[column].dropna().head(20) if column in table.frame else ()
    return all(read_number(cell, ".") is not None for cell in cells)


def _find_dates(table: Table) -> str:
    """The first column, if it has dates and nothing else."""
    first = table.frame.columns[0]
    cells = table.frame[first].dropna().head(20)
    dated = cells.str.contains(r"^[0-9]{4}-[0-9]{2}", regex=True)
    return first if len(cells) and dated.all() else ""


def _read_matrix(path: pathlib.Path) -> Table | None:
    """A file of numbers without a header; None if it is another one."""
    name = path.name.lower().removesuffix(".gz")
    if not name.endswith((".csv", ".txt", ".tsv")) or path.is_dir():
        return None
    data = read_utf8(path)
    delimiter, before, first = find_header(data)
    heads = [read_number(cell, ".") for cell in first]
    if before or None in heads:
        return None
    rows, lines, rejected = [], [], []
    for line, fields, reason in records(data, delimiter):
        if not reason and len(fields) != len(first):
            reason = f"has {len(fields)} fields, the first line {len(first)}"
        if reason:
            rejected.append(Rejection(str(path), line, "", reason))
        else:
            rows.append([field.strip() or None for field in fields])
            lines.append(line)
    if len(set(first)) == len(first) and not any("." in cell for cell in first):
        below = pd.DataFrame(rows[1 : _LOOKED_AT + 1], columns=range(len(first)))
        numbers = below.apply(pd.to_numeric, errors="coerce")
        if not ((numbers.min() <= heads) & (heads <= numbers.max())).all():
            return None
    names = [str(number + 1) for number in range(len(first))]
    frame = pd.DataFrame(rows, columns=names, dtype=TEXT)
    return Table(str(path), frame, np.array(lines, np.int64), rejected)
