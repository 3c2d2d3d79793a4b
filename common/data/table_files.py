"""Opens a user's table, wherever it comes from."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable

from common.errors import UserError
from common.tables import table as tables
from common.tables.cells import quoted
from common.tables.parquet_files import find_parts
from common.tables.schema import did_you_mean
from common.tables.table import Table
from common.tables.whole_numbers import with_digits_in


def open_table(
    path: str | os.PathLike | Table,
    names: Iterable[str],
    others: Iterable[str] = (),
) -> Table:
    """Reads a table, see `tables.read_table`, that has some columns.

    Args:
      path: of a file, or of a data set prepared by TFDS; or a table that was read.
      names: columns that it must have, of ids and categories: whole numbers there are
        their digits, see `whole_numbers`.
      others: columns that it must have, of times and numbers.

    Raises:
      UserError: the file can't be read as a whole, or a column is missing.
    """
    table = path if isinstance(path, Table) else _read(pathlib.Path(path))
    names = list(names)
    for column in (*names, *others):
        if column not in table.frame:
            hint = did_you_mean(column, table.frame.columns)
            known = ", ".join(map(quoted, table.frame.columns))
            raise UserError(
                f"{table.path}: no column {quoted(column)}{hint}: name one of {known}"
            )
    return dataclasses.replace(table, frame=with_digits_in(table.frame, names))


def _read(path: pathlib.Path) -> Table:
    if path.is_dir():
        # TFDS takes seconds to import, and few tables come from it.
        from common.data import prepared_tables

        if prepared_tables.is_prepared(path):
            return prepared_tables.read_prepared(path)
        if not find_parts(path):
            raise UserError(
                f"{path}: a folder, but none that TFDS has prepared, nor one of Parquet"
                " files"
            )
    return tables.read_table(path)
