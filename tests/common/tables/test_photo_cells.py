"""The writings of several photos in one cell."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.tables import photo_cells

AB = ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("text", "separator", "expected"),
    [
        ("a.jpg", "", ["a.jpg"]),
        ("a.jpg, b.jpg", "", ["a.jpg, b.jpg"]),
        (" a b.jpg ", "", ["a b.jpg"]),
        ("a.jpg, b.jpg", ",", AB),
        ("a.jpg,b.jpg", ",", AB),
        (",a.jpg,,b.jpg ,", ",", AB),
        ("a.jpg|b.jpg", "|", AB),
        ("a.jpg b.jpg", " ", AB),
        ("a.jpg\n b.jpg\t", " ", AB),
        ("my a.jpg\tmy b.jpg", "\t", ["my a.jpg", "my b.jpg"]),
        ('["a.jpg", "b.jpg"]', "json", AB),
        ('["a.jpg","caf\\u00e9.jpg"]', "json", ["a.jpg", "café.jpg"]),
        ('[null, "a.jpg", "", 7]', "json", ["a.jpg", "7"]),
        ("['a.jpg', 'b.jpg']", "json", AB),
        ("['a.jpg',\n 'b.jpg',]", "json", AB),
        ("""["it's.jpg", 'b.jpg']""", "json", ["it's.jpg", "b.jpg"]),
        (r"""['"it\'s".jpg']""", "json", ['"it\'s".jpg']),
        ("['a, b.jpg' 'c].jpg']", "json", ["a, b.jpg", "c].jpg"]),  # as NumPy prints
        ("[None, 'a.jpg', nan]", "json", ["a.jpg"]),
        ("[]", "json", []),
        ("[ ]", "json", []),
        ("a.jpg", "json", ["a.jpg"]),  # one name, not in a list
        ("", ",", []),
        (" | ", "|", []),
    ],
)
def test_names_by_hand(text, separator, expected):
    assert photo_cells.names(text, separator) == expected


@pytest.mark.parametrize(
    "text",
    ["[a.jpg]", "['a.jpg", "['a.jpg'] x", '[["a.jpg"]]', '[{"a": 1}]', "[1.5]"]
    + ["[true]", "[" * 100_000, "['a.jpg'" + " " * 100_000, "['a.jpg''b.jpg']"],
)
def test_what_is_no_list_has_a_reason(text):
    with pytest.raises(ValueError, match=r"^is no list of names such as \[\"a.jpg\""):
        photo_cells.names(text, "json")


name = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1
)


@given(st.lists(name, max_size=4))
def test_lists_are_read_as_they_were_written(found):
    assert photo_cells.names(json.dumps(found), "json") == found
    plain = [text for text in found if text.isprintable()]
    assert photo_cells.names(repr(plain), "json") == plain


@given(st.lists(name, max_size=4), st.sampled_from(["|", ";", ",", " ", "json"]))
def test_lists_of_python_become_what_the_schema_wants(found, separator):
    safe = [text for text in found if not set(text) & set("|;,[")]
    cell = photo_cells.from_joined("|".join(safe), "|", separator)
    assert photo_cells.names(cell, separator) == safe


def test_from_joined_leaves_what_it_can_not_part():
    assert photo_cells.from_joined("a|b", "|", "") == "a|b"
    assert photo_cells.from_joined("['a|b']", "|", "json") == "['a|b']"
