import csv
import dataclasses
import pathlib

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from recsys.corpus.interaction_files import assemble, read_interactions
from recsys.corpus.item_files import read_items
from recsys.corpus.recbole import import_atomic

INTER = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "u2\ti1\t5\t1500000000\n"
    "u1\ti3\t3.5\t1500000000.25\n"
    '"u1\ti1\t4.0\t86400\n'  # a quote is a character like others
)
ITEM = (
    "item_id:token\tcategories:token_seq\ttitle:token_seq\tbrand:token\tprice:float\n"
    'i1\tMen Shoes Boots\tA "good" boot\tX\t1.5\n'
    'i2\tMen Hats\t"Best" hat\tY\t2\n'
    "i3\tMen Shoes Boots\tnan\tX\tnan\n"
)


def put(tmp_path, inter=INTER, item=ITEM, folder="shop"):
    base = tmp_path / folder
    base.mkdir(exist_ok=True)
    (base / "shop.inter").write_bytes(inter.encode())
    (base / "shop.item").write_bytes(item.encode())
    return base / "shop"


@dataclasses.dataclass
class Imported:
    """What was written, and the line of counts."""

    counts: str
    folder: pathlib.Path

    @property
    def interactions(self):
        return self.folder / "interactions.parquet"

    @property
    def items(self):
        return self.folder / "items.parquet"

    @property
    def category(self):
        return [name for name in pd.read_parquet(self.items) if "level" in name]


def run_import(source, folder, *args, **named):
    return Imported(import_atomic(source, folder, *args, **named), folder)


def rejected(done):
    with open(done.folder / "rejected.csv", newline="", encoding="utf-8") as lines:
        head, *rows = csv.reader(lines)
    assert head == ["file", "line", "column", "reason"]
    return [(row[0].rsplit(".")[-1], int(row[1]), *row[2:]) for row in rows]


def test_written_out(tmp_path):
    base, folder = put(tmp_path), tmp_path / "a" / "b"
    done = run_import(base, folder)
    taken = pd.read_parquet(done.interactions)
    assert list(taken) == ["user", "item", "time", "rating"]
    assert taken.rating.tolist() == [5.0, 3.5, 4.0]
    assert taken.user.tolist() == ["u2", "u1", '"u1']
    assert taken.item.tolist() == ["i1", "i3", "i1"]
    moments = ["2017-07-14 02:40", "2017-07-14 02:40:00.25", "1970-01-02"]
    assert taken.time.tolist() == [pd.Timestamp(moment) for moment in moments]
    items = pd.read_parquet(done.items)
    levels = ["level1", "level2", "level3"]
    assert list(items) == ["item", *levels, "features_row", "title", "brand", "price"]
    assert items.title.tolist()[:2] == ['A "good" boot', '"Best" hat']
    assert items.title.isna().tolist() == [False, False, True]
    assert items.brand.tolist() == ["X", "Y", "X"]
    np.testing.assert_array_equal(items.price, [1.5, 2.0, np.nan])
    assert items.item.tolist() == ["i1", "i2", "i3"]
    assert items.level2.tolist() == ["Shoes", "Hats", "Shoes"]
    assert items.level3.isna().tolist() == [False, True, False]
    assert items.features_row.tolist() == [0, 1, 2]
    assert rejected(done) == []
    assert done.counts == (
        f"{folder}: 3 interactions (0 rejected), 3 items (0 rejected)"
    )
    assert sorted(path.name for path in folder.iterdir()) == [
        "interactions.parquet",
        "items.parquet",
        "rejected.csv",
    ]


def test_further_fields_stay_with_their_rows(tmp_path):
    """Beside rows that are rejected or left out, under names that are taken already."""
    inter = (
        "user_id:token\titem_id:token\trating:float\ttime:token\tcount:float\n"
        "u1\ti1\t1\tlow\t1\n"
        "u2\ti1\t5\tmorning\t2\n"
        "\ti1\t5\tnobody\t3\n"
        "u3\ti2\t4\tnight\t4\n"
        "u3\ti2\t4\tnight\n"
    )
    item = (
        "level1:token\titem_id:token\tcategories:token_seq\tprice:float\tfolder:token\n"
        "one\ti1\tMen\t3\ta\n"
        "two\t\tMen\t4\tb\n"
        "three\ti2\tMen\tcheap\tc\n"
    )
    limits = {"rating_at_least": 4, "max_rejected_fraction": 0.5}
    done = run_import(put(tmp_path, inter, item), tmp_path / "out", **limits)
    taken = pd.read_parquet(done.interactions)
    assert taken.columns.tolist() == ["user", "item", "rating", "time", "count"]
    rows = taken.itertuples(index=False, name=None)
    assert [*rows] == [("u2", "i1", 5.0, "morning", 2.0), ("u3", "i2", 4.0, "night", 4)]
    items = pd.read_parquet(done.items)
    assert items.level1.tolist() == ["Men", "Men"]
    assert items.level1_field.tolist() == ["one", "three"]
    # A column with one cell that is no number stays what it was.
    assert items.price.tolist() == ["3", "cheap"]
    assert items.folder.tolist() == ["a", "c"]


def test_what_is_written_is_read(tmp_path):
    done = run_import(put(tmp_path), tmp_path / "out")
    result = assemble(
        read_interactions(done.interactions, time="time"),
        read_items(done.items, category=done.category, features_row="features_row"),
        "repeat",
    )
    assert result.user_ids.tolist() == ['"u1', "u1", "u2"]
    assert result.interactions.users.tolist() == [2, 1, 0]
    assert result.interactions.items.tolist() == [0, 2, 0]
    assert result.interactions.times.tolist() == [1.5e9, 1500000000.25, 86400]
    assert result.tree.leaves == (("Men", "Hats", "Hats"), ("Men", "Shoes", "Boots"))
    assert result.leaf_of_item.tolist() == [1, 0, 1]
    assert result.feature_rows.tolist() == [0, 1, 2]


@pytest.mark.parametrize("ending", ["", ".inter", ".item", ".user", "folder"])
def test_all_names_of_the_files(tmp_path, ending):
    base = put(tmp_path)
    source = base.parent if ending == "folder" else f"{base}{ending}"
    assert "3 interactions (" in import_atomic(source, tmp_path / "out")


def test_a_name_with_a_dot(tmp_path):
    base = put(tmp_path)
    for kind in ("inter", "item"):
        (base.parent / f"shop.{kind}").rename(base.parent / f"shop.v2.{kind}")
    done = run_import(base.parent / "shop.v2", tmp_path / "out")
    assert "3 items (" in done.counts


def test_broken_rows_are_told_by_their_lines(tmp_path):
    inter = (
        "\ufeff"
        + INTER.replace("\n", "\r\n")
        + (
            "u3\ti1\t4\r\n"  # line 5
            "\r\n"
            "\ti1\t4\t5\r\n"
            "u3\tnan\t4\t5\r\n"
            "u3\ti1\t4\tsoon\r\n"
            "u3\ti1\t4\tnan\r\n"
            "u3\ti1\t4\t20190131.0\r\n"
            "u3\ti1\t4\t5\t6\r\n"
        )
    )
    item = ITEM + (
        "i4\tnan\tt\tX\t1\n"  # line 5
        "i1\tMen Shoes Boots\tt\tX\t1\n"
        "i2\tMen\tt\tX\t1\n"
        "i5\n"
        "i6\t  Men   Shoes Boots \tt\tX\t1\n"
    )
    done = run_import(
        put(tmp_path, inter, item), tmp_path / "out", max_rejected_fraction=0.6
    )
    empty = "an empty cell where an id must stand"
    assert rejected(done) == [
        ("inter", 5, "", "has 3 fields, the header 4"),
        ("inter", 7, "user_id", empty),
        ("inter", 8, "item_id", empty),
        (
            "inter",
            9,
            "timestamp",
            "'soon' is no date such as 2019-01-31 or 2019-01-31T12:00",
        ),
        ("inter", 10, "timestamp", "an empty cell where a time must stand"),
        ("inter", 12, "", "has 5 fields, the header 4"),
        ("item", 5, "categories", "no category"),
        ("item", 6, "item_id", "the item stands in line 2 already"),
        (
            "item",
            7,
            "item_id",
            "the item stands in line 3 already, in 'Men > Hats' and not in 'Men'",
        ),
        ("item", 8, "", "has 1 fields, the header 5"),
    ]
    assert done.counts == (
        f"{tmp_path / 'out'}: 4 interactions (6 rejected), 4 items (4 rejected)"
    )
    items = read_items(done.items, category=done.category, features_row="features_row")
    assert items.ids.tolist() == ["i1", "i2", "i3", "i6"]
    assert items.categories[3] == ("Men", "Shoes", "Boots")
    assert items.feature_rows.tolist() == [0, 1, 2, 7]
    # A number of seconds that reads like a date is none.
    taken = read_interactions(done.interactions, time="time")
    assert taken.times.tolist() == [1.5e9, 1500000000.25, 86400, 20190131]
    with pytest.raises(
        UserError, match=r"shop\.inter: 6 of 10 .* the first is line 5: has 3 fields"
    ):
        import_atomic(put(tmp_path, inter, item), tmp_path / "strict")
    assert not (tmp_path / "strict" / "interactions.parquet").exists()
    assert len(pd.read_csv(tmp_path / "strict" / "rejected.csv")) == 10


def test_low_ratings_are_left_out(tmp_path):
    inter = INTER + "u3\ti1\tgood\t5\nu3\ti2\t\t5\nu3\ti3\t4\tx\nu3\ti3\t3.9\tx\n"
    base = put(tmp_path, inter)
    done = run_import(
        base, tmp_path / "out", rating_at_least=4, max_rejected_fraction=0.7
    )
    taken = pd.read_parquet(done.interactions)
    assert taken.user.tolist() == ["u2", '"u1']
    # Two below 4; of the second the time is not looked at.
    assert [row[:3] for row in rejected(done)] == [
        ("inter", 5, "rating"),
        ("inter", 6, "rating"),
        ("inter", 7, "timestamp"),
    ]
    assert "2 interactions (3 rejected, 2 of low rating left out)" in done.counts
    with pytest.raises(UserError, match=r"shop\.inter: no rating is 6 or more: lower"):
        import_atomic(put(tmp_path), tmp_path / "out", rating_at_least=6)


def test_fields_of_categories(tmp_path):
    base = put(tmp_path)
    for field, leaves in (
        ("brand", [("X",), ("Y",), ("X",)]),
        ("categories", [("Men Shoes Boots",), ("Men Hats",), ("Men Shoes Boots",)]),
    ):
        done = run_import(base, tmp_path / "out", field, separator="")
        assert done.category == ["level1"]
        items = read_items(done.items, category=done.category)
        assert items.categories == leaves
    item = "item_id:token\tclass:token_seq\ni1\tFood, Hot Drinks, , Tea\n"
    done = run_import(
        put(tmp_path, item=item), tmp_path / "out", "class", separator=", "
    )
    items = read_items(done.items, category=done.category)
    assert items.categories == [("Food", "Hot Drinks", "Tea")]


def test_without_times_and_other_fields(tmp_path):
    inter = "item_id:token\tuser_id:token\ni1\tu1\n"
    done = run_import(put(tmp_path, inter), tmp_path / "out")
    taken = pd.read_parquet(done.interactions)
    assert taken.to_dict("list") == {"user": ["u1"], "item": ["i1"]}


def test_many_rows_against_a_loop(tmp_path):
    rng = np.random.default_rng(2)
    rows = [
        (f"u{u}", f"i{i}", str(r), str(t))
        for u, i, r, t in zip(*rng.integers(1, 6, (3, 50)), range(50), strict=True)
    ]
    text = INTER.splitlines()[0] + "\n" + "\n".join("\t".join(row) for row in rows)
    done = run_import(put(tmp_path, text), tmp_path / "out", rating_at_least=3)
    taken = read_interactions(done.interactions, time="time")
    kept = [row for row in rows if int(row[2]) >= 3]
    found = zip(taken.users, taken.items, taken.times, strict=True)
    assert list(found) == [(u, i, float(t)) for u, i, _, t in kept]
    assert f"{50 - len(kept)} of low rating" in done.counts


def test_lines_of_any_end_and_length(tmp_path):
    """More than the reader takes at a time; a lone \\r ends a line as well."""
    title = "t" * 2**21
    item = f"item_id:token\tc:token\ttitle:token_seq\n\ni1\ta\t{title}\ri2\ta\r\r\n"
    item += f"i3\tb\t{title}\r\ni4\tb\t"
    done = run_import(
        put(tmp_path, item=item), tmp_path / "out", "c", max_rejected_fraction=0.5
    )
    assert rejected(done) == [("item", 4, "", "has 2 fields, the header 3")]
    items = read_items(done.items, category=done.category, features_row="features_row")
    assert items.ids.tolist() == ["i1", "i3", "i4"]
    assert items.feature_rows.tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("inter", "item", "named", "message"),
    [
        (
            "user_id\titem_id\nu\ti\n",
            ITEM,
            {},
            r"inter: 'user_id' in the header has no",
        ),
        ("user_id:token,item_id:token\n", ITEM, {}, r"inter: .*no field user_id:token"),
        ("user_id:str\n", ITEM, {}, r"inter: 'user_id:str' in .* name:type"),
        (INTER, ITEM.replace("brand:token", ":token"), {}, r"item: ':token' in the"),
        ("a:token\ta:token\n", ITEM, {}, "names 'a' twice"),
        ("user_id:token\n", ITEM, {}, r"no field item_id:token; there are user_id:tok"),
        (
            INTER.replace("timestamp:float", "timestamp:token"),
            ITEM,
            {},
            "no field timestamp:float; there are user_id:token, .* timestamp:token",
        ),
        (
            INTER.replace("rating:", "stars:"),
            ITEM,
            {"rating_at_least": 3},
            "no field rating:float; there are .* stars:float",
        ),
        (
            INTER,
            ITEM.replace("categories:", "class:"),
            {},
            r"item: no field 'categories' .* one of its fields \('class', 'title', 'b",
        ),
        (INTER, ITEM, {"category_field": "price"}, "no field 'price' of tokens"),
        (INTER, ITEM, {"category_field": "item_id"}, "no field 'item_id' of tokens"),
        (INTER, "item_id:token\n", {}, r"\(none there\)"),
        (INTER.splitlines()[0], ITEM, {}, "inter: a header and no rows"),
        ("", ITEM, {}, "inter: the file is empty"),
        (INTER, "item_id:token\tcategories:token\ni\t\n", {}, "1 of 1 .* none is left"),
    ],
)
def test_what_is_refused(tmp_path, inter, item, named, message):
    with pytest.raises(UserError, match=message) as caught:
        import_atomic(put(tmp_path, inter, item), tmp_path / "out", **named)
    text = str(caught.value)
    assert text.startswith(str(tmp_path / "shop" / "shop.")) and "\n" not in text
    assert not (tmp_path / "out" / "items.parquet").exists()


def test_files_that_are_missing_or_can_not_be_written(tmp_path):
    base = put(tmp_path)
    with pytest.raises(UserError, match=r"other\.inter: can't read the table: No such"):
        import_atomic(tmp_path / "other", tmp_path / "out")
    with pytest.raises(UserError, match=r"shop\.item: can't be made"):
        import_atomic(base, f"{base}.item")
    (tmp_path / "out" / "items.parquet" / "x").mkdir(parents=True)
    with pytest.raises(UserError, match=r"items\.parquet: can't be written"):
        import_atomic(base, tmp_path / "out")
    (base.parent / "shop.item").unlink()
    with pytest.raises(UserError, match=r"shop\.item: can't read the table: No such"):
        import_atomic(base, tmp_path / "out")


def test_ids_and_categories_are_their_digits(tmp_path):
    inter = "user_id:token\titem_id:token\n7.0\t5000\n7\t1.5e+3\n"
    item = "item_id:token\tcategories:token_seq\n5000.0\t1.0 2\n1500\t1 2.0\n"
    done = run_import(put(tmp_path, inter, item), tmp_path / "out")
    assert rejected(done) == []
    assert pd.read_parquet(done.interactions)["user"].tolist() == ["7", "7"]
    assert pd.read_parquet(done.interactions)["item"].tolist() == ["5000", "1500"]
    items = pd.read_parquet(done.items)
    assert items["item"].tolist() == ["5000", "1500"]
    assert items[["level1", "level2"]].to_numpy().tolist() == [["1", "2"]] * 2
