import re

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from recsys.corpus import requests


@pytest.mark.parametrize(
    "value, text",
    [
        ("u1", "u1"),
        (" u1 ", "u1"),
        ("007", "007"),
        ("17.0", "17"),
        ("1.5", "1.5"),
        (17, "17"),
        (np.int64(17), "17"),
        (17.0, "17"),
        (np.float32(17), "17"),
        (-3.0, "-3"),
        (2.0**53 - 1, "9007199254740991"),
        (10**20, "1" + 20 * "0"),
        (np.str_("Zoë"), "Zoë"),
    ],
)
def test_ids_are_read_as_in_tables(value, text):
    assert requests.read_ids([value], "users") == [text]
    assert requests.read_pairs([(value, "i1")], "new") == [(text, "i1")]


@pytest.mark.parametrize(
    "value, shown",
    [
        (None, "None"),
        (float("nan"), "nan"),
        (np.nan, "nan"),
        (pd.NA, "<NA>"),
        (pd.NaT, "NaT"),
        (float("inf"), "inf"),
        (1.5, "1.5"),
        (2.0**53, "9007199254740992.0"),
        ("1e+16", "'1e+16'"),
        (True, "True"),
        (np.bool_(False), "False"),
        ("", "''"),
        (" ", "' '"),
        (b"u1", "b'u1'"),
        (["u1", "u2"], "['u1', 'u2']"),
        ({"u1"}, "{'u1'}"),
        (3 + 0j, "(3+0j)"),
    ],
)
def test_what_is_no_id_is_told_with_its_place(value, shown):
    end = re.escape(f" is {shown}") + "|is np"
    with pytest.raises(UserError, match=r"users: entry 1 \(counted from 0\)") as told:
        requests.read_ids(["u0", value], "users")
    assert re.search(end, str(told.value)) and "\n" not in str(told.value)
    assert str(told.value).endswith("an id is text or a whole number")
    for pair, which in (((value, "i1"), "user"), (("u1", value), "item")):
        with pytest.raises(UserError, match=f"new: entry 0 .*, its {which} is"):
            requests.read_pairs([pair], "new")


@pytest.mark.parametrize(
    "values, found",
    [
        ("u1", "users='u1' is one text: give a list of ids"),
        (b"u1", "users=b'u1' is one text: give a list of ids"),
        (17, "users=17: give a list of ids"),
        (None, "users=None: give a list of ids"),
        (np.array("u1"), "give a list of ids"),
        ({"u1": ["i1"]}, "users is a dict: give a list of ids"),
        (pd.DataFrame({"user": ["u1"]}), "users is a DataFrame: give a list of ids"),
    ],
)
def test_what_is_no_collection_is_told(values, found):
    with pytest.raises(UserError, match=re.escape(found)):
        requests.read_ids(values, "users")
    with pytest.raises(UserError, match="pairs"):
        requests.read_pairs(values, "users")


@pytest.mark.parametrize(
    "collection",
    [
        ["u1", "u2"],
        ("u1", "u2"),
        np.array(["u1", "u2"]),
        pd.Series(["u1", "u2"]),
        pd.Index(["u1", "u2"]),
        {"u1": 0, "u2": 0}.keys(),
        (f"u{k}" for k in (1, 2)),
    ],
)
def test_any_collection_will_do(collection):
    assert requests.read_ids(collection, "users") == ["u1", "u2"]


def test_pairs_may_be_rows_of_arrays_and_tables():
    table = pd.DataFrame({"user": ["u1", "u2"], "item": [5, 6]})
    expected = [("u1", "5"), ("u2", "6")]
    pairs = [zip(*table.values.T, strict=True), table.itertuples(index=False)]
    pairs += [table.to_numpy(), table.to_numpy().tolist()]
    for each in pairs:
        assert requests.read_pairs(each, "new") == expected


@pytest.mark.parametrize(
    "pair", ["u1", "ab", ("u1",), ("u1", "i1", "i2"), {"u1", "i1"}, None, 5, []]
)
def test_what_is_no_pair_is_told(pair):
    """Two letters are no pair, nor is a set, which has no order."""
    with pytest.raises(UserError, match=r"new: entry 1 .* not a pair \(user, item\)"):
        requests.read_pairs([("u0", "i0"), pair], "new")
    with pytest.raises(UserError, match="its item is"):  # one pair an item
        requests.read_pairs([("u1", ["i1", "i2"])], "new")


@pytest.mark.parametrize("length", [0, -1, 2.5, 20.0, True, "20", None, np.nan])
def test_a_length_is_a_whole_number_above_0(length):
    with pytest.raises(UserError, match="length=.*: give a whole number of at least 1"):
        requests.read_length(length)
    assert requests.read_length(1) == 1 and requests.read_length(np.int32(7)) == 7


@pytest.mark.parametrize(
    "cell, several",
    [
        ("i1|i2|i3", True),
        ("i9|i2", True),
        ("i8|i9", False),
        ("i1, i2", True),
        ("i1;i2", True),
        ("['i1', 'i2']", True),
        ("7.0|8.0", True),
        ("i1", False),
        ("i1 i2", False),
        ("i9", False),
    ],
)
def test_cells_of_several_ids_are_seen(cell, several):
    assert requests.holds_several(cell, {"i1", "i2", "i3", "7"}) is several
