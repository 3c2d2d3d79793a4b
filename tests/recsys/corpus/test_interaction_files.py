import csv
import gzip
import pathlib

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from common.errors import UserError
from common.tables.cells import parse_time
from common.tables.table import from_rows, read_table
from recsys.corpus.interaction_files import assemble, read_interactions
from recsys.corpus.item_files import read_items

REAL = pathlib.Path(__file__).parents[4] / "shared" / "data" / "complete_journey"


def put(tmp_path, text, name="taken.csv"):
    path = tmp_path / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def told(table):
    return [(r.line, r.column, r.reason) for r in table.rejected]


def test_csv_written_out(tmp_path):
    text = (
        "\ufeffwho;what;when\r\n"
        "007;x;1970-01-02\r\n"
        '"a;b";"y ""1""";1970-01-01 00:01:00.5\r\n'
        "\r\n"
        '"new\nline";x;1500000000\r\n'
        " é ;1.0;1500000000000\r\n"
        "Z;x;1970-01-01T01:00+01:00\r\n"
    )
    for name in ("taken.csv", "taken.csv.gz"):
        table = read_interactions(put(tmp_path, text, name), "who", "what", "when")
        assert table.users.tolist() == ["007", "a;b", "new\nline", "é", "Z"]
        assert table.items.tolist() == ["x", 'y "1"', "x", "1", "x"]
        assert table.times.tolist() == [86400, 60.5, 1.5e9, 1.5e9, 0]
        assert table.times.dtype == np.float64
        assert table.line.tolist() == [2, 3, 5, 7, 8]
        assert (table.rejected, table.item_column) == ([], "what")
        assert table.path == str(tmp_path / name)


def test_parquet_written_out(tmp_path):
    moments = pd.to_datetime([1.25, None, 1e9], unit="s")
    frame = pd.DataFrame(
        {"user": [10, 9, 10], "item": [1.0, 2.0, 30000000.0], "time": moments}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_interactions(tmp_path / "t.parquet", time="time")
    assert table.users.tolist() == ["10", "10"]
    assert table.items.tolist() == ["1", "30000000"]
    assert table.times.tolist() == [1.25, 1e9]
    assert table.line.tolist() == [1, 3]
    assert told(table) == [(2, "time", "an empty cell where a time must stand")]
    assert read_interactions(tmp_path / "t.parquet").times is None


def test_weights_are_numbers_above_0(tmp_path):
    rows = ["a,x,2", "a,y,0.5", "b,x,", "b,y,0", "b,z,-1", "c,x,often", "c,y,1e3"]
    path = put(tmp_path, "\n".join(["user,item,count", *rows]))
    table = read_interactions(path, weight="count")
    assert table.weights.tolist() == [2.0, 0.5, 1000.0]
    assert table.items.tolist() == ["x", "y", "y"]
    assert [(line, column) for line, column, _ in told(table)] == [
        (line, "count") for line in (4, 5, 6, 7)
    ]
    reasons = [reason for *_, reason in told(table)]
    assert reasons[0] == "an empty cell where a weight must stand"
    assert reasons[1] == "'0': a weight is a number above 0"
    assert "'often'" in reasons[3]
    assert read_interactions(path).weights is None


def test_broken_rows_are_told_by_their_lines(tmp_path):
    rows = [
        "a,x,5,",  # line 2
        ",x,5,",
        "a,,5,",
        ",,,",
        "a,x,,",
        "a,x,soon,",
        "a,x,2001-02-30,",
        "a,x",
        "a,x,5,,6",
        '"a,x,5,',
        "a,x,nan,",
        f"{'u' * 257},x,5,",
        "b,x,7,",
        "b,x,1500000000000000,",
    ]
    path = put(tmp_path, "user,item,time,more\n" + "\n".join(rows))
    table = read_interactions(path, time="time")
    empty = "an empty cell where an id must stand"
    assert told(table) == [
        (3, "user", empty),
        (4, "item", empty),
        (5, "user", empty),
        (6, "time", "an empty cell where a time must stand"),
        (7, "time", "'soon' is no date such as 2019-01-31 or 2019-01-31T12:00"),
        (8, "time", "'2001-02-30' is no date such as 2019-01-31 or 2019-01-31T12:00"),
        (9, "", "has 2 fields, the header 4"),
        (10, "", "has 5 fields, the header 4"),
        (11, "", table.rejected[8].reason),
        (12, "time", "an empty cell where a time must stand"),
        (13, "user", "an id of more than 256 characters"),
        (15, "time", table.rejected[-1].reason),
    ]
    assert "can't be parted into fields" in table.rejected[8].reason
    assert "'1500000000000000' lies outside the years" in table.rejected[-1].reason
    assert table.line.tolist() == [2, 14]
    assert table.times.tolist() == [5, 7]
    # Without a column of times nothing is asked of it.
    assert read_interactions(path).line.tolist() == [2, 6, 7, 8, 12, 14, 15]


DAYS = st.datetimes(max_value=pd.Timestamp("9999-12-31").to_pydatetime())
TIMES = st.one_of(
    DAYS.map(str),
    DAYS.map(lambda day: day.isoformat(timespec="minutes")),
    DAYS.map(lambda day: day.isoformat("T", "milliseconds") + "+02:00"),
    DAYS.map(lambda day: str(day.date())),
    st.integers(-6 * 10**10, 10**13).map(str),
    st.floats(0, 1e12).map(lambda number: f"{number:.3f}"),
    st.sampled_from(["20190131", "20191331", "0000-01-01", "2001-02-29", "1e9", "99"]),
    st.sampled_from(["2019-01-31 24:00", "2019-01-31 12:60", "2019-1-1", "x", "1,5"]),
)


@hypothesis.settings(max_examples=50)
@hypothesis.given(st.lists(TIMES, min_size=1, max_size=20))
def test_times_against_one_by_one(texts):
    rows = [{"user": "u", "item": "i", "time": text} for text in texts]
    table = read_interactions(from_rows(rows), time="time")
    times, faults = [], []
    for line, text in enumerate(texts, start=1):
        try:
            times.append(parse_time(text))
        except ValueError as error:
            faults.append((line, "time", str(error)))
    assert table.times.tolist() == times
    assert told(table) == faults


ITEMS = "item,level1,level2\ni3,B,b\ni1,A,a\ni2,B,b\ni4,A,c\n"
TAKEN = (
    "user,item,time\nu10,i1,5\nu9,i9,6\nu10,i3,7\nU1,i3,8\n,i1,9\nu10,i1,1\né,i2,2\n"
)


def read_both(tmp_path, taken=TAKEN, items=ITEMS, category=("level1", "level2")):
    return (
        read_interactions(put(tmp_path, taken), time="time"),
        read_items(put(tmp_path, items, "items.csv"), category=category),
    )


def test_assembled_written_out(tmp_path):
    file = tmp_path / "rejected.csv"
    result = assemble(
        *read_both(tmp_path, items=ITEMS + "i5,,\n"),
        max_rejected_fraction=0.3,
        rejected_file=file,
    )
    assert result.item_ids.tolist() == ["i3", "i1", "i2", "i4"]
    assert result.user_ids.tolist() == ["U1", "u10", "é"]  # u9 has nothing left
    data = result.interactions
    assert data.users.tolist() == [1, 1, 0, 1, 2]
    assert data.items.tolist() == [1, 0, 0, 1, 2]
    assert data.times.tolist() == [5, 7, 8, 1, 2]
    assert result.tree.leaves == (("A", "a"), ("A", "c"), ("B", "b"))
    assert result.leaf_of_item.tolist() == [2, 0, 2, 1]
    assert result.feature_rows.tolist() == [0, 1, 2, 3]
    assert [result.item_ids.dtype.kind, result.user_ids.dtype.kind] == ["U", "U"]
    items, taken = str(tmp_path / "items.csv"), str(tmp_path / "taken.csv")
    with open(file, newline="", encoding="utf-8") as lines:
        assert list(csv.reader(lines)) == [
            ["file", "line", "column", "reason"],
            [items, "6", "level1", "no category"],
            [taken, "3", "item", f"unknown item 'i9': not among those of {items}"],
            [taken, "6", "user", "an empty cell where an id must stand"],
        ]
    assert [r.line for r in result.rejected] == [6, 3, 6]


def test_without_times(tmp_path):
    interactions, items = read_both(tmp_path)
    interactions = read_interactions(tmp_path / "taken.csv")
    assert assemble(
        interactions, items, max_rejected_fraction=1
    ).interactions.times is (None)


def test_too_many_rejected_rows(tmp_path):
    taken, items = read_both(tmp_path)
    assert len(assemble(taken, items, max_rejected_fraction=2 / 7).rejected) == 2
    file = tmp_path / "rejected.csv"
    with pytest.raises(
        UserError,
        match=r"taken\.csv: 2 of 7 rows can't be used, more than"
        r" max_rejected_fraction=0\.28; the first is line 3, column item: unknown item"
        r" 'i9': .*; all are listed in .*rejected\.csv$",
    ):
        assemble(taken, items, max_rejected_fraction=0.28, rejected_file=file)
    assert len(read_table(file).frame) == 2  # it is written before the stop
    with pytest.raises(UserError, match=r"max_rejected_fraction=0\.05"):
        assemble(taken, items)
    taken, items = read_both(tmp_path, items=ITEMS + "i5,,\ni6,x\n")
    with pytest.raises(
        UserError, match=r"items\.csv: 2 of 6 .* line 6, column level1: no category$"
    ):
        assemble(taken, items, max_rejected_fraction=0.3)
    taken, items = read_both(tmp_path, taken="user,item,time\nu,j,1\nu,k,2\n")
    with pytest.raises(UserError, match=r"2 of 2 rows can't be used, none is left"):
        assemble(taken, items, max_rejected_fraction=1)
    taken, items = read_both(tmp_path, items="item,level1,level2\ni1,x\n")
    with pytest.raises(UserError, match="1 of 1 .* none is left; the first is line 2:"):
        assemble(taken, items, max_rejected_fraction=1)
    with pytest.raises(UserError, match=r"taken\.csv/x: can't be written: Not a dir"):
        assemble(taken, items, rejected_file=tmp_path / "taken.csv" / "x")


def test_categories_of_unequal_depth(tmp_path):
    items = "item,level1,level2\ni1,A,a\n\ni2,B,\ni3,A,a\n"
    taken, table = read_both(tmp_path, items=items)
    with pytest.raises(UserError) as caught:
        assemble(taken, table, max_rejected_fraction=1)
    assert str(caught.value) == (
        f"{tmp_path}/items.csv, line 4: its category path ('B',) has 1 of the 2 levels"
        " that line 2 has: fill it up, or set uneven to 'repeat'"
    )
    result = assemble(taken, table, "repeat", max_rejected_fraction=1)
    assert result.tree.leaves == (("A", "a"), ("B", "B"))
    assert result.leaf_of_item.tolist() == [0, 1, 0]
    # A category of its own under the repeated one: no leaf could be told from it.
    taken, table = read_both(tmp_path, items=items + "i4,B,B\n")
    result = assemble(taken, table, "repeat", max_rejected_fraction=1)
    assert result.item_ids.tolist() == ["i1", "i3", "i4"]
    assert (result.rejected[0].line, result.rejected[0].column) == (4, "")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"user": "usr"}, r"no column 'usr' \(did you mean 'user'\?\): name one of 'u"),
        ({"item": "x"}, "no column 'x'"),
        ({"time": "tim"}, r"no column 'tim' \(did you mean 'time'\?\)"),
    ],
)
def test_columns_that_are_missing(tmp_path, named, message):
    path = put(tmp_path, TAKEN)
    with pytest.raises(UserError, match=message) as caught:
        read_interactions(path, **named)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_numbering_against_a_loop():
    rng = np.random.default_rng(5)
    pairs = rng.integers(0, 60, (2000, 2))
    rows = [{"user": f"u{u}", "item": str(i)} for u, i in pairs.tolist()]
    order = rng.permutation(60)[:40]
    items = [{"item": str(i), "level1": f"c{i % 7}"} for i in order]
    result = assemble(
        read_interactions(from_rows(rows)),
        read_items(from_rows(items), category="level1"),
        max_rejected_fraction=1,
    )
    kept = [(r["user"], r["item"]) for r in rows if int(r["item"]) in order]
    data = result.interactions
    found = [
        (result.user_ids[u], result.item_ids[i])
        for u, i in zip(data.users, data.items, strict=True)
    ]
    assert found == kept
    assert result.user_ids.tolist() == sorted({user for user, _ in kept})
    assert result.item_ids.tolist() == [str(i) for i in order]
    for item, leaf in zip(order, result.leaf_of_item, strict=True):
        assert result.tree.leaves[leaf] == (f"c{item % 7}",)
    lost = [n + 1 for n, row in enumerate(rows) if int(row["item"]) not in order]
    assert [rejection.line for rejection in result.rejected] == lost


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared data are not there")
def test_the_complete_journey():
    taken = read_interactions(
        REAL / "transactions_sample.csv.gz",
        "household_id",
        "product_id",
        "transaction_timestamp",
    )
    assert (len(taken.users), taken.rejected) == (75_000, [])
    assert (taken.users.nunique(), taken.items.nunique()) == (2_377, 20_902)
    year = [parse_time("2017-01-01"), parse_time("2018-01-02")]
    assert year[0] <= taken.times.min() < taken.times.max() < year[1]
    category = ("department", "product_category", "product_type")
    items = read_items(REAL / "products.csv.gz", "product_id", category)
    assert len(items.ids) + len(items.rejected) == 92_331
    # The second product has a department alone; line 3 of the table.
    assert items.categories[1] == ("MISCELLANEOUS",)
    assert {rejection.reason.split(",")[0] for rejection in items.rejected} == {
        "no category at level 2"
    }
    assert len(items.rejected) == 111
    result = assemble(taken, items, "repeat")
    # Two products end at a category that has another one of its name under it.
    collided = [r for r in result.rejected if "runs into" in r.reason]
    assert [r.line for r in collided] == [70_831, 80_728]
    assert collided[0].reason.startswith("'DRUG GM > COFFEE FILTERS', repeated")
    assert len(result.item_ids) == 92_331 - 111 - 2
    raw = pd.read_csv(REAL / "products.csv.gz", dtype=str)
    lines = [r.line for r in result.rejected if "products" in r.file]
    gone = set(raw.product_id.iloc[np.array(lines) - 2])
    assert len(gone) == 113 and gone.isdisjoint(result.item_ids)
    rows = pd.read_csv(REAL / "transactions_sample.csv.gz", dtype=str)
    # Products of 222 transactions are in no table at all.
    assert (~rows.product_id.isin(raw.product_id)).sum() == 222
    bad = ~rows.product_id.isin(set(raw.product_id) - gone).to_numpy()
    assert bad.sum() > 222
    lost = [r for r in result.rejected if "transactions" in r.file]
    assert [r.line for r in lost] == (np.flatnonzero(bad) + 2).tolist()
    assert all(r.reason.startswith("unknown item '") for r in lost)
    data, repeats = result.interactions.deduplicate()
    assert len(data) + repeats + len(lost) == 75_000
    lost_pairs = rows[["household_id", "product_id"]][bad].drop_duplicates()
    assert len(data) + len(lost_pairs) == 69_254


SPELLINGS = {
    "digits": lambda one: str(one),
    "floats": lambda one: f"{one}.0",
    "exponents": lambda one: f"{one:.15e}",
    "int64": np.int64,
    "float64": np.float64,
}


def write_as(path, columns, spelling):
    """A table whose whole numbers are spelt so: CSV for texts, else Parquet."""
    spelt = {name: list(map(spelling, cells)) for name, cells in columns.items()}
    frame = pd.DataFrame(spelt)
    if isinstance(spelling(1), str):
        frame.to_csv(path.with_suffix(".csv"), index=False)
        return path.with_suffix(".csv")
    frame.to_parquet(path.with_suffix(".parquet"), index=False)
    return path.with_suffix(".parquet")


@pytest.mark.parametrize("of_items", SPELLINGS)
@pytest.mark.parametrize("of_interactions", SPELLINGS)
def test_ids_are_the_same_however_two_files_spell_them(
    of_items, of_interactions, tmp_path
):
    items, users = [5000, 7, 1_234_567_890_123_454], [10, 9, 10]
    catalogue = write_as(
        tmp_path / "items", {"item": items, "level1": [42, 38, 42]}, SPELLINGS[of_items]
    )
    taken = write_as(
        tmp_path / "taken", {"user": users, "item": items}, SPELLINGS[of_interactions]
    )
    assembled = assemble(
        read_interactions(taken), read_items(catalogue, category="level1")
    )
    assert assembled.rejected == []
    assert assembled.user_ids.tolist() == ["10", "9"]
    assert assembled.item_ids.tolist() == list(map(str, items))
    assert assembled.tree.leaves == (("38",), ("42",))
    found = assembled.interactions
    assert found.users.tolist() == [0, 1, 0] and found.items.tolist() == [0, 1, 2]


def test_ids_that_lost_digits_are_refused_by_name(tmp_path):
    large = [2.0**53 + 2, 2.0**60]
    pd.DataFrame({"user": [1.0, *large], "item": [1.0, 2.0, 3.0]}).to_parquet(
        tmp_path / "t.parquet"
    )
    table = read_interactions(tmp_path / "t.parquet")
    assert table.users.tolist() == ["1"]
    assert [(line, column) for line, column, _ in told(table)] == [
        (2, "user"),
        (3, "user"),
    ]
    assert "is a float of 2^53 or more" in table.rejected[0].reason
    text = "item,level1\n1.5e+300,a\n007,a\n7.0,a\n7,a\n"
    items = read_items(put(tmp_path, text), category="level1")
    assert items.ids.tolist() == ["007", "7"]
    lost, again = [reason for _, _, reason in told(items)]
    assert lost == (
        "1.5e+300 is a float of 2^53 or more, whose last digits are lost: write ids as"
        " whole numbers or as text"
    )
    assert again == "the item stands in line 4 already"
