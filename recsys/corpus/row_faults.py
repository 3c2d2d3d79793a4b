"""What is wrong with the rows of a table, and when that is too much."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from common.errors import UserError
from common.tables import table as tables
from common.tables.cells import quoted
from common.tables.schema import did_you_mean
from common.tables.table import Rejection, Table

_LONGEST_ID = 256  # characters; in an array each id takes the room of the longest


def open_table(path: str | os.PathLike | Table, columns: Iterable[str]) -> Table:
    """Reads a table, see `tables.read_table`, that has some columns.

    Args:
      path: of a file, or of a data set prepared by TFDS; or a table that was read.
      columns: that it must have.

    Raises:
      UserError: the file can't be read as a whole, or a column is missing.
    """
    table = path if isinstance(path, Table) else _read(pathlib.Path(path))
    for column in columns:
        if column not in table.frame:
            hint = did_you_mean(column, table.frame.columns)
            names = ", ".join(map(quoted, table.frame.columns))
            raise UserError(
                f"{table.path}: no column {quoted(column)}{hint}: name one of {names}"
            )
    return table


def _read(path: pathlib.Path) -> Table:
    if path.is_dir():
        # TFDS takes seconds to import, and few tables come from it.
        from common.data import prepared_tables

        if prepared_tables.is_prepared(path):
            return prepared_tables.read_prepared(path)
        raise UserError(f"{path}: a folder, but not one that TFDS has prepared")
    return tables.read_table(path)


class Faults:
    """Collects what is wrong with the rows of a table, the first fault of each.

    Attributes:
      table: with N rows.
      good: bool [N], rows without a fault.
    """

    def __init__(self, table: Table):
        self.table = table
        self.good = np.ones(len(table.frame), bool)
        self._found: list[Rejection] = []

    def note(self, column: str, rows: np.ndarray, reasons: str | Iterable[str]) -> None:
        """Notes that rows are faulty.

        Args:
          column: at fault.
          rows: int [n] positions.
          reasons: of all, or of each.
        """
        texts = [reasons] * len(rows) if isinstance(reasons, str) else reasons
        for row, reason in zip(rows.tolist(), texts, strict=True):
            if self.good[row]:
                self.good[row] = False
                line = int(self.table.line[row])
                self._found.append(Rejection(self.table.path, line, column, reason))

    def note_ids(self, column: str) -> None:
        """Notes rows whose id is empty, or nothing to keep in an array of texts."""
        cells = self.table.frame[column]
        wrong = {
            "an empty cell where an id must stand": cells.isna(),
            f"an id of more than {_LONGEST_ID} characters": (
                cells.str.len() > _LONGEST_ID
            ),
            "an id with a NUL character": cells.str.contains("\0", regex=False),
        }
        for reason, rows in wrong.items():
            self.note(column, np.flatnonzero(rows.to_numpy(bool)), reason)

    def rejections(self) -> list[Rejection]:
        """Of all rows with a fault and those that could not be read, in order."""
        return sorted([*self.table.rejected, *self._found], key=lambda r: r.line)


def check_rejected(
    rejected: Sequence[Rejection],
    accepted: int,
    max_rejected_fraction: float,
    listed: str | os.PathLike | None = None,
) -> None:
    """Stops where too many rows of a file are rejected, or all.

    Args:
      rejected: rows of one file.
      accepted: number of all others.
      max_rejected_fraction: share that may be rejected.
      listed: file that lists the rejected rows, for the message.

    Raises:
      UserError: with the first of them.
    """
    total = len(rejected) + accepted
    if not rejected or (accepted and len(rejected) <= max_rejected_fraction * total):
        return
    limit = f"more than max_rejected_fraction={max_rejected_fraction}"
    first = rejected[0]
    column = f", column {first.column}" if first.column else ""
    listing = f"; all are listed in {listed}" if listed is not None else ""
    raise UserError(
        f"{first.file}: {len(rejected)} of {total} rows can't be used,"
        f" {limit if accepted else 'none is left'}; the first is line"
        f" {first.line}{column}: {first.reason}{listing}"
    )


def write_rejected(path: str | os.PathLike, rejected: list[Rejection]) -> None:
    """Writes rejected rows as CSV with the columns file, line, column, reason.

    Raises:
      UserError: it can't be written.
    """
    try:
        tables.write_rejected(pathlib.Path(path), rejected)
    except OSError as error:
        raise UserError(f"{path}: can't be written: {error.strerror}") from error
