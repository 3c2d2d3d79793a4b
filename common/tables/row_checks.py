"""Rows of a table, accepted with typed columns or rejected with a reason."""

import collections
import dataclasses
import difflib
import functools
from collections.abc import Callable

import numpy as np
import pandas as pd

from common.errors import UserError
from common.tables import decimals, photo_cells, set_cells
from common.tables.cell_values import LIST_SEPARATOR
from common.tables.cells import (
    TEXT,
    parse_column,
    parse_number,
    parse_time,
    quoted,
    take_off,
)
from common.tables.faults import BY_CHOICE, Faults, Rejection
from common.tables.prices import (
    CODES,
    SIGNS,
    affix_pattern,
    codes_of,
    currencies,
    parse_price,
    split_currency,
)
from common.tables.schema import Schema, Target, did_you_mean
from common.tables.table import Table
from common.tables.whole_numbers import with_digits_in

# Numbers above zero that are read without a loop, by what stands before decimals.
_PLAIN = {
    ".": r"([0-9]{1,30}|[1-9][0-9]{0,2}(,[0-9]{3}){1,9})(\.[0-9]+)?",
    ",": r"([0-9]{1,30}|[1-9][0-9]{0,2}(\.[0-9]{3}){1,9})(,[0-9]+)?",
}

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
      UserError: the schema names a column that the table lacks; and, unless rows are
        only to be predicted, a column of numbers can be read in two ways or prices are
        in several currencies.
    """
    columns = schema.columns() if need_target else schema.input_columns()
    attributes = {name for a in schema.attributes for name in a.columns}
    for column in columns:
        if column not in table.frame:
            hint = did_you_mean(column, table.frame.columns)
            empty = " or let it be empty (--allow_missing_columns)"
            raise UserError(
                f"{table.path}: no column {quoted(column, 80)}{hint}: correct the schema"
                f" or the table{'' if need_target or column not in attributes else empty}"
            )
    typed = with_digits_in(table.frame[list(columns)], schema.name_columns())
    faults = Faults(table)
    if schema.id:
        faults.note_inexact(schema.id)
    if need_target:
        schema = settle(table, schema)
        if schema.target:
            _leave_out_currencies(faults, schema.target)
    for column, read in _number_columns(table, schema, need_target).items():
        typed[column], wrong = read(column)
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


def settle(table: Table, schema: Schema) -> Schema:
    """The schema with what the columns tell: how each writes its decimals.

    Raises:
      UserError: a column of numbers can be read in two ways, or the prices are in
        several currencies; see `check_rows`.
    """
    target = schema.target
    if target and {target.column, *filter(None, [target.currency_column])} <= set(
        table.frame
    ):
        _refuse_currencies(table, target)
    return decimals.settle(table, schema)


def read_numbers(
    table: Table,
    column: str,
    decimal: str,
    parse: Callable[[str, str], float] = parse_number,
    affix: str = "",
) -> tuple[np.ndarray, dict[int, str]]:
    """Reads a column of numbers; cells that came as numbers have a decimal point.

    Args:
      table: as read.
      column: of numbers.
      decimal: what stands before decimals, see `decimals`.
      parse: (text, decimal) -> number.
      affix: pattern of what `parse` takes off most cells, for speed.

    Returns:
      as `cells.parse_column`.
    """
    cells = table.frame[column]
    numbers = table.typed.get(column, np.zeros(len(cells), bool))
    values, faults = np.full(len(cells), np.nan), {}
    for mark, rows in ((decimal, ~numbers), (".", numbers)):
        places = np.flatnonzero(rows)
        if mark:
            values[places] = _read_plain(cells.iloc[places], mark, affix)
            places = places[~(values[places] > 0)]
        parse_cell = functools.partial(_swapped, parse, mark)
        values[places], wrong = parse_column(cells.iloc[places], parse_cell)
        faults.update({int(places[row]): why for row, why in wrong.items()})
    return values, faults


def _read_plain(cells: pd.Series, decimal: str, affix: str) -> np.ndarray:
    """The numbers of plain cells, NaN for the others."""
    bare = take_off(cells, affix) if affix else cells
    plain = bare.str.fullmatch(_PLAIN[decimal]).to_numpy(bool)
    other = "," if decimal == "." else "."
    digits = bare[plain].str.replace(other, "", regex=False)
    numbers = np.full(len(cells), np.nan)
    numbers[plain] = digits.str.replace(",", ".", regex=False).to_numpy(np.float64)
    return numbers


def _swapped(parse: Callable[[str, str], float], decimal: str, text: str) -> float:
    return parse(text, decimal)


def add_missing_columns(table: Table, schema: Schema) -> tuple[Table, str]:
    """Fills in the attributes that rows to predict lack: their cells are empty.

    Args:
      table: the rows.
      schema: of the training table.

    Returns:
      (table with all columns of attributes; one line on those that were missing, or
      stand under another name in some rows, "" if there are none).
    """
    frame, notes = table.frame, []
    wanted = [column for a in schema.attributes for column in a.columns]
    missing = [c for c in dict.fromkeys(wanted) if c not in frame]
    if missing:
        names = ", ".join(
            quoted(name, 80) + did_you_mean(name, frame.columns) for name in missing
        )
        notes.append(f"no {names}: missing in all rows")
        empty = pd.Series(np.full(len(frame), np.nan), frame.index, dtype=TEXT)
        frame = frame.assign(**dict.fromkeys(missing, empty))
    known = {*schema.columns(), *(name for name, _ in schema.ignored)}
    for name in table.frame.columns.difference(list(known), sort=False):
        filled = frame[name].notna()
        for meant in difflib.get_close_matches(
            name, [w for w in wanted if w not in missing], 1
        ):
            if filled.any() and frame[meant][filled].isna().all():
                notes.append(
                    f"{quoted(name, 80)} is not read, in {int(filled.sum())} rows (did"
                    f" you mean {meant!r}?)"
                )
    note = f"{table.path}: {'; '.join(notes)}" if notes else ""
    return dataclasses.replace(table, frame=frame), note


def _number_columns(
    table: Table, schema: Schema, need_target: bool
) -> dict[str, Callable[[str], tuple[np.ndarray, dict[int, str]]]]:
    """The columns that become numbers, and how they are read."""
    readers: dict[str, Callable[[str], tuple[np.ndarray, dict[int, str]]]] = {}
    if need_target and (target := schema.target):
        currency, mark = target.currency, target.decimal

        def read_price(text: str, decimal: str) -> float:
            return parse_price(text, currency, decimal)

        affix = affix_pattern(currency) if currency else ""
        readers[target.column] = functools.partial(
            read_numbers, table, decimal=mark, parse=read_price, affix=affix
        )
    if need_target and schema.time:
        readers[schema.time] = lambda name: parse_column(table.frame[name], parse_time)
    for attribute in schema.attributes:
        if attribute.kind == "continuous":
            for column in attribute.columns:
                mark = attribute.decimal
                if not need_target:
                    mark = decimals.mark_of_new_rows(table, column, mark)
                readers[column] = functools.partial(read_numbers, table, decimal=mark)
    return readers


def _refuse_currencies(table: Table, target: Target) -> None:
    """Raises a UserError for prices in several currencies of which none is chosen."""
    if target.currency:
        return
    if column := target.currency_column:
        counts = collections.Counter(codes_of(table.frame[column]).tolist())
        del counts[""]
        if len(counts) > 1:
            raise UserError(
                f"{table.path}: column {quoted(column)} names several currencies"
                f" ({_list_counts(counts)}): choose one as target.currency in the"
                " schema; rows of the others are left out"
            )
        return
    counts = collections.Counter()
    for cell, count in table.frame[target.column].value_counts().items():
        _, mark = split_currency(cell)
        if mark in SIGNS or mark in CODES:
            counts[mark] += count
    if counts and not set.intersection(*(set(currencies(mark)) for mark in counts)):
        raise UserError(
            f"{table.path}: column {quoted(target.column)} mixes currencies"
            f" ({_list_counts(counts)}): choose one as target.currency in the schema, or"
            " name the column of currencies as target.currency_column"
        )


def _list_counts(counts: collections.Counter[str]) -> str:
    return ", ".join(f"{count} in {name}" for name, count in counts.most_common(8))


def _leave_out_currencies(faults: Faults, target: Target) -> None:
    """Notes the rows of other currencies than the schema's, and of none."""
    if column := target.currency_column:
        codes = codes_of(faults.table.frame[column])
        faults.note(column, np.flatnonzero(codes == ""), "an empty cell, no currency")
        if target.currency:
            others = np.flatnonzero(codes != target.currency)
            reasons = [
                f"{BY_CHOICE}in {code}, not {target.currency}" for code in codes[others]
            ]
            faults.note(column, others, reasons)


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
