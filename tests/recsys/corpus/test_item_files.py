import gzip

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from common.errors import UserError
from common.tables.table import from_rows
from recsys.corpus.item_files import read_items, reject_collisions
from recsys.corpus.tree import CategoryTree

HEADER = "item,level1,level2,level3\n"


def put(tmp_path, text, name="items.csv"):
    path = tmp_path / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def told(table):
    return [(r.line, r.column, r.reason) for r in table.rejected]


def test_columns_written_out(tmp_path):
    text = (
        "\ufeffprice,item,top,\u00e9tage\n1,b,Men,Shoes\n\n2,a,Men,\n3,c, Art ,Shoes\n"
    )
    for name in ("items.csv", "items.csv.gz"):
        path = put(tmp_path, text, name)
        items = read_items(path, category=("top", "\u00e9tage"))
        assert items.path == str(path)
        assert items.ids.tolist() == ["b", "a", "c"]
        assert items.categories == [("Men", "Shoes"), ("Men",), ("Art", "Shoes")]
        assert items.feature_rows.tolist() == [0, 1, 2]
        assert items.line.tolist() == [2, 4, 5]
        assert items.rejected == []


def test_parquet_written_out(tmp_path):
    frame = pd.DataFrame(
        {
            "id": [3, 1, 2],
            "a": ["x", "x", "y"],
            "b": ["p", None, "q"],
            "c": ["", None, "r"],
            "at": [2.0, 0.0, 7.0],
        }
    )
    frame.to_parquet(tmp_path / "items.parquet")
    items = read_items(tmp_path / "items.parquet", "id", list("abc"), "at")
    assert items.ids.tolist() == ["3", "1", "2"]
    assert items.categories == [("x", "p"), ("x",), ("y", "q", "r")]
    assert items.feature_rows.tolist() == [2, 0, 7]
    assert items.line.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("separator", "cell", "path"),
    [
        (">", "Women > Shoes", ("Women", "Shoes")),
        (">", " Women>Shoes > ", ("Women", "Shoes")),
        (">", "Women", ("Women",)),
        ("|", "Women > Shoes|Boots", ("Women > Shoes", "Boots")),
        ("", "Women > Shoes", ("Women > Shoes",)),
    ],
)
def test_one_column_of_paths(tmp_path, separator, cell, path):
    file = put(tmp_path, f"item,c\na,{cell}\n")
    for category in ("c", ["c"]):
        items = read_items(file, category=category, separator=separator)
        assert items.categories == [path]


def test_quoted_cells_keep_their_commas_and_newlines(tmp_path):
    text = 'item,c\n"a,1","Men, all > ""Best"""\n"b\n2",Men > Hats\nc,Men > Hats\n'
    items = read_items(put(tmp_path, text), category="c")
    assert items.ids.tolist() == ["a,1", "b\n2", "c"]
    assert items.categories[0] == ("Men, all", '"Best"')
    assert items.line.tolist() == [2, 3, 5]


def test_broken_rows_are_told_by_their_lines(tmp_path):
    rows = [
        "a,x,y,z",  # line 2
        ",x,y,z",
        "b,,,",
        "c,x,,z",
        "d,,y,",
        "e,x",
        "f,x,y,",
        f"{'g' * 257},x,y,z",
        'h,"x,y,z',
        "i,x,y,z",
    ]
    items = read_items(put(tmp_path, HEADER + "\n".join(rows)))
    assert told(items) == [
        (3, "item", "an empty cell where an id must stand"),
        (4, "level1", "no category"),
        (5, "level2", "no category at level 2, but 'z' below it"),
        (6, "level1", "no category at level 1, but 'y' below it"),
        (7, "", "has 2 fields, the header 4"),
        (9, "item", "an id of more than 256 characters"),
        (10, "", items.rejected[-1].reason),
    ]
    assert "can't be parted into fields" in items.rejected[-1].reason
    assert {rejection.file for rejection in items.rejected} == {items.path}
    assert items.ids.tolist() == ["a", "f", "i"]
    # The array of features has a row for each row of the table, good or not.
    assert items.feature_rows.tolist() == [0, 6, 9]
    assert items.line.tolist() == [2, 8, 11]


def test_a_gap_in_one_column(tmp_path):
    text = "item,c\na,x > > z\nb,> x\nc,>\nd,x\n"
    items = read_items(put(tmp_path, text), category="c")
    assert told(items) == [
        (2, "c", "no category at level 2, but 'z' below it"),
        (3, "c", "no category at level 1, but 'x' below it"),
        (4, "c", "no category"),
    ]


def test_the_first_good_row_of_an_item_is_kept(tmp_path):
    rows = ["a,,,", "a,x,y,", "b,x,y,z", "a,x,y,", "a,x,z,", "b,x,y,z", "a,x,y,"]
    items = read_items(put(tmp_path, HEADER + "\n".join(rows)))
    assert items.ids.tolist() == ["a", "b"]
    assert items.categories == [("x", "y"), ("x", "y", "z")]
    assert items.feature_rows.tolist() == [1, 2]
    assert told(items) == [
        (2, "level1", "no category"),
        (5, "item", "the item stands in line 3 already"),
        (
            6,
            "item",
            "the item stands in line 3 already, in 'x > y' and not in 'x > z'",
        ),
        (7, "item", "the item stands in line 4 already"),
        (8, "item", "the item stands in line 3 already"),
    ]


def test_the_column_of_the_rows_of_features(tmp_path):
    cells = ["5", "0", "", "-1", "1.5", "x", "6", "3.0", "1e3"]
    text = "item,c,at\n" + "".join(f"i{n},x,{at}\n" for n, at in enumerate(cells))
    items = read_items(put(tmp_path, text), category="c", features_row="at")
    assert items.ids.tolist() == ["i0", "i1", "i6", "i7"]
    assert items.feature_rows.tolist() == [5, 0, 6, 3]
    assert told(items)[:2] == [
        (4, "at", "an empty cell is no row of the features"),
        (5, "at", "'-1' is no row of the features"),
    ]
    items = read_items(
        put(tmp_path, text), category="c", features_row="at", feature_count=6
    )
    assert items.feature_rows.tolist() == [5, 0, 3]
    assert (8, "at", "there is no row 6 of 6 features") in told(items)


def test_an_array_of_another_length_does_not_belong_to_the_table(tmp_path):
    path = put(tmp_path, HEADER + "a,x,y,z\nb,x\na,x,y,z\n")
    assert read_items(path, feature_count=3).feature_rows.tolist() == [0]
    for count in (1, 2, 4):
        with pytest.raises(
            UserError, match=rf"items\.csv: 3 rows for {count} rows of features: .*row"
        ):
            read_items(path, feature_count=count)


def test_many_items_against_a_loop():
    rng = np.random.default_rng(3)
    names = np.array(["", "a", "b", "c"])
    cells = names[rng.integers(0, 4, (500, 3))]
    ids = rng.integers(0, 400, 500)
    rows = [
        {"item": str(i), "level1": x, "level2": y, "level3": z}
        for i, (x, y, z) in zip(ids, cells.tolist(), strict=True)
    ]
    items = read_items(from_rows(rows))
    expected = {}
    for place, row in enumerate(rows):
        text = "/".join([row["level1"], row["level2"], row["level3"]]).rstrip("/")
        path = tuple(text.split("/"))
        if "" not in path and row["item"] not in expected:
            expected[row["item"]] = (path, place)
    assert items.ids.tolist() == list(expected)
    assert list(
        zip(items.categories, items.feature_rows.tolist(), strict=True)
    ) == list(expected.values())
    lines = sorted([*items.line.tolist(), *(r.line for r in items.rejected)])
    assert lines == list(range(1, 501))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"item": "itm"}, r"no column 'itm' \(did you mean 'item'\?\): name one of 'i"),
        ({"category": ("level1", "level4")}, "no column 'level4'"),
        ({"features_row": "at"}, "no column 'at'.*name one of 'item', 'level1'"),
        ({"category": ()}, "no column of categories: name one"),
    ],
)
def test_what_is_refused(tmp_path, named, message):
    path = put(tmp_path, HEADER + "a,x,y,z\n")
    with pytest.raises(UserError, match=message) as caught:
        read_items(path, **named)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_ids_that_no_array_of_texts_keeps():
    rows = [{"item": text, "c": "x"} for text in ("a", "a\0", "\0")]
    items = read_items(from_rows(rows), category="c")
    assert items.ids.tolist() == ["a"]
    assert told(items) == [
        (2, "item", "an id with a NUL character"),
        (3, "item", "an id with a NUL character"),
    ]


def test_items_whose_repeated_category_is_another_one(tmp_path):
    paths = ["A > B", "A", "B", "B > B > C", "C", "B > D", "A > B > B", "B", "E > E"]
    rows = [{"item": f"i{n}", "c": path} for n, path in enumerate(paths)]
    rows.insert(2, {"item": "", "c": "A"})
    items = reject_collisions(read_items(from_rows(rows), category="c"))
    assert told(items) == [
        (1, "", "'A > B', repeated, runs into the category 'A > B > B'"),
        (3, "item", "an empty cell where an id must stand"),
        (4, "", "'B', repeated, runs into the category 'B > B'"),
        (9, "", "'B', repeated, runs into the category 'B > B'"),
    ]
    assert items.ids.tolist() == ["i1", "i3", "i4", "i5", "i6", "i8"]
    assert items.feature_rows.tolist() == [1, 4, 5, 6, 7, 9]
    assert items.line.tolist() == [2, 5, 6, 7, 8, 10]
    CategoryTree.from_paths(items.categories, uneven="repeat")


NODES = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(tuple)


@hypothesis.settings(deadline=None)
@hypothesis.given(st.lists(NODES, min_size=1, max_size=8))
def test_only_what_the_tree_would_refuse_is_rejected(paths):
    rows = [{"item": f"i{n}", "c": ">".join(path)} for n, path in enumerate(paths)]
    items = reject_collisions(read_items(from_rows(rows), category="c"))
    CategoryTree.from_paths(items.categories, uneven="repeat")
    for rejection in items.rejected:
        path = paths[rejection.line - 1]
        with pytest.raises(UserError, match="runs into"):
            CategoryTree.from_paths([*items.categories, path], uneven="repeat")
