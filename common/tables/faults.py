"""What is wrong with the rows of a table, and when that is too much."""

import csv
import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from common.errors import UserError
from common.tables.whole_numbers import is_inexact, may_be_floats

_LONGEST_ID = 256  # characters; in an array each id takes the room of the longest

# Starts the reason of rows that the user chose to leave out: no sign of a bad table.
BY_CHOICE = "left out: "


@dataclasses.dataclass(frozen=True)
class Rejection:
    """Why a row is left out.

    Attributes:
      file: path of the table.
      line: where the row starts, counted from 1; the row's number in Parquet.
      column: the column at fault; "" where it is the row itself.
      reason: one line.
    """

    file: str
    line: int
    column: str
    reason: str


class Rows(Protocol):
    """What `Faults` needs of a `table.Table`."""

    @property
    def path(self) -> str:
        """Of the file."""

    @property
    def frame(self) -> pd.DataFrame:
        """Text."""

    @property
    def line(self) -> np.ndarray:
        """Where each row of `frame` starts in the file, [N]."""

    @property
    def rejected(self) -> list[Rejection]:
        """Rows that could not be read."""


class Faults:
    """Collects what is wrong with the rows of a table, the first fault of each.

    Attributes:
      table: with N rows.
      good: bool [N], rows without a fault.
    """

    def __init__(self, table: Rows):
        self.table = table
        self.good = np.ones(len(table.frame), bool)
        self._noted: list[Rejection] = []

    def note(
        self,
        column: str,
        rows: np.ndarray | Sequence[int],
        reasons: str | Iterable[str],
    ) -> None:
        """Notes that rows are faulty.

        Args:
          column: at fault.
          rows: int [n] positions.
          reasons: of all, or of each.
        """
        texts = [reasons] * len(rows) if isinstance(reasons, str) else reasons
        for row, reason in zip(np.asarray(rows).tolist(), texts, strict=True):
            if self.good[row]:
                self.good[row] = False
                line = int(self.table.line[row])
                self._noted.append(Rejection(self.table.path, line, column, reason))

    def note_ids(self, column: str) -> None:
        """Notes rows whose id is empty, or nothing to keep in an array of texts."""
        cells = self.table.frame[column]
        reasons = {
            "an empty cell where an id must stand": cells.isna(),
            f"an id of more than {_LONGEST_ID} characters": (
                cells.str.len() > _LONGEST_ID
            ),
            "an id with a NUL character": cells.str.contains("\0", regex=False),
        }
        for reason, rows in reasons.items():
            self.note(column, np.flatnonzero(rows.to_numpy(bool)), reason)
        self.note_inexact(column)

    def note_inexact(self, column: str) -> None:
        """Notes rows whose id is a float too large to hold its digits."""
        cells = self.table.frame[column]
        rows = np.flatnonzero(may_be_floats(cells))
        texts = dict(zip(rows.tolist(), cells.iloc[rows], strict=True))
        lost = {row: text for row, text in texts.items() if is_inexact(text)}
        reasons = [
            f"{text} is a float of 2^53 or more, whose last digits are lost: write ids"
            " as whole numbers or as text"
            for text in lost.values()
        ]
        self.note(column, list(lost), reasons)

    def noted(self) -> list[Rejection]:
        """Of the rows with a fault, in order."""
        return in_order(self._noted)

    def rejections(self) -> list[Rejection]:
        """Of all rows with a fault and those that could not be read, in order."""
        return in_order([*self.table.rejected, *self._noted])


def in_order(rejected: Iterable[Rejection]) -> list[Rejection]:
    """Rejected rows of one file, in the order of its lines."""
    return sorted(rejected, key=lambda rejection: rejection.line)


def check_rejected(
    rejected: Sequence[Rejection],
    accepted: int,
    max_rejected_fraction: float,
    listed: str | os.PathLike | None = None,
) -> None:
    """Stops where too many rows of a file are rejected, or all.

    Rows that were left out by choice do not count.

    Args:
      rejected: rows of one file.
      accepted: number of all others.
      max_rejected_fraction: share that may be rejected.
      listed: file that lists the rejected rows, for the message.

    Raises:
      UserError: with the first of them.
    """
    unfit = [each for each in rejected if not each.reason.startswith(BY_CHOICE)]
    rejected = unfit if accepted else rejected
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


def write_rejected(path: str | os.PathLike, rejected: Iterable[Rejection]) -> None:
    """Writes rejected rows as CSV with the columns file, line, column, reason.

    Raises:
      UserError: it can't be written.
    """
    try:
        with open(path, "w", newline="", encoding="utf-8", errors="replace") as file:
            writer = csv.writer(file)
            writer.writerow([field.name for field in dataclasses.fields(Rejection)])
            writer.writerows(dataclasses.astuple(rejection) for rejection in rejected)
    except OSError as error:
        raise UserError(f"{path}: can't be written: {error.strerror}") from error


def read_rejected(path: str | os.PathLike) -> list[Rejection]:
    """Reads what `write_rejected` wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        return [
            Rejection(row["file"], int(row["line"]), row["column"], row["reason"])
            for row in csv.DictReader(file)
        ]
