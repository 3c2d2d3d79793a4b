import datetime
import decimal
import gzip
import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from common.tables import table as tables


def table_of(tmp_path: pathlib.Path, *lines: str) -> tables.Table:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tables.read_table(path)


def test_read_table_keeps_text_lines_and_broken_rows(tmp_path):
    table = table_of(
        tmp_path, "a, b ", ' x ,"two', 'lines"', "", "1,2,3", "y\0,1", "z,", "é,NA"
    )
    assert list(table.frame.columns) == ["a", "b"]
    assert table.frame["a"].tolist() == ["x", "z", "é"]
    assert table.frame["b"].isna().tolist() == [False, True, False]
    assert table.frame["b"][0] == "two\nlines"
    assert table.frame["b"][2] == "NA"
    assert table.line.tolist() == [2, 7, 8]
    path = str(tmp_path / "rows.csv")
    assert table.rejected == [
        tables.Rejection(path, 5, "", "has 3 fields, the header 2"),
        tables.Rejection(path, 6, "", "holds a NUL character"),
    ]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.csv", b"\xef\xbb\xbfa,b\n1,2\n"),
        ("t.csv", b"a;b\n1;2\n"),
        ("t.tsv", b"a\tb\r\n1\t2\r\n"),
        ("t.csv", b"a|b\n1|2\n"),
        ("t.csv", b"sep=;\r\na;b\r\n1;2\r\n"),
        ("t.csv", b"\xef\xbb\xbfa;b\r\n1;2\r\n"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)),
        ("t.csv", gzip.compress(b"a,b\n1,2\n", mtime=0)),
    ],
)
def test_read_table_knows_the_usual_forms(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    frame = tables.read_table(tmp_path / name).frame
    assert frame.to_dict("list") == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", b"a,b\n", "a header and no rows"),
        ("t.csv", b'"a,b\n1,2\n', "no header can be read"),
        ("t.csv", b"a,a\n1,2\n", "names 'a' twice"),
        ("t.csv", "a,b\n1,2\n".encode("utf-16-le"), "NUL bytes"),
        ("t.csv", "a,b\n1,2\n".encode("utf-16"), "written in UTF-16"),
        ("t.csv", "a,b\né,2 €\n".encode("cp1252"), "Windows-1252"),
        ("t.csv", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("t.parquet", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("t.csv", b"sep=;\n", "no header can be read"),
        ("t.xlsx", b"PK", "no table by its ending"),
        ("t.parquet", b"PAR1 nonsense", "damaged Parquet file"),
        ("t.parquet", b"", "damaged Parquet file"),
    ],
)
def test_read_table_refuses_files_in_one_line(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        tables.read_table(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_read_table_reads_more_rows_than_one_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_CHUNK", 3)
    table = table_of(tmp_path, "a,b", *(f"{i},{i * i}" for i in range(8)))
    assert table.frame["b"].tolist() == [str(i * i) for i in range(8)]
    assert table.line.tolist() == list(range(2, 10))


def test_parquet_and_python_rows_become_the_same_text(tmp_path):
    columns = {
        "name": ["a ", "", None],
        "count": [1, None, 3],
        "size": [5.0, float("nan"), 0.1],
        "gift": [True, False, None],
        "tags": [["x", "y"], [], None],
        "day": [datetime.date(2019, 1, 2), None, None],
    }
    arrow = pa.table({**columns, "kind": pa.array(["u", "v", "u"]).dictionary_encode()})
    pq.write_table(arrow, tmp_path / "t.parquet")
    table = tables.read_table(tmp_path / "t.parquet")
    expected = {
        "name": ["a", None, None],
        "count": ["1", None, "3"],
        "size": ["5", None, "0.1"],
        "gift": ["true", "false", None],
        "tags": ["x|y", None, None],
        "day": ["2019-01-02", None, None],
        "kind": ["u", "v", "u"],
    }
    found = table.frame.astype(object).where(table.frame.notna(), None)
    assert found.to_dict("list") == expected
    assert table.line.tolist() == [1, 2, 3]
    rows = [{key: cells[i] for key, cells in columns.items()} for i in range(3)]
    frame = tables.from_rows(rows).frame
    pd.testing.assert_frame_equal(frame, table.frame[list(columns)])


def test_from_rows_fills_columns_that_a_row_lacks():
    table = tables.from_rows([{"a": 1}, {"b": np.float32(2), "c": {"z"}}])
    assert table.frame.isna().to_numpy().tolist() == [
        [False, True, True],
        [True, False, False],
    ]
    assert table.frame["b"][1] == "2"
    assert table.frame["c"][1] == "z"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([{}], "no rows"),
        ([{"a": 1}, 3], "row 2 is no mapping"),
        ([{"a": ["x|y"]}], r"row 1, column 'a': a list's member holds '\|'"),
    ],
)
def test_from_rows_refuses(rows, message):
    with pytest.raises(UserError, match=message):
        tables.from_rows(rows)


def test_read_table_refuses_columns_that_are_no_cells(tmp_path):
    pq.write_table(pa.table({"photo": [{"bytes": b"x"}]}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match="column 'photo' holds struct"):
        tables.read_table(tmp_path / "t.parquet")


def test_choose_rows_keeps_their_lines(tmp_path):
    table = table_of(tmp_path, "kind,price", "ring,1", "watch,2", "bead,3", "ring,4")
    chosen = tables.choose_rows(table, "kind=ring|bead")
    assert chosen.frame["price"].tolist() == ["1", "3", "4"]
    assert chosen.frame.index.tolist() == [0, 1, 2]
    assert chosen.line.tolist() == [2, 4, 5]
    with pytest.raises(UserError, match=r"COLUMN=VALUE.* \(did you mean 'kind'"):
        tables.choose_rows(table, "kinds=ring")
    with pytest.raises(UserError, match="no row has 'kind=hat'"):
        tables.choose_rows(table, "kind=hat")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_a_user_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(data)
    try:
        table = tables.read_table(path)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert len(table.frame) + len(table.rejected) > 0
        assert len(table.line) == len(table.frame)


def test_a_path_with_a_nul_is_one_clear_line():
    for ending in (".csv", ".parquet"):
        with pytest.raises(UserError, match="(?i)embedded nul"):
            tables.read_table("a\0b" + ending)


def test_rows_in_python_may_come_as_anything_that_yields_mappings():
    rows = [{"a": 1}, {"a": 2}]
    frame = tables.from_rows(row for row in rows).frame
    assert frame["a"].tolist() == ["1", "2"]
    pd.testing.assert_frame_equal(tables.from_rows(pd.DataFrame(rows)).frame, frame)
    with pytest.raises(UserError, match="not a int"):
        tables.from_rows(5)
    with pytest.raises(UserError, match="'a' stands twice"):
        tables.from_rows(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_the_line_after_sep_counts(tmp_path):
    table = table_of(tmp_path, "sep=;", "a;b", "1;2", "3", "4;5")
    assert table.line.tolist() == [3, 5]
    assert [rejection.line for rejection in table.rejected] == [4]


def test_quotes_that_backslashes_escape_are_read(tmp_path):
    table = table_of(
        tmp_path, "a,b", r'"5\" ring",1', r'"he said \"no\"",2', r'"C:\new","3"', "4,"
    )
    assert table.rejected == []
    assert table.frame["a"].tolist() == ['5" ring', 'he said "no"', r"C:\new", "4"]
    assert table.line.tolist() == [2, 3, 4, 5]


def test_backslashes_stay_where_quotes_are_doubled(tmp_path):
    """JSON with quotes in quotes, as the csv module writes it, beside a broken row."""
    table = table_of(tmp_path, "a,b", r'"{""x"": ""5\"" ring""}",1', '2,"', "3,4")
    assert table.frame["a"].tolist() == [r'{"x": "5\" ring"}', "3"]
    assert [rejection.line for rejection in table.rejected] == [3]


def test_a_folder_of_parquet_parts_is_one_table(tmp_path):
    folder = tmp_path / "parts.parquet"
    folder.mkdir()
    with pytest.raises(UserError, match="a folder without .parquet files"):
        tables.read_table(folder)
    pq.write_table(pa.table({"n": [1, 2], "t": ["1.5", "x"]}), folder / "b.parquet")
    pq.write_table(pa.table({"t": ["y"], "n": [0.5]}), folder / "a.parquet")
    (folder / "_SUCCESS").write_text("")
    (folder / "_metadata.parquet").write_text("no table")
    table = tables.read_table(folder)
    assert table.frame.to_dict("list") == {
        "t": ["y", "1.5", "x"],
        "n": ["0.5", "1", "2"],
    }
    assert table.line.tolist() == [1, 2, 3]
    assert table.path == str(folder)
    assert {name: cells.tolist() for name, cells in table.typed.items()} == {
        "n": [True] * 3
    }
    before = tables.hash_of(folder)
    pq.write_table(pa.table({"n": [7], "other": ["y"]}), folder / "c.parquet")
    assert tables.hash_of(folder) != before
    with pytest.raises(UserError, match=r"c\.parquet: not the columns of a.parquet"):
        tables.read_table(folder)


def test_cells_that_came_as_numbers_are_known():
    rows = [
        {"a": 1.5, "b": "1.5", "c": "2"},
        {"a": None, "b": "x", "c": np.int64(2)},
        {"a": decimal.Decimal("1.250"), "c": True, "d": [1]},
    ]
    table = tables.from_rows(rows)
    assert {name: cells.tolist() for name, cells in table.typed.items()} == {
        "a": [True, False, True],
        "c": [False, True, True],
    }
    chosen = tables.choose_rows(table, "b=1.5|x")
    assert chosen.typed["c"].tolist() == [False, True]
