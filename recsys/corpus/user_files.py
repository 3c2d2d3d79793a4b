"""Tables of users who are to get lists."""

import dataclasses
import pathlib

import pandas as pd

from common.data.table_files import open_table
from common.tables.faults import Faults
from recsys.config import Config


@dataclasses.dataclass(frozen=True, eq=False)
class UserTable:
    """The table of `--mode=predict`.

    Attributes:
      users: in the order of their first row.
      pairs: (user, item), where the table has a column of items.
      failed: rows of the output for what could not be read: user, note, error.
    """

    users: list[str]
    pairs: list[tuple[str, str]]
    failed: pd.DataFrame


def read_users(path: pathlib.Path, config: Config) -> UserTable:
    """Reads a table with a column of users, and maybe one of items."""
    columns = config.data
    table = open_table(path, [columns.user])
    faults = Faults(table)
    faults.note_ids(columns.user)
    if columns.item in table.frame:
        table = open_table(table, [columns.item])
        faults.note_inexact(columns.item)
    good = table.frame[faults.good]
    users = good[columns.user].astype(str)
    pairs: list[tuple[str, str]] = []
    if columns.item in good:
        items = good[columns.item].dropna().astype(str)
        pairs = list(zip(users[items.index], items, strict=True))
    errors = [
        {"user": "", "note": "", "error": f"line {fault.line}: {fault.reason}"}
        for fault in faults.rejections()
    ]
    failed = pd.DataFrame(errors, columns=["user", "note", "error"])
    return UserTable(list(dict.fromkeys(users)), pairs, failed)
