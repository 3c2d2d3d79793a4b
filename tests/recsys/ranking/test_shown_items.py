import re
import types

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from recsys.corpus.tree import CategoryTree
from recsys.ranking import shown_items

PATHS = [
    ("Women", "Shoes", "Boots, high"),
    ("Women", "Shoes", "Pumps"),
    ("Women", "Coats", "Long"),
    ("Men", "Shoes", "Boots, high"),
    ("Men", "a|b", "2024"),
    ("Toys",),
]
TREE, _ = CategoryTree.from_paths(PATHS, uneven="repeat")
# Items 0 to 7, by the path that each has; item 7 is in the first one's too.
OF_ITEM = [0, 1, 2, 3, 4, 5, 1, 0]
LEAVES = {path[:1] * 3 if len(path) == 1 else path: path for path in PATHS}
NUMBERS = {LEAVES[leaf]: number for number, leaf in enumerate(TREE.leaves)}
CATALOGUE = types.SimpleNamespace(
    tree=TREE, leaf_of_item=np.array([NUMBERS[PATHS[k]] for k in OF_ITEM])
)
IDS = pd.Index([f"i{number}" for number in range(8)])


@pytest.mark.parametrize(
    "category, items",
    [
        ("Women", [0, 1, 2, 6, 7]),
        ("Women > Shoes", [0, 1, 6, 7]),
        ("Women>Shoes", [0, 1, 6, 7]),
        ("  Women >  Shoes ", [0, 1, 6, 7]),
        ("Women > Shoes > Boots, high", [0, 7]),  # a comma is part of a name
        ("Toys", [5]),
        ("Toys > Toys > Toys", [5]),  # as tables of explain write it
        ("Men > a|b", [4]),  # of a whole name, not two
        ("Men > a|b > 2024.0", [4]),
        ("Toys | Women > Coats", [2, 5]),
        ("Women|Women > Shoes", [0, 1, 2, 6, 7]),
        (["Men > a|b", "Toys"], [4, 5]),
        (("Women > Shoes > Pumps",), [1, 6]),
    ],
)
def test_a_category_is_all_below_it(category, items):
    found = shown_items.find_category(CATALOGUE, category)
    assert found.tolist() == items and found.dtype == np.int32


@pytest.mark.parametrize(
    "category, told",
    [
        ("Woman > Shoes", "'Woman > Shoes'; did you mean 'Women > Shoes'"),
        ("women > shoes", "'women > shoes'; did you mean 'Women > Shoes'"),
        ("Shoes", "'Shoes'; did you mean 'Men > Shoes' or 'Women > Shoes'"),
        ("pumps", "'pumps'; did you mean 'Women > Shoes > Pumps'"),
        ("Toys | Womens", "'Womens'; did you mean 'Women'"),
        ("xyzzy", "'xyzzy'; at the top are 'Men', 'Toys', 'Women'"),
        (["Toys", "Coats, long"], "'Coats, long'; did you mean 'Women > Coats > Long'"),
        ("Toys |", "''; at the top are 'Men'"),
    ],
)
def test_no_such_category_lists_near_names(category, told):
    with pytest.raises(UserError, match=re.escape(f"there is no category {told}")):
        shown_items.find_category(CATALOGUE, category)


def test_a_category_without_items_is_told():
    empty = types.SimpleNamespace(tree=TREE, leaf_of_item=np.array([NUMBERS[PATHS[0]]]))
    with pytest.raises(UserError, match="'Toys': the catalogue has no item in it"):
        shown_items.find_category(empty, "Toys")


def test_items_and_category_are_what_is_in_both():
    choose = shown_items.choose
    shown, unknown = choose(CATALOGUE, IDS, ["i7", "i9", "i2", "i7", "i8"], None)
    assert shown.tolist() == [2, 7] and unknown == ["i9", "i8"]
    shown, unknown = choose(CATALOGUE, IDS, ["i7", "i2"], "Women > Shoes")
    assert shown.tolist() == [7] and unknown == []
    assert choose(CATALOGUE, IDS, None, None) == (None, [])
    assert choose(CATALOGUE, IDS, None, "Toys")[0].tolist() == [5]
    with pytest.raises(UserError, match="none of the items that may be shown is in 'T"):
        choose(CATALOGUE, IDS, ["i2"], "Toys")
    with pytest.raises(UserError, match="none of the 2 items that may be shown, such"):
        choose(CATALOGUE, IDS, ["x", "y"], None)
    with pytest.raises(UserError, match="none of the 0 items that may be shown is"):
        choose(CATALOGUE, IDS, [], None)
    with pytest.raises(UserError, match="items='i2' is one text"):
        choose(CATALOGUE, IDS, "i2", None)
