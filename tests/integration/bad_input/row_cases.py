"""Rows of tables and of Python that are wrong, odd, or both."""

import dataclasses
import datetime
import itertools
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from common.data import ingest
from tests.integration.bad_input import tables
from tests.integration.bad_input.bench import (
    REFUSED,
    REJECTED,
    WORKS,
    Bench,
    Case,
    expect,
)
from tests.integration.bad_input.tables import COLUMNS, csv_line, plain_row, with_cell


@dataclasses.dataclass(frozen=True)
class OddRow:
    """A row as it stands in a file.

    Attributes:
      name: says what is odd about it.
      make: number of the row -> its text, line end included.
      fits: whether it can be trained on.
      predicts: whether it can be predicted.
    """

    name: str
    make: Callable[[int], str]
    fits: bool
    predicts: bool


def _cells(
    column: str, texts: list[str], fits: bool, predicts: bool
) -> Iterator[OddRow]:
    for text in texts:

        def make(index: int, text: str = text) -> str:
            return csv_line(with_cell(index, column, text))

        yield OddRow(f"{column} {text[:30]!a}", make, fits, predicts)


def _raw(name: str, change: Callable[[str], str], fits: bool = False) -> OddRow:
    """A row whose text is changed as a whole, with the same effect on all doors."""
    return OddRow(
        name, lambda index: change(csv_line(plain_row(index))[:-1]) + "\n", fits, fits
    )


_NO_PRICES = ["", " ", "abc", "-5", "0", "0.0", "-0", "nan", "NaN", "inf", "-inf"]
_NO_PRICES += ["1e400", "1e39", "12,34.5", "12 EUR", "€12", "$", "--", "１２", "0x10"]
_NO_PRICES += ["1_000", "1.2.3", "12 13", "=1+1", "null", "\u200b12", "1e", "٣", "+"]
_NO_NUMBERS = ["abc", "inf", "1e400", "12,34.5", "½", "1..2", "0x1p3", "1e1e1", "∞"]
_NO_NUMBERS += ["--1", "1 %", "TRUE", "=A1", "1;2", "\u20331", "12k"]
_NO_TIMES = ["yesterday", "2019-13-40", "2019-02-30", "31.12.2019", "1/2/3", "10:00"]
_NO_TIMES += ["2019-01-01T25:00", "0000-00-00", "1e400", "20191340", "2019-W60-9"]
_PRICES = ["$1,234.50", "12,5", "1.234,50", "  12  ", "1e2", "12 USD", "1 234 567"]
_PRICES += ["3.4e38", "1e-30", "1'234'567", "usd 12"]
_NUMBERS = ["", "-", "n/a", "-3", "1e30", "-1e38", "0", "+5", ".5", "5."]
_TIMES = ["", "2019-01-31T12:00:00+14:00", "1548892800", "1548892800000", "20190131"]
_TIMES += ["0001-01-01", "9999-12-31T23:59:59.999999-23:59", "-1e30", "1e30"]
_TEXTS = ["", "日本語", "🙂" * 50, "\u202eevil", "=cmd|'/C calc'!A0", "a" * 100_000]
_TEXTS += ["two\nlines", 'with "quotes"', "a,b;c\td", "../../etc", "{}", "\ufeff", "%s"]
_TEXTS += ["nan", "None", "\x1b[31mred", "a\x08b", "\x7f", "\u2028", "é", "é"]
_TAGS = ["", "|", "|||", "x|x|x", "unknown", " x | y ", "|".join("xyz" * 2000)]

ODD_ROWS = (
    *_cells("price", _NO_PRICES, False, True),
    *_cells("carat", _NO_NUMBERS, False, False),
    *_cells("sold", _NO_TIMES, False, True),
    *_cells("split", ["", "holdout", "Train!", "0", "te st"], False, True),
    *_cells("price", _PRICES, True, True),
    *_cells("carat", _NUMBERS, True, True),
    *_cells("sold", _TIMES, True, True),
    *_cells("split", ["TRAIN", "val", "Dev", "testing", " test "], True, True),
    *_cells("kind", _TEXTS, True, True),
    *_cells("title", _TEXTS, True, True),
    *_cells("tags", _TAGS, True, True),
    _raw("too few fields", lambda line: line.rpartition(",")[0]),
    _raw("one field", lambda line: line.partition(",")[0]),
    _raw("too many fields", lambda line: line + ",more"),
    _raw("far too many fields", lambda line: line + "," * 5000),
    _raw("commas alone", lambda line: "," * 20),
    _raw("a NUL", lambda line: line.replace(",", ",\0", 1)),
    _raw("a field over the limit", lambda line: line + "x" * 140_000),
    _raw("a quote never closed", lambda line: line.replace(",", ',"', 1)),
    _raw("text after a quote", lambda line: line.replace(",", ',"a"', 1)),
    _raw("a quote alone", lambda line: '"'),
    _raw("another delimiter", lambda line: line.replace(",", ";")),
    _raw("binary", lambda line: "\x01\x02\x03"),
    _raw("a comment", lambda line: "# " + line, True),
    _raw("the header again", lambda line: ",".join(COLUMNS)),
    _raw("blanks around", lambda line: "  " + line.replace(",", " , ") + "  ", True),
    _raw("all quoted", lambda line: '"' + line.replace(",", '","') + '"', True),
)


def row_cases(count: int) -> Iterator[Case]:
    """Tables with two or three odd rows between good ones, through four doors."""
    doors = (_load_all, _load_few, _read_rows, _predict)
    for number in range(count):
        rng = random.Random(f"rows {number}")
        odd = [ODD_ROWS[(3 * number + i) % len(ODD_ROWS)] for i in range(3)]
        plain = [None] * rng.randint(6, 10)
        rows = rng.sample([*plain, *odd[: rng.randint(2, 3)]], k=len(plain) + 2)
        door = doors[number % 4]
        name = f"{door.__name__} " + ", ".join(row.name for row in rows if row)
        yield Case("rows", name, _RowCase(rows, door))


@dataclasses.dataclass(frozen=True)
class _RowCase:
    """Writes a table and takes it to a door."""

    rows: list[OddRow | None]
    door: Callable[..., str]

    def __call__(self, bench: Bench) -> str:
        # The first four fill all splits.
        lines = [csv_line(COLUMNS), *(csv_line(plain_row(i)) for i in range(4))]
        odd: list[tuple[int, int, OddRow]] = []  # row, line
        for row in self.rows:
            index, number = len(lines) - 1, 1 + "".join(lines).count("\n")
            lines.append(row.make(index) if row else csv_line(plain_row(index)))
            if row:
                odd.append((index, number, row))
        path = bench.write("table.csv", "".join(lines))
        return self.door(bench, path, len(lines) - 1, odd)


def _load_all(bench, path, count, odd) -> str:
    bad = [line for _, line, row in odd if not row.fits]
    return tables.check_load(tables.load(bench, path), count, bad)


def _load_few(bench, path, count, odd) -> str:
    """Under the default limit of one row in twenty, any bad one is too many."""
    bad = [line for _, line, row in odd if not row.fits]
    ending = tables.load(bench, path, f"line {min(bad, default=0)}")
    few = tables.load(
        bench, path, f"line {min(bad, default=0)}", max_rejected_fraction=0.05
    )
    assert ending.outcome == WORKS
    return expect(few, REFUSED if bad else WORKS)


def _read_rows(bench, path, count, odd) -> str:
    ending = bench.call(lambda: ingest.read_rows(path, "", tables.SCHEMA), path.name)
    assert ending.outcome == WORKS, ending.message
    frame = ending.value.frame
    bad = [line for _, line, row in odd if not row.predicts]
    assert len(frame) == count
    assert frame["line"].is_monotonic_increasing
    assert frame.loc[frame["error"] != "", "line"].tolist() == bad
    return REJECTED if bad else WORKS


def _predict(bench, path, count, odd) -> str:
    model = bench.trained("attributes").model
    ids: list[str | None] = [f"n{index}" for index in range(count)]
    for index, _, row in odd:
        if not row.predicts:
            ids[index] = None
    bad = [index for index, _, row in odd if not row.predicts]
    ending = bench.call(lambda: model.predict(path), path.name)
    return tables.check_predicted(ending, ids, bad)


def _python_rows() -> Iterator[tuple[str, Any, Any]]:
    """(name, rows for Model.predict, places of bad rows or the refusal's word)."""

    def rows(**cells: Any) -> list[dict[str, Any]]:
        good = [dict(zip(COLUMNS, plain_row(i), strict=True)) for i in range(3)]
        good[1] |= cells
        return good

    for name, value in {
        "NumPy float": np.float32(1.5),
        "NumPy integer": np.int8(-3),
        "boolean": True,
        "None": None,
        "NaN": float("nan"),
        "NaT": pd.NaT,
        "NA": pd.NA,
        "huge integer": 10**30,
        "text of a number": "1.5",
        "array of one": np.array([1.5]),
    }.items():
        yield f"carat: {name}", rows(carat=value), [1] if name == "boolean" else []
    for name, value in {
        "infinity": float("inf"),
        "integer beyond float32": 10**50,
        "text": "abc",
        "bytes": b"1.5",
        "mapping": {"a": 1},
        "list": [1, 2],
        "date": datetime.date(2019, 1, 1),
        "complex": 1j,
    }.items():
        yield f"carat: {name}", rows(carat=value), [1]
    for name, value in {
        "half a character": "\ud800",
        "NUL": "a\0b",
        "bytes": b"\xff",
        "lines": "a\nb",
        "a million characters": "x" * 1_000_000,
        "number": 5,
    }.items():
        yield f"kind: {name}", rows(kind=value), []
    yield "tags: list", rows(tags=["x", "y"]), []
    yield "tags: empty set", rows(tags=set()), []
    yield "tags: list with a separator", rows(tags=["x|y"]), "row 2"
    yield "tags: nested list", rows(tags=[["x"], "y"]), []
    yield "no rows", [], "no rows"
    yield "empty row", [{}], "no rows"
    yield "one empty row", [*rows(), {}], []
    yield "row is a list", [*rows(), ["n1", "a"]], "row 4"
    yield "row is text", ["n1,a"], "row 1"
    yield "rows are one mapping", rows()[0], "row"
    yield "no column kind", [{"id": "n0", "carat": 1}], []
    yield "keys are numbers", [{1: 2}], "no column"
    yield "column of another case", [{"ID": "n0", "Kind": "a"}], "did you mean"
    yield "empty DataFrame", pd.DataFrame(), "no rows"
    yield "DataFrame", pd.DataFrame(rows()), []
    yield "categories", pd.DataFrame(rows()).astype("category"), []
    yield "odd index", pd.DataFrame(rows(), index=["b", "a", "b"]), []
    doubled = pd.DataFrame(rows())
    doubled.insert(0, "kind", "b", allow_duplicates=True)
    yield "DataFrame with a column twice", doubled, "kind"
    yield "rows of None", [None], "row 1"
    yield "generator", itertools.islice(rows(), 3), []
    yield "number", 5, "rows"
    yield "nothing", None, "rows"


def python_cases(count: int) -> Iterator[Case]:
    """Rows given to Model.predict, from what is wrong to what is merely odd."""
    found = list(_python_rows())
    assert len(found) >= count, len(found)
    for name, rows, wanted in found[:count]:
        yield Case("rows in Python", name, _PythonCase(rows, wanted))


@dataclasses.dataclass(frozen=True)
class _PythonCase:
    """Predicts rows; `wanted` are the bad ones' places or a word of the refusal."""

    rows: Any
    wanted: list[int] | str

    def __call__(self, bench: Bench) -> str:
        model = bench.trained("attributes").model
        refused = isinstance(self.wanted, str)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "rows: no 'kind'")
            ending = bench.call(lambda: model.predict(self.rows), self.wanted)
        if refused:
            return expect(ending, REFUSED)
        return tables.check_predicted(ending, [None] * len(ending.value), self.wanted)
