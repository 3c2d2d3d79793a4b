"""Headers, encodings and Parquet files."""

import dataclasses
import gzip
import io
import random
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from common.data import ingest
from tests.integration.bad_input import damage, tables
from tests.integration.bad_input.bench import REFUSED, REJECTED, WORKS, Bench, Case
from tests.integration.bad_input.tables import COLUMNS, csv_text, plain_row

ROWS = 8
ANY = (WORKS, REJECTED, REFUSED)


@dataclasses.dataclass(frozen=True)
class FileCase:
    """Takes one table through ingestion and through prediction.

    Attributes:
      content: of the file.
      wanted: the outcomes that are right.
      name: of the file.
      about: what a refusal must name; the file itself where it is empty.
      rows: of the table; None where the damage leaves it open, then accepted and
        rejected rows must be those that prediction finds.
    """

    content: bytes
    wanted: tuple[str, ...] = (REFUSED,)
    name: str = "table.csv"
    about: str = ""
    rows: int | None = ROWS

    def __call__(self, bench: Bench) -> str:
        path = bench.write(self.name, self.content)
        ending = tables.load(bench, path, self.about)
        read = bench.call(
            lambda: ingest.read_rows(path, "", tables.SCHEMA), self.about or path.name
        )
        found = len(read.value.frame) if read.value else 0
        outcome = tables.check_load(ending, found if self.rows is None else self.rows)
        assert outcome in self.wanted, f"{outcome}: {ending.message}"
        if outcome != REFUSED:
            assert read.value is not None, read.message
            frame = read.value.frame
            assert self.rows in (None, len(frame)), f"{len(frame)} rows"
            assert frame["line"].is_monotonic_increasing
        return outcome


def _good_lines() -> list[str]:
    return csv_text([plain_row(i) for i in range(ROWS)]).splitlines(keepends=True)


def _headers() -> Iterator[tuple[str, FileCase]]:
    header, *lines = _good_lines()
    body = "".join(lines)

    def case(new: str, *wanted: str, about: str = "", rows: int = ROWS) -> FileCase:
        return FileCase(
            (new + body).encode(), wanted or (REFUSED,), about=about, rows=rows
        )

    for column in ("id", "kind", "price", "split"):
        yield (
            f"{column} twice",
            case(header.replace("\n", f",{column}\n"), about="twice"),
        )
        yield f"{column} without a name", case(header.replace(column, "", 1))
        yield f"{column} misspelt", case(header.replace(column, column + "s", 1))
        yield f"{column} in upper case", case(header.replace(column, column.upper(), 1))
        yield f"{column} with a NUL", case(header.replace(column, column + "\0", 1))
        yield (
            f"blanks around {column}",
            case(header.replace(column, f"  {column} ", 1), WORKS),
        )
        yield f"{column} quoted", case(header.replace(column, f'"{column}"', 1), WORKS)
    yield "all columns twice", case(header[:-1] + "," + header)
    yield "no header", FileCase(body.encode())
    yield "header alone", FileCase(header.encode(), about="no rows")
    yield "header and blank lines", FileCase((header + "\n\n\n").encode())
    yield "blank lines before", case("\n\n" + header, WORKS)
    yield "BOM", case("\ufeff" + header, WORKS)
    yield "BOM and quotes", case('\ufeff"id"' + header[2:], WORKS)
    yield "two BOMs", case("\ufeff\ufeff" + header, about="id")
    yield "a comment before", case("# made by a tool\n" + header)
    yield "a separator line before", case("sep=,\n" + header, WORKS)
    yield "quote never closed", case('"' + header)
    yield "text after a quote", case('"id"x' + header[2:])
    yield "semicolons over commas", case(header.replace(",", ";"))
    yield "tabs over commas", case(header.replace(",", "\t"))
    yield "a field over the limit", case("x" * 140_000 + "," + header)
    yield "one more than the rows", case("more," + header)
    yield "one less than the rows", case(header.partition(",")[2])
    yield "thousands of names", case(",".join(f"c{i}" for i in range(3000)) + "\n")
    yield "lines in a name", case(header.replace("id", '"i\nd"', 1), about="'id'")
    yield "escape codes in a name", case(header.replace("id", "\x1b[31mid", 1))
    yield "numbers for names", case("0,1,2,3,4,5,6,7\n")
    yield "a comma at the end", case(header[:-1] + ",\n")
    yield "decomposed letters", case(header.replace("id", "id\u0301", 1))
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        text = csv_text([plain_row(i) for i in range(ROWS)], mark)
        yield name, FileCase(text.encode(), (WORKS,))


def _encodings() -> Iterator[tuple[str, FileCase]]:
    plain = "".join(_good_lines())
    text = plain.replace("ring", "Ring für Mädchen, Größe 5".replace(",", ""))
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"):
        yield encoding, FileCase(text.encode(encoding), about="UTF-")
    for encoding in ("latin-1", "cp1252", "iso8859-15", "mac-roman", "cp437"):
        yield encoding, FileCase(text.encode(encoding), about="line 2")
    yield "EBCDIC", FileCase(text.encode("cp500"))
    foreign = {"shift_jis": "指輪", "gb18030": "戒指", "big5": "戒指", "euc-kr": "반지"}
    foreign |= {"koi8-r": "кольцо", "cp1251": "кольцо", "cp1256": "خاتم"}
    for encoding, word in foreign.items():
        data = plain.replace("ring", word).encode(encoding)
        yield encoding, FileCase(data, about="not UTF-8")
    yield "UTF-8", FileCase(text.encode(), (WORKS,))
    yield "UTF-8 with BOM", FileCase(text.encode("utf-8-sig"), (WORKS,))
    yield "UTF-7", FileCase(text.encode("utf-7"), (WORKS,))
    half = plain.replace("ring", "\ud83d", 1).encode("utf-8", "surrogatepass")
    yield "half a character", FileCase(half, about="line 2")
    yield "CESU-8", FileCase(plain.encode().replace(b"ring", b"\xed\xa0\xbd\xed\xb8"))
    yield "overlong", FileCase(plain.encode().replace(b"ring", b"\xc0\xaf", 1))
    yield "beyond Unicode", FileCase(plain.encode().replace(b"a", b"\xf5\x80\x80\x80"))
    lines = _good_lines()
    for number in range(ROWS):
        data = b"".join(
            line.encode().replace(b"ring", b"\xff")
            if i == number + 1
            else line.encode()
            for i, line in enumerate(lines)
        )
        yield (
            f"a stray byte in line {number + 2}",
            FileCase(data, about=f"line {number + 2};"),
        )
    yield "cut in a character", FileCase(text.encode()[: text.encode().find(b"\xbc")])
    for end, name in (("\r\n", "CR LF"), ("\r", "CR"), ("\n\n", "blank lines")):
        yield name, FileCase(plain.replace("\n", end).encode(), (WORKS,))
    yield "mixed ends", FileCase(plain.replace("\n", "\r\n", 4).encode(), (WORKS,))
    yield "no last end", FileCase(plain.rstrip("\n").encode(), (WORKS,))
    yield "Ctrl-Z", FileCase(plain.encode() + b"\x1a", (REJECTED,), rows=ROWS + 1)
    yield (
        "zeros behind",
        FileCase(plain.encode() + bytes(512), (REJECTED,), rows=ROWS + 1),
    )
    yield "empty", FileCase(b"", about="empty")
    yield "blanks", FileCase(b" \n\t\n ", about="empty")
    yield "BOM alone", FileCase(b"\xef\xbb\xbf", about="empty")
    yield "zeros", FileCase(bytes(4096))
    yield "PNG", FileCase(b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(300))
    yield "noise", FileCase(random.Random(2).randbytes(1000))
    yield "page of the web", FileCase(b"<!DOCTYPE html>\n<html>\n</html>\n")
    yield "JSON", FileCase(b'[{"id": "n0", "price": 12}]')
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("table.csv", plain)
    yield "zip", FileCase(packed.getvalue())
    yield "Excel", FileCase(packed.getvalue(), name="table.xlsx", about="ending")
    yield "no ending", FileCase(plain.encode(), name="table", about="ending")
    yield "unknown ending", FileCase(plain.encode(), name="table.json", about="ending")
    squeezed = gzip.compress(plain.encode(), mtime=0)
    yield "gzip", FileCase(squeezed, (WORKS,), name="table.csv.gz")
    yield "gzip without its ending", FileCase(squeezed, (WORKS,))
    yield "no gzip", FileCase(plain.encode(), (WORKS,), name="table.csv.gz")
    yield "gzip twice", FileCase(gzip.compress(squeezed, mtime=0), name="table.csv.gz")
    yield (
        "gzip of Latin-1",
        FileCase(
            gzip.compress(text.encode("latin-1"), mtime=0),
            name="table.csv.gz",
            about="line 2",
        ),
    )
    yield "gzip of nothing", FileCase(gzip.compress(b"", mtime=0), name="table.csv.gz")
    yield "two gzips", FileCase(squeezed + gzip.compress(b"", mtime=0), (WORKS,))
    yield "noise behind gzip", FileCase(squeezed + b"noise")
    for share in (0.02, 0.3, 0.6, 0.9, 0.99):
        cut = squeezed[: int(share * len(squeezed))]
        yield f"gzip cut at {share:.0%}", FileCase(cut, name="table.csv.gz")
    for seed in range(30):
        data = damage.flip_bits(squeezed, seed)
        yield f"gzip with flipped bits {seed}", FileCase(data, ANY, rows=None)


def _frame() -> pd.DataFrame:
    rows = [plain_row(i) for i in range(ROWS)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"carat": float, "price": int})


def _parquet(table: Any, **options: Any) -> bytes:
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def _with_column(name: str, column: Any) -> bytes:
    table = pa.Table.from_pandas(_frame(), preserve_index=False)
    place = table.column_names.index(name)
    return _parquet(table.set_column(place, name, column))


def _parquet_files() -> Iterator[tuple[str, FileCase]]:
    good = _parquet(_frame())

    def case(data: bytes, *wanted: str, about: str = "") -> FileCase:
        return FileCase(data, wanted or (REFUSED,), name="table.parquet", about=about)

    yield "good", case(good, WORKS)
    yield "empty file", case(b"")
    yield "text", case(b"id,kind\n1,2\n")
    yield "magic alone", case(b"PAR1PAR1")
    yield "no rows", case(_parquet(_frame().iloc[:0]), about="no rows")
    yield "no columns", case(_parquet(pd.DataFrame()))
    yield "column missing", case(_parquet(_frame().drop(columns="kind")), about="kind")
    number = pa.array([1.5, 2, 3, 4, -1, float("nan"), float("inf"), 1e300])
    yield "numbers out of range", case(_with_column("carat", number), REJECTED)
    yield "prices out of range", case(_with_column("price", number), REJECTED)
    yield "nothing but null", case(_with_column("kind", pa.nulls(ROWS)), WORKS)
    lists = pa.array([["x", "y"], [], None, ["z"], ["x"], ["x", None], [""], ["y"]])
    yield "lists", case(_with_column("tags", lists), WORKS)
    yield (
        "lists with separators",
        case(_with_column("tags", pa.array([["x|y"]] * ROWS)), about="tags"),
    )
    yield (
        "dictionary",
        case(_with_column("kind", pa.array(["a", "b"] * 4).dictionary_encode()), WORKS),
    )
    yield "structs", case(_with_column("kind", pa.array([{"a": 1}] * ROWS)))
    yield (
        "maps",
        case(
            _with_column(
                "kind", pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int64()))
            )
        ),
    )
    yield "binary", case(_with_column("kind", pa.array([b"\xff\xfe"] * ROWS)))
    yield "booleans", case(_with_column("kind", pa.array([True, False] * 4)), WORKS)
    yield (
        "times",
        case(
            _with_column("sold", pa.array([1548892800] * ROWS, pa.timestamp("s"))),
            WORKS,
        ),
    )
    yield (
        "days",
        case(_with_column("sold", pa.array([17000] * ROWS, pa.date32())), WORKS),
    )
    yield (
        "decimals",
        case(
            _with_column("price", pa.array([12] * ROWS).cast(pa.decimal128(22, 2))),
            WORKS,
        ),
    )
    yield (
        "half floats",
        case(_with_column("carat", pa.array(np.ones(ROWS, np.float16))), WORKS),
    )
    yield (
        "column twice",
        case(_parquet(pa.table([[1], [2]], names=["id", "id"])), about="twice"),
    )
    yield "unnamed column", case(_parquet(pa.table([[1]], names=[""])))
    rows = _frame().replace({"kind": {"a": "x\0y"}})
    yield "NULs", case(_parquet(rows), *ANY)
    for share in (0.01, 0.2, 0.5, 0.8, 0.95, 0.999):
        yield f"cut at {share:.1%}", case(good[: int(share * len(good))])
    yield "end cut from the front", case(good[100:])
    yield (
        "noise between magic",
        case(b"PAR1" + random.Random(3).randbytes(500) + b"PAR1"),
    )
    for seed in range(30):
        yield (
            f"flipped bits {seed}",
            FileCase(damage.flip_bits(good, seed), ANY, "table.parquet", rows=None),
        )


def _cases(
    kind: str, make: Callable[[], Iterator[tuple[str, FileCase]]], count: int
) -> Iterator[Case]:
    found = list(make())
    assert len(found) >= count, f"{kind}: {len(found)}"
    for name, run in found[:count]:
        yield Case(kind, name, run)


def header_cases(count: int) -> Iterator[Case]:
    """Headers of CSV files."""
    return _cases("headers", _headers, count)


def encoding_cases(count: int) -> Iterator[Case]:
    """Encodings and containers of CSV files."""
    return _cases("encodings", _encodings, count)


def parquet_cases(count: int) -> Iterator[Case]:
    """Parquet files."""
    return _cases("Parquet files", _parquet_files, count)
