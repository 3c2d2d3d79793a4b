import csv
import dataclasses
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.tables import row_checks
from common.tables import table as tables
from common.tables.cells import parse_number
from common.tables.faults import check_rejected
from common.tables.prices import affix_pattern, parse_price
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


def test_check_rows_gives_types(tmp_path):
    table = table_of(tmp_path, HEADER, GOOD, '8,,B,,n/a,2,"$1,234.50",,dev')
    frame, rejections = row_checks.check_rows(table, SCHEMA)
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
        ("12.5", '"12,34.5"', "price", "'12,34.5' is not a number"),
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
    frame, rejections = row_checks.check_rows(table, SCHEMA)
    assert frame.index.tolist() == [0, 2]
    assert table.line[frame.index].tolist() == [2, 4]
    (rejection,) = rejections
    assert (rejection.file, rejection.line) == (str(tmp_path / "rows.csv"), 3)
    assert rejection.column == column
    assert rejection.reason.startswith(reason)


def test_rows_to_predict_need_inputs_only(tmp_path):
    table = table_of(tmp_path, "id,photo,metal,carat,inch,price", "1,a.jpg,x,1,2,free")
    frame, rejections = row_checks.check_rows(table, SCHEMA, need_target=False)
    assert list(frame.columns) == ["id", "photo", "metal", "carat", "inch"]
    assert rejections == []
    with pytest.raises(UserError, match="no column 'title'"):
        row_checks.check_rows(table, SCHEMA)


def test_check_rows_names_the_missing_column_and_the_closest(tmp_path):
    table = table_of(tmp_path, "metals,price", "gold,1")
    schema = Schema(
        (Attribute("metal", "categorical", ("metal",)),), target=Target("price")
    )
    with pytest.raises(UserError, match=r"no column 'metal' \(did you mean 'metals'"):
        row_checks.check_rows(table, schema)


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
    frame, rejections = row_checks.check_rows(table, DETAILS, need_target=need_target)
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
    frame, rejections = row_checks.check_rows(
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
    _, rejections = row_checks.check_rows(
        tables.from_rows(rows), DETAILS, need_target=False
    )
    assert [r.line for r in rejections] == [1]


def test_json_sets_take_lists_of_parquet(tmp_path):
    columns = {"attributes_json": [["x", "y"], None, ["z"]], "weight": [1, 2, 3]}
    pq.write_table(pa.table({**columns, "price": [1, 2, 3]}), tmp_path / "t.parquet")
    table = tables.read_table(tmp_path / "t.parquet")
    assert table.lists == {"attributes_json"}
    chosen = tables.choose_rows(table, "weight=2|3")
    frame, rejections = row_checks.check_rows(chosen, DETAILS)
    assert rejections == []
    assert frame["attributes_json"].isna().tolist() == [True, False]
    assert frame["attributes_json"][1] == '["z"]'


def test_check_rows_takes_a_schema_without_target(tmp_path):
    table = table_of(tmp_path, "metal,price", "gold,free")
    schema = Schema((Attribute("metal", "categorical", ("metal",)),))
    frame, rejections = row_checks.check_rows(table, schema)
    assert (frame["metal"].tolist(), rejections) == (["gold"], [])


def test_check_rows_works_when_no_row_could_be_read(tmp_path):
    table = table_of(tmp_path, HEADER, "1,2")
    frame, rejections = row_checks.check_rows(table, SCHEMA)
    assert (len(frame), rejections, len(table.rejected)) == (0, [], 1)


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
    # By a mark that is set, no column is refused as a whole.
    metal, stone = SCHEMA.attributes
    stone = dataclasses.replace(stone, decimal=".")
    target = dataclasses.replace(SCHEMA.target, decimal=".")
    schema = dataclasses.replace(SCHEMA, attributes=(metal, stone), target=target)
    frame, rejections = row_checks.check_rows(table, schema)
    assert len(table.frame) + len(table.rejected) == len(rows)
    assert len(frame) + len(rejections) == len(table.frame)
    assert (
        sorted(
            [*frame.index.map(lambda i: table.line[i])] + [r.line for r in rejections]
        )
        == table.line.tolist()
    )
    assert np.isfinite(frame["price"]).all() and (frame["price"] > 0).all()


PRICED = Schema((), target=Target("price"))


@pytest.mark.parametrize(
    ("cells", "counts"),
    [
        (["$1", "€2", "$3", "4"], "2 in $, 1 in €"),
        (["1 USD", "2 EUR", "3 USD"], "2 in USD, 1 in EUR"),
        (["1 kr", "2 €", "3 kr", "4.50"], "2 in KR, 1 in €"),
        (["1.234,50 €", "$1,234.50", "2 €"], "2 in €, 1 in $"),
    ],
)
def test_mixed_currencies_are_refused_with_their_counts(cells, counts):
    table = tables.from_rows([{"price": cell} for cell in cells], "t.csv")
    with pytest.raises(UserError) as told:
        row_checks.check_rows(table, PRICED)
    text = (
        f"t.csv: column 'price' mixes currencies ({counts}): choose one as target.curr"
    )
    assert str(told.value).startswith(text)


@pytest.mark.parametrize("cells", [["$1", "2 USD"], ["$1", "CAD 2"], ["€1", "2 EUR"]])
def test_signs_and_codes_of_one_currency_are_no_mixture(cells):
    table = tables.from_rows([{"price": cell} for cell in cells])
    _, rejected = row_checks.check_rows(table, PRICED)
    assert all("of no currency" in rejection.reason for rejection in rejected)


def test_a_column_of_currencies_chooses_rows():
    rows = [("1.031", "EUR"), ("948,00 €", "€"), ("1,234.50", "USD"), ("7", None)]
    table = tables.from_rows([{"price": p, "currency": c} for p, c in rows], "t.csv")
    columned = Schema((), target=Target("price", currency_column="currency"))
    with pytest.raises(UserError, match=r"several currencies \(2 in EUR, 1 in USD\)"):
        row_checks.check_rows(table, columned)
    target = Target("price", "EUR", "currency")
    frame, rejected = row_checks.check_rows(table, Schema((), target=target))
    assert frame["price"].tolist() == [1031, 948]
    assert [(r.line, r.column, r.reason) for r in rejected] == [
        (3, "currency", "left out: in USD, not EUR"),
        (4, "currency", "an empty cell, no currency"),
    ]
    assert not check_rejected(rejected[:1], len(frame), 0.0)


def test_attributes_that_rows_in_python_lack_are_named_in_one_line():
    rows = [{"id": 1, "photo": "a.jpg", "metall": "x", "inch": 1, "carats": 2}]
    rows += [{"id": 2, "photo": "b.jpg", "inch": 1, "carat": 3}]
    table, note = row_checks.add_missing_columns(tables.from_rows(rows), SCHEMA)
    assert note == (
        "rows: no 'metal' (did you mean 'metall'?): missing in all rows; 'carats' is not"
        " read, in 1 rows (did you mean 'carat'?)"
    )
    frame, rejected = row_checks.check_rows(table, SCHEMA, need_target=False)
    assert rejected == [] and frame["metal"].isna().all()
    assert frame["carat"].isna().tolist() == [True, False]
    whole, note = row_checks.add_missing_columns(
        tables.from_rows([{"metal": "x", "carat": 1, "inch": 2, "metals": "y"}]), SCHEMA
    )
    assert note == "" and "metals" in whole.frame


PRICE_CELL = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "$", "US $", "€ ", "USD", "-", "A$"]),
    st.from_regex(r"[0-9]{1,4}([.,' ][0-9]{1,3}){0,3}", fullmatch=True),
    st.sampled_from(["", " USD", "$", " kr", ",-", "k", " €", "e3"]),
)


@settings(max_examples=60)
@given(
    st.lists(PRICE_CELL, min_size=1, max_size=8),
    st.sampled_from([".", ","]),
    st.sampled_from(["USD", "EUR", ""]),
)
def test_columns_are_read_as_their_cells_are(cells, decimal, currency):
    """The way without a loop gives the numbers, and the faults, of one by one."""
    table = tables.from_rows([{"price": cell} for cell in cells])
    affix = affix_pattern(currency) if currency else ""

    def parse(text: str, mark: str) -> float:
        return parse_price(text, currency, mark)

    for read, options in ((parse, {"affix": affix}), (parse_number, {})):
        found, wrong = row_checks.read_numbers(table, "price", decimal, read, **options)
        for row, cell in enumerate(table.frame["price"]):
            try:
                expected = read(cell, decimal)
            except ValueError as error:
                assert np.isnan(found[row]) and wrong[row] == str(error)
            else:
                assert found[row] == expected and row not in wrong
