"""CSV text, record by record, with the line where each one starts."""

import codecs
import collections
import csv
import gzip
import io
import itertools
import pathlib
import re
import zlib
from collections.abc import Iterator, Sequence

from common.errors import UserError
from common.tables.cells import quoted

# Byte marks that open a text in another encoding; the longer ones first.
_FOREIGN_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}

# Opens the file that Git keeps in the place of a large one.
LFS_MARK = b"version https://git-lfs.github.com/spec/"

DELIMITERS = ",;\t|"
_EXCEL = re.compile(rb'(?:\xef\xbb\xbf)?"?sep=([,;:|~^\t])"?[\r\n]', re.IGNORECASE)
_ESCAPED_QUOTE = re.compile(rb'(?<!\\)((?:\\\\)*)\\"')


def refuse_pointer(path: pathlib.Path, data: bytes) -> None:
    """Raises a UserError for a file that only points at a table."""
    if data.startswith(LFS_MARK):
        raise UserError(
            f"{path}: a Git LFS pointer, not the table itself: get it by `git lfs pull`"
        )


def read_utf8(path: pathlib.Path) -> bytes:
    """Reads a file, gzip or plain, that must hold UTF-8 text.

    Raises:
      UserError: it can't be read, is damaged, empty, or in another encoding.
    """
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: damaged gzip file ({error}): copy it anew") from error
    except OSError as error:
        raise UserError(f"{path}: can't read the table: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name
        raise UserError(f"{path}: can't read the table: {error}") from error
    refuse_pointer(path, data)
    for mark, encoding in _FOREIGN_MARKS.items():
        if data.startswith(mark):
            raise UserError(f"{path}: written in {encoding}: save the table as UTF-8")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}: not UTF-8 at byte {error.start} (0x{data[error.start]:02x}), line"
            f" {line}; perhaps Latin-1 or Windows-1252: save the table as UTF-8"
        ) from error
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        raise UserError(f"{path}: the file is empty")
    return data


def find_header(data: bytes) -> tuple[str, int, list[str]]:
    """Finds what parts the fields of a CSV text, and its header.

    Returns:
      (delimiter; records before the header: 1 where Excel's sep= stands there; names).
    """
    if match := _EXCEL.match(data):
        delimiter = match[1].decode()
        return delimiter, 1, _read_names(data, delimiter, 1)
    found = [(mark, 0, _read_names(data, mark, 0)) for mark in DELIMITERS]
    return max(found, key=lambda each: len(each[2]))


def _read_names(data: bytes, delimiter: str, before: int) -> list[str]:
    """The fields of the header; none where it can't be read."""
    rows = itertools.islice(records(data, delimiter), before, None)
    _, fields, _ = next(rows, (0, [], ""))
    return [field.strip() for field in fields]


def double_quotes(data: bytes) -> bytes:
    r"""Quotes that a backslash escapes, as CSV has them: \" becomes "" in place."""
    return _ESCAPED_QUOTE.sub(rb'\1""', data)


def check_header(path: pathlib.Path, header: Sequence[str]) -> None:
    """Raises a UserError for a header with empty, double or binary names."""
    if not header:
        raise UserError(f"{path}: no header can be read: name the columns in line 1")
    for index, name in enumerate(header):
        if "\0" in name:
            raise UserError(f"{path}: NUL bytes (UTF-16?): save the table as UTF-8")
        if not name:
            raise UserError(
                f"{path}: column {index + 1} of the header has no name: name it (an"
                " index that pandas wrote: to_csv(index=False))"
            )
        if header.index(name) < index:
            raise UserError(
                f"{path}: the header names {quoted(name)} twice: rename one"
            )


def records(data: bytes, delimiter: str) -> Iterator[tuple[int, list[str], str]]:
    """Reads the records of a CSV text one by one.

    After a record with broken quoting, reading goes on at the line after its first: a
    quote that is never closed costs one row and not the rest of the file.

    Yields:
      (line of the record's start, fields, what is wrong or "").
    """
    lines = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="")
    taken: list[str] = []  # lines of the current record
    again: collections.deque[str] = collections.deque()  # lines to be read once more

    def feed() -> Iterator[str]:
        while line := (again.popleft() if again else next(lines, "")):
            taken.append(line)
            yield line

    number = 1
    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        taken.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, [], f"can't be parted into fields: {error}"
            again.extendleft(reversed(taken[1:]))
            reader = csv.reader(feed(), delimiter=delimiter, strict=True)
            number += 1
            continue
        if fields:
            yield number, fields, ""
        number += len(taken)
