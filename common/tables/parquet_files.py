"""Parquet files, and folders of them, as columns of text."""

import pathlib
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common.errors import UserError
from common.tables.cell_values import cell_text
from common.tables.csv_records import LFS_MARK, check_header, refuse_pointer
from common.tables.whole_numbers import EXACT

ENDINGS = (".parquet", ".pq")

_TEXT = pa.large_string()


class Columns(NamedTuple):
    """What Parquet files hold.

    Attributes:
      cells: {column: text}; numbers and dates became text, the members of a list are
        joined by "|".
      typed: {column: bool [N], the cells that were numbers}, where there are any.
      lists: columns in which lists became text.
    """

    cells: dict[str, pa.ChunkedArray]
    typed: dict[str, np.ndarray]
    lists: frozenset[str]


def find_parts(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files of a table that was written in parts, in the order of their names."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.endswith(ENDINGS) and not path.name.startswith((".", "_"))
    )


def read(paths: list[pathlib.Path]) -> Columns:
    """Reads the parts of a table.

    Raises:
      UserError: a part can't be read, or parts have other columns than the first.
    """
    parts = [(path, _read_file(path)) for path in paths]
    names = parts[0][1].column_names
    for path, data in parts:
        if sorted(data.column_names) != sorted(names):
            different = sorted(set(names) ^ set(data.column_names))
            raise UserError(
                f"{path}: not the columns of {paths[0].name} ({', '.join(different)}):"
                " give the parts of one table"
            )
    cells, typed = {}, {}
    for name in names:
        columns = [(path, data.column(name)) for path, data in parts]
        texts = [
            chunk for path, c in columns for chunk in _as_text(path, name, c).chunks
        ]
        cells[name] = pa.chunked_array(texts, _TEXT)
        numbers = [np.full(len(c), _is_number(c.type)) for _, c in columns]
        if any(part.any() for part in numbers):
            typed[name] = np.concatenate(numbers)
    lists = {n for _, data in parts for n in names if _is_list(data.field(n).type)}
    return Columns(cells, typed, frozenset(lists))


def _read_file(path: pathlib.Path) -> pa.Table:
    try:
        with open(path, "rb") as start:
            refuse_pointer(path, start.read(len(LFS_MARK)))
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
    except ValueError as error:  # a NUL in the name
        raise UserError(f"{path}: can't read the table: {error}") from error
    return data


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _is_number(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_number(kind.value_type)
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(test(kind) for test in tests)


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
