"""How a column of text writes its decimals: 1.250 is 1250 to some and 1.25 to others.

A cell whose writing tells (948,00; 1.234.567; 12.5) settles all cells of its column.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from common.errors import UserError
from common.tables.cells import MARK_NAMES, MARKS, TEXT, quoted, read_number, take_off
from common.tables.prices import (
    affix_pattern,
    codes_of,
    currencies,
    plain_number,
    split_currency,
)
from common.tables.schema import Schema, Target
from common.tables.table import Table

# What most cells look like, sorted out without a loop.
_SIGNED = r"[+-]?"
_WHOLE = rf"{_SIGNED}[0-9]+"
_DOUBTFUL = rf"{_SIGNED}[1-9][0-9]{{0,2}}[.,][0-9]{{3}}"
_SURE = {
    mark: (
        rf"{_SIGNED}([0-9]+{mark}([0-9]{{1,2}}|[0-9]{{4,}})"
        rf"|(0[0-9]*|[1-9][0-9]{{3,}}){mark}[0-9]{{3}}"
        rf"|[1-9][0-9]{{0,2}}({other}[0-9]{{3}})+{mark}[0-9]*"
        rf"|[1-9][0-9]{{0,2}}({other}[0-9]{{3}}){{2,}})"
    )
    for mark, other in ((r"\.", ","), (",", r"\."))
}
_SURE["."] = _SURE.pop(r"\.")

# From a cell to the number in it; None where the cell has no say.
NumberOf = Callable[[str], str | None]


@dataclasses.dataclass(frozen=True)
class Writing:
    """How the cells of a column are written.

    Attributes:
      table: it stands in.
      column: its name.
      cells: those looked at, texts by their place in the table.
      sure: {mark: different cells that can only be read by it}.
      doubtful: a cell that is another number by each mark; "" if there is none.
      readings: {mark: number} of it.
      typed: whether all cells came as numbers: these have a decimal point.
    """

    table: Table
    column: str
    cells: pd.Series
    sure: Mapping[str, pd.Series]
    doubtful: str
    readings: Mapping[str, float]
    typed: bool = False

    @property
    def marks(self) -> set[str]:
        """The marks that some cell is sure to have."""
        return {mark for mark in MARKS if len(self.sure[mark])}

    def count(self, mark: str) -> str:
        """Says how many cells have a mark, with the first one."""
        found = self.cells[self.cells.isin(self.sure[mark])]
        first = f"{quoted(found.iloc[0])}, line {self.table.line[found.index[0]]}"
        return f"{len(found)} with {MARK_NAMES[mark]} ({first})"


def find_writing(
    table: Table,
    column: str,
    number_of: NumberOf = lambda cell: cell,
    *,
    affix: str = "",
    rows: np.ndarray | None = None,
) -> Writing:
    """Looks at the cells of a column.

    Args:
      table: as read.
      column: of numbers.
      number_of: from a cell to the number in it.
      affix: pattern of what `number_of` takes off most cells, for speed.
      rows: bool [N], the rows to look at; None for all.
    """
    text = ~table.typed.get(column, np.zeros(len(table.frame), bool))
    cells = table.frame[column][text if rows is None else text & rows]
    typed = bool(not text.all() and cells.isna().all())
    distinct = pd.Series(cells.dropna().unique(), dtype=TEXT)
    bare = take_off(distinct, affix) if affix else distinct

    def match(pattern: str) -> np.ndarray:
        return bare.str.fullmatch(pattern).to_numpy(bool, copy=True)

    sure = {mark: match(_SURE[mark]) for mark in MARKS}
    doubtful = match(_DOUBTFUL)
    left = ~(sure["."] | sure[","] | doubtful | match(_WHOLE))
    for place, cell in zip(np.flatnonzero(left), distinct[left], strict=True):
        found = _read_both(number_of(cell))
        if len(found) == 1:
            sure[next(iter(found))][place] = True
        doubtful[place] = len(set(found.values())) > 1
    first = next(iter(distinct[doubtful]), "")
    return Writing(
        table,
        column,
        cells,
        {mark: distinct[sure[mark]] for mark in MARKS},
        first,
        _read_both(number_of(first)),
        typed,
    )


def _read_both(number: str | None) -> dict[str, float]:
    """What a text is as a number by each mark, if it is one."""
    if not number:
        return {}
    found = {mark: read_number(number, mark) for mark in MARKS}
    return {mark: value for mark, value in found.items() if value is not None}


def price_writing(table: Table, target: Target) -> Writing:
    """`find_writing` of the prices that are in the schema's currency."""

    def number_of(cell: str) -> str | None:
        number, mark = split_currency(cell)
        if mark and target.currency and target.currency not in currencies(mark):
            return None
        return plain_number(number)[0]

    rows = None
    if target.currency and target.currency_column in table.frame:
        rows = codes_of(table.frame[target.currency_column]) == target.currency
    affix = affix_pattern(target.currency)
    return find_writing(table, target.column, number_of, affix=affix, rows=rows)


def settle(table: Table, schema: Schema) -> Schema:
    """The schema with the mark of each column of numbers, as far as it is known.

    Where the schema has one, that one stays. A column of whole numbers has none.

    Raises:
      UserError: cells of a column contradict one another, or some may be read in two
        ways and none tells in which.
    """
    return _fill(table, schema, settle_column)


def settle_doubtful(table: Table, schema: Schema) -> Schema:
    """The schema with the marks without which cells would be read in two ways.

    What is not known is left open. Other columns keep what they have: a data set in
    which nothing was ever in doubt has the schema, and the hash, that it always had.
    """
    return _fill(table, schema, _settle_if_doubtful)


def mark_of_new_rows(table: Table, column: str, known: str) -> str:
    """The mark of a column of rows to predict; "" where doubtful cells stay unread.

    Args:
      table: the new rows.
      column: of numbers.
      known: mark that the column had in training; "" if none.
    """
    marks = find_writing(table, column).marks | ({known} - {""})
    return marks.pop() if len(marks) == 1 else ""


def _fill(
    table: Table,
    schema: Schema,
    mark_of: Callable[[Sequence[Writing], str], str],
) -> Schema:
    attributes = []
    for index, attribute in enumerate(schema.attributes):
        if attribute.kind == "continuous" and not attribute.decimal:
            found = [
                find_writing(table, column)
                for column in attribute.columns
                if column in table.frame
            ]
            mark = mark_of(found, f"attributes[{index}]")
            attribute = dataclasses.replace(attribute, decimal=mark)
        attributes.append(attribute)
    target = schema.target
    if target and not target.decimal and target.column in table.frame:
        mark = mark_of([price_writing(table, target)], "target")
        target = dataclasses.replace(target, decimal=mark)
    return dataclasses.replace(schema, attributes=tuple(attributes), target=target)


def settle_column(found: Sequence[Writing], key: str = "") -> str:
    """The mark of columns that are written alike; "" for whole numbers alone.

    Args:
      found: the columns of one attribute, say.
      key: part of the schema whose "decimal" chooses; "" where there is no schema.

    Raises:
      UserError: the columns contradict themselves or one another, or some cells may be
        read in two ways and none tells in which.
    """
    for writing in found:
        if len(writing.marks) > 1:
            counts = ", ".join(writing.count(mark) for mark in MARKS)
            choice = f', or set "decimal" in {key} of the schema to "." or ","'
            raise UserError(
                f"{_where(writing)} writes numbers in two ways: {counts}: mend the cells"
                f" of one kind{choice if key else ''}"
            )
    marks = set().union(*(writing.marks for writing in found))
    if len(marks) > 1:
        columns = " and ".join(quoted(writing.column) for writing in found)
        raise UserError(
            f"{found[0].table.path}: columns {columns} write decimals in different ways:"
            " make each an attribute of its own"
        )
    if marks:
        return marks.pop()
    for writing in found:
        if cell := writing.doubtful:
            choices = " or ".join(
                f'"decimal": "{mark}" ({number:.15g})'
                for mark, number in writing.readings.items()
            )
            way = (
                f"set {choices} in {key} of the schema" if key else "give it as Parquet"
            )
            raise UserError(
                f"{_where(writing)} can be read in two ways, since all its cells with a"
                f" mark are like {quoted(cell)}: {way}"
            )
    return "." if any(writing.typed for writing in found) else ""


def _settle_if_doubtful(found: Sequence[Writing], key: str) -> str:
    del key  # nothing is refused
    marks = set().union(*(writing.marks for writing in found))
    doubtful = any(writing.doubtful for writing in found)
    return marks.pop() if doubtful and len(marks) == 1 else ""


def _where(writing: Writing) -> str:
    return f"{writing.table.path}: column {quoted(writing.column)}"
