import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.tables import set_cells
from common.tables.cells import TEXT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"Fabric": "Cotton", "Neck": "Polo Collar"}',
            ["Fabric: Cotton", "Neck: Polo Collar"],
        ),
        ('["white", "cotton"]', ["white", "cotton"]),
        ('{"Colour": ["red", "blue"], "Fit": []}', ["Colour: red", "Colour: blue"]),
        (
            '{"a": true, "b": false, "c": 3, "d": 2.5, "e": 2.0, "f": -1e3}',
            ["a: true", "b: false", "c: 3", "d: 2.5", "e: 2", "f: -1000"],
        ),
        ('{"a": null, "b": "", "c": " ", "d": [null, ""]}', []),
        ('[null, "", 7, true]', ["7", "true"]),
        (' { " a " : " b c " } ', ["a: b c"]),
        ('{"a": "x|y, z"}', ["a: x|y, z"]),
        ('{"a": "caf\\u00e9", "b": "\\ud83d\\ude00"}', ["a: café", "b: 😀"]),
        ('{"a": 1, "a": 2}', ["a: 2"]),
        ("{}", []),
        ("[]", []),
        ("null", []),
        ("[" + "9" * 50 + "]", ["9" * 50]),
    ],
)
def test_members_by_hand(text, expected):
    assert set_cells.json_members(text) == expected


BAD = [
    ("Cotton", "is not JSON: Expecting value (character 1)"),
    ("{'a': 'b'}", "is not JSON: Expecting property name"),
    ('{"a": "b"', "is not JSON: Expecting ',' delimiter (character 10)"),
    ('["a"] ["b"]', "is not JSON: Extra data (character 7)"),
    ('["two\nlines"]', "is not JSON: Invalid control character"),
    ("3", "is neither a JSON object {…} nor a JSON list […]"),
    ('"white"', "is neither a JSON object {…} nor a JSON list […]"),
    ("true", "is neither a JSON object {…} nor a JSON list […]"),
    ('{"a": {"b": 1}}', "nests objects or lists"),
    ('{"a": {}}', "nests objects or lists"),
    ('{"a": [["b"]]}', "nests objects or lists"),
    ('[{"a": 1}]', "nests objects or lists"),
    ('[["a"]]', "nests objects or lists"),
    ("[" * 100_000, "is nested too deeply"),
    ('{"a":' * 100_000, "is nested too deeply"),
    ("NaN", "holds NaN, Infinity or a number of too many digits"),
    ('{"a": NaN}', "holds NaN, Infinity or a number of too many digits"),
    ("[-Infinity]", "holds NaN, Infinity or a number of too many digits"),
    ("[1e400]", "holds NaN, Infinity or a number of too many digits"),
    ("[" + "9" * 5000 + "]", "holds NaN, Infinity or a number of too many digits"),
    ('{"a": "\\ud800"}', "holds half a character (\\ud800…)"),
    ('{"\\ud800": null}', "holds half a character (\\ud800…)"),
]


@pytest.mark.parametrize(("text", "reason"), BAD, ids=[text[:20] for text, _ in BAD])
def test_what_is_no_set_has_a_reason_of_one_line(text, reason):
    with pytest.raises(ValueError) as caught:
        set_cells.json_members(text)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_find_faults_quotes_the_cell():
    cells = ['{"a": 1}', "x" * 50, None, "3", "[]", "x" * 50]
    no_json = f"'{'x' * 37}…' is not JSON: Expecting value (character 1)"
    assert set_cells.find_faults(pd.Series(cells, dtype=TEXT)) == {
        1: no_json,
        3: "'3' is neither a JSON object {…} nor a JSON list […]",
        5: no_json,
    }
    assert set_cells.find_faults(pd.Series([None, "[]"], dtype=TEXT)) == {}
    assert set_cells.find_faults(pd.Series([np.nan], dtype=TEXT)) == {}


def test_from_joined_leaves_json_as_it_is():
    assert set_cells.from_joined("a| b|é", "|") == '["a", " b", "é"]'
    for text in ('{"a": "x|y"}', '["x|y"]', "[x|y"):
        assert set_cells.from_joined(text, "|") == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(json_values.map(json.dumps) | st.text())
def test_any_text_has_clean_members_or_a_reason(text):
    try:
        found = set_cells.json_members(text)
    except ValueError as error:
        assert type(error) is ValueError and str(error)
    else:
        assert all(member and member.strip() == member for member in found)
        "".join(found).encode("utf-8")
