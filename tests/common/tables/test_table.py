import csv
import datetime
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
from common.tables.schema import Attribute, Group, Images, Schema, Target

SCHEMA = Schema(
    attributes=(
        Attribute("metal", "categorical", ("metal",)),
        Attribute("stone", "continuous", ("carat", "inch"), log=True),
    ),
    images=Images(("photo",)),
    target=Target("price", "USD"),
    group=Group(("title",)),
    time="sold",
    split="split",
    id="id",
)
HEADER = "id,photo,title,metal,carat,inch,price,sold,split"
GOOD = "7,7.jpg,A ring,gold,0.5,,12.5,2019-01-02,train"


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
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)),
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


def test_check_rows_gives_types(tmp_path):
    table = table_of(tmp_path, HEADER, GOOD, '8,,B,,n/a,2,"$1,234.50",,dev')
    frame, rejections = tables.check_rows(table, SCHEMA)
    assert rejections == []
    assert list(frame.columns) == list(SCHEMA.columns())
    np.testing.assert_array_equal(frame["price"], [12.5, 1234.5])
    np.testing.assert_array_equal(frame["carat"], [0.5, np.nan])
    np.testing.assert_array_equal(frame["inch"], [np.nan, 2])
    np.testing.assert_array_equal(frame["sold"], [1546387200, np.nan])
    assert frame["split"].tolist() == ["train", "validation"]
    assert frame["id"].tolist() == ["7", "8"]
    assert frame["metal"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("old", "new", "column", "reason"),
    [
        ("12.5", "", "price", "an empty cell where a price must stand"),
        ("12.5", "n/a", "price", "'n/a' where a price must stand"),
        ("12.5", "inf", "price", "'inf' is not a number"),
        ("12.5", "0", "price", "'0' is not above zero"),
        (
            "12.5",
            '"1,234"',
            "price",
            "'1,234' may be 1234 or 1.234: write one of these",
        ),
        ("12.5", "5 EUR", "price", "'5 EUR' is in EUR, the schema's prices are in USD"),
        ("0.5", "big", "carat", "'big' is not a number"),
        ("2019-01-02", "2.1.19", "sold", "'2.1.19' is no date such as 2019-01-31 or"),
        ("train", "holdout", "split", "'holdout' where train, validation or test must"),
        ("train", "", "split", "an empty cell where train, validation or test must"),
    ],
)
def test_check_rows_rejects_with_file_line_column_reason(
    tmp_path, old, new, column, reason
):
    table = table_of(tmp_path, HEADER, GOOD, GOOD.replace(old, new), GOOD)
    frame, rejections = tables.check_rows(table, SCHEMA)
    assert frame.index.tolist() == [0, 2]
    assert table.line[frame.index].tolist() == [2, 4]
    (rejection,) = rejections
    assert (rejection.file, rejection.line) == (str(tmp_path / "rows.csv"), 3)
    assert rejection.column == column
    assert rejection.reason.startswith(reason)


def test_rows_to_predict_need_inputs_only(tmp_path):
    table = table_of(tmp_path, "id,photo,metal,carat,inch,price", "1,a.jpg,x,1,2,free")
    frame, rejections = tables.check_rows(table, SCHEMA, need_target=False)
    assert list(frame.columns) == ["id", "photo", "metal", "carat", "inch"]
    assert rejections == []
    with pytest.raises(UserError, match="no column 'title'"):
        tables.check_rows(table, SCHEMA)


def test_check_rows_names_the_missing_column_and_the_closest(tmp_path):
    table = table_of(tmp_path, "metals,price", "gold,1")
    schema = Schema(
        (Attribute("metal", "categorical", ("metal",)),), target=Target("price")
    )
    with pytest.raises(UserError, match=r"no column 'metal' \(did you mean 'metals'"):
        tables.check_rows(table, schema)


DETAILS = Schema(
    (
        Attribute("details", "set", ("attributes_json",), separator="json"),
        Attribute("weight", "continuous", ("weight",)),
    ),
    target=Target("price"),
)


@pytest.mark.parametrize("need_target", [True, False])
def test_check_rows_rejects_cells_that_are_no_json(tmp_path, need_target):
    table = table_of(
        tmp_path,
        "attributes_json,weight,price",
        '"{""Fabric"": ""Cotton""}",1,2',
        ",1,2",
        "Cotton,1,2",
        '"[""white"", ""cotton""]",1,2',
        "3,1,2",
        "{'a': 1},heavy,2",
        '"{""a"": {""b"": 1}}",1,2',
        "[" * 50_000 + ",1,2",
        "[NaN],1,2",
        "[" + "9" * 5000 + "],1,2",
    )
    frame, rejections = tables.check_rows(table, DETAILS, need_target=need_target)
    assert frame.index.tolist() == [0, 1, 3]
    texts = ['{"Fabric": "Cotton"}', '["white", "cotton"]']
    assert frame["attributes_json"].dropna().tolist() == texts
    path, column = str(tmp_path / "rows.csv"), "attributes_json"
    assert [(r.file, r.line, r.column) for r in rejections] == [
        *((path, line, column) for line in (4, 6)),
        (path, 7, "weight"),  # the first fault of a row is told
        *((path, line, column) for line in (8, 9, 10, 11)),
    ]
    assert [r.reason for i, r in enumerate(rejections) if i != 2] == [
        "'Cotton' is not JSON: Expecting value (character 1)",
        "'3' is neither a JSON object {…} nor a JSON list […]",
        """'{"a": {"b": 1}}' nests objects or lists: give each entry a text or a number""",
        f"'{'[' * 37}…' is nested too deeply",
        "'[NaN]' holds NaN, Infinity or a number of too many digits",
        f"'[{'9' * 36}…' holds NaN, Infinity or a number of too many digits",
    ]


def test_json_sets_take_mappings_lists_and_texts():
    values = [{"a": 2.0, "b": [True]}, ["x", "y"], '["x|y"]', None, [], ["[1", "2"]]
    rows = [{"attributes_json": value, "weight": 1} for value in values]
    frame, rejections = tables.check_rows(
        tables.from_rows(rows), DETAILS, need_target=False
    )
    cells = frame["attributes_json"]
    assert cells.dropna().tolist() == [
        '{"a": "2", "b": ["true"]}',
        '["x", "y"]',
        '["x|y"]',
    ]
    assert cells.isna().tolist() == [False, False, False, True, True]
    assert [r.line for r in rejections] == [6]
    # Without lists in the column a bare text stays what it is: no JSON.
    rows = [{"attributes_json": value, "weight": 1} for value in ("x|y", {"a": 1})]
    _, rejections = tables.check_rows(
        tables.from_rows(rows), DETAILS, need_target=False
    )
    assert [r.line for r in rejections] == [1]


def test_json_sets_take_lists_of_parquet(tmp_path):
    columns = {"attributes_json": [["x", "y"], None, ["z"]], "weight": [1, 2, 3]}
    pq.write_table(pa.table({**columns, "price": [1, 2, 3]}), tmp_path / "t.parquet")
    table = tables.read_table(tmp_path / "t.parquet")
    assert table.lists == {"attributes_json"}
    chosen = tables.choose_rows(table, "weight=2|3")
    frame, rejections = tables.check_rows(chosen, DETAILS)
    assert rejections == []
    assert frame["attributes_json"].isna().tolist() == [True, False]
    assert frame["attributes_json"][1] == '["z"]'


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


def test_check_rows_takes_a_schema_without_target(tmp_path):
    table = table_of(tmp_path, "metal,price", "gold,free")
    schema = Schema((Attribute("metal", "categorical", ("metal",)),))
    frame, rejections = tables.check_rows(table, schema)
    assert (frame["metal"].tolist(), rejections) == (["gold"], [])


def test_check_rows_works_when_no_row_could_be_read(tmp_path):
    table = table_of(tmp_path, HEADER, "1,2")
    frame, rejections = tables.check_rows(table, SCHEMA)
    assert (len(frame), rejections, len(table.rejected)) == (0, [], 1)


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


CELLS = st.one_of(
    st.sampled_from(["", "1", "12.5", "$3", "1,234", "train", "2019-01-02", "-1", "é"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=10), min_size=1, max_size=8))
def test_every_row_is_accounted_for(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "garbage.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(HEADER.split(","))
        writer.writerows(rows)
    table = tables.read_table(path)
    frame, rejections = tables.check_rows(table, SCHEMA)
    assert len(table.frame) + len(table.rejected) == len(rows)
    assert len(frame) + len(rejections) == len(table.frame)
    assert (
        sorted(
            [*frame.index.map(lambda i: table.line[i])] + [r.line for r in rejections]
        )
        == table.line.tolist()
    )
    assert np.isfinite(frame["price"]).all() and (frame["price"] > 0).all()


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
