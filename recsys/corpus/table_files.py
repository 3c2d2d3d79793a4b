"""Opens a user's table, wherever it comes from."""

import os
import pathlib
from collections.abc import Iterable

from common.errors import UserError
from common.tables import table as tables
from common.tables.cells import quoted
from common.tables.schema import did_you_mean
from common.tables.table import Table


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
