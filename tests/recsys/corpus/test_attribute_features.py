import json

import numpy as np
import pytest

from common.errors import UserError
from common.tables.table import from_rows
from recsys.corpus import attribute_features
from recsys.corpus.attribute_features import AttributeEncoder

ROWS = [
    {"colour": "red", "size": "M", "weight": "1.5"},
    {"colour": "blue", "size": "L", "weight": "-3"},
    {"colour": "red", "size": "L", "weight": None},
    {"colour": "green", "size": "M", "weight": "2"},
    {"colour": None, "size": None, "weight": "7"},
    {"colour": "blue", "size": "XL", "weight": "1.49"},
    {"colour": "red", "size": "XL", "weight": "6.5"},
]
TABLE = from_rows(ROWS)


def in_one_line(told):
    text = str(told.value)
    assert "\n" not in text
    return text


def test_a_table_written_out():
    fitted = AttributeEncoder.fit(TABLE, ["colour", "size"], [], min_count=2)
    # The most frequent first; equal ones by name; green stands in one item alone.
    assert fitted.categories == {"colour": ("red", "blue"), "size": ("L", "M", "XL")}
    encoder = AttributeEncoder(fitted.categories, {"weight": (1.5, 2.0, 6.5)})
    assert encoder.width == 2 + 3 + 4
    found = encoder.encode(TABLE)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(
        found,
        [
            # red, blue | L, M, XL | below 1.5, up to 2, up to 6.5, from 6.5 on
            [1, 0, 0, 1, 0, 0, 1, 0, 0],
            [0, 1, 1, 0, 0, 1, 0, 0, 0],
            [1, 0, 1, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 1, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 0, 0, 0, 0, 1],
            [0, 1, 0, 0, 1, 1, 0, 0, 0],
            [1, 0, 0, 0, 1, 0, 0, 0, 1],
        ],
    )


def test_columns_stand_side_by_side():
    encoder = AttributeEncoder({"c": ("x",)}, {"a": (1.0,), "b": (5.0, 6.0)})
    table = from_rows([{"c": "x", "a": "0", "b": "9"}, {"a": "1", "b": "5"}])
    found = encoder.encode(table)
    np.testing.assert_array_equal(found, [[1, 1, 0, 0, 0, 1], [0, 0, 1, 0, 1, 0]])


def test_values_that_were_not_there_when_it_was_fitted_are_zeros():
    encoder = AttributeEncoder.fit(TABLE, ["colour"], [], min_count=1)
    new = from_rows([{"colour": "pink"}, {"colour": "green"}, {"colour": "RED"}])
    np.testing.assert_array_equal(encoder.encode(new), [[0, 0, 0], [0, 0, 1], [0] * 3])


def test_a_column_has_no_more_features_than_its_most_frequent_values(monkeypatch):
    monkeypatch.setattr(attribute_features, "MOST", 2)
    fitted = AttributeEncoder.fit(TABLE, ["colour", "size"], [], min_count=1)
    assert fitted.categories == {"colour": ("red", "blue"), "size": ("L", "M")}


def test_ten_bins_hold_equally_many_numbers():
    """Quantile k / 10 of 0 to 19 is 1.9 k, between two of them."""
    numbers = np.random.default_rng(0).permutation(20)
    table = from_rows([{"n": str(n)} for n in numbers])
    encoder = AttributeEncoder.fit(table, [], ["n"], min_count=20)
    np.testing.assert_allclose(encoder.numbers["n"], 1.9 * np.arange(1, 10))
    found = encoder.encode(table)
    np.testing.assert_array_equal(found.argmax(axis=1), numbers // 2)
    np.testing.assert_array_equal(found.sum(axis=1), 1)
    far = from_rows([{"n": "-1e9"}, {"n": "1e9"}])
    np.testing.assert_array_equal(encoder.encode(far).argmax(axis=1), [0, 9])


def test_edges_that_fall_together_are_one():
    table = from_rows([{"n": "5"}] * 30 + [{"n": "8"}] + [{"n": None}] * 4)
    encoder = AttributeEncoder.fit(table, [], ["n"], min_count=20)
    assert encoder.numbers == {"n": (5.0,)} and encoder.width == 2
    found = encoder.encode(from_rows([{"n": "4.9"}, {"n": "5"}, {"n": None}]))
    np.testing.assert_array_equal(found, [[1, 0], [0, 1], [0, 0]])


def test_a_column_of_numbers_without_any_is_one_feature_that_stays_zero():
    table = from_rows([{"n": None, "c": "x"}] * 2)
    encoder = AttributeEncoder.fit(table, ["c"], ["n"], min_count=2)
    assert encoder.numbers == {"n": ()}
    np.testing.assert_array_equal(encoder.encode(table), [[1, 0], [1, 0]])


def test_it_is_the_same_after_json():
    """Columns keep their order, edges their last bit, names of numbers stay texts."""
    encoder = AttributeEncoder(
        {"size": ("7", "M"), "colour": ("red", 'dark "blue"')},
        {"weight": (0.1, 1 / 3, 2e300)},
    )
    again = AttributeEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert list(again.categories.items()) == list(encoder.categories.items())
    assert again.numbers == encoder.numbers
    rows = [{"size": "7", "colour": "red", "weight": repr(1 / 3)}]
    table = from_rows(rows)
    np.testing.assert_array_equal(again.encode(table), [[1, 0, 1, 0, 0, 0, 1, 0]])
    np.testing.assert_array_equal(encoder.encode(table), again.encode(table))


def test_columns_without_a_frequent_value_are_told():
    with pytest.raises(UserError) as told:
        AttributeEncoder.fit(TABLE, ["colour", "size"], [], min_count=4)
    text = in_one_line(told)
    assert "colour, size" in text and "--data.attribute_min_count" in text


@pytest.mark.parametrize("when", ["fitted", "encoded"])
def test_a_cell_that_is_no_number_is_told(when):
    table = from_rows([*ROWS, {"weight": "heavy"}])
    with pytest.raises(UserError) as told:
        if when == "fitted":
            AttributeEncoder.fit(table, [], ["weight"], min_count=1)
        else:
            AttributeEncoder({}, {"weight": (2.0,)}).encode(table)
    text = in_one_line(told)
    assert "'weight'" in text and "row 7" in text and "heavy" in text


def test_values_without_a_feature_are_told():
    fitted = AttributeEncoder.fit(TABLE, ["colour", "size"], [], min_count=2)
    assert fitted.describe_unused(TABLE.frame, 2) == (
        "1 of 3 values of colour have no feature: fewer items than"
        " --data.attribute_min_count=2 have them, or 512 others are commoner"
    )
    fitted = AttributeEncoder.fit(TABLE, ["colour", "size"], [], min_count=1)
    assert fitted.describe_unused(TABLE.frame, 1) == ""


def test_the_column_decides_what_stands_before_decimals():
    """Bins of a column with decimal commas, and of a single new cell like them."""
    weights = ["948,00", "1.031", "12,5", "2.250", "3"]
    encoder = AttributeEncoder.fit(
        from_rows([{"weight": weight} for weight in weights]), [], ["weight"], 1
    )
    plain = AttributeEncoder.fit(
        from_rows([{"weight": w} for w in (948, 1031, 12.5, 2250, 3)]),
        [],
        ["weight"],
        1,
    )
    assert encoder.numbers == plain.numbers
    again = AttributeEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    new = from_rows([{"weight": "1.031"}])
    np.testing.assert_array_equal(
        again.encode(new), plain.encode(from_rows([{"weight": 1031}]))
    )
    # Numbers of Parquet and of Python are numbers, also 1.031 where commas are usual.
    np.testing.assert_array_equal(
        again.encode(from_rows([{"weight": 1.031}])),
        again.encode(from_rows([{"weight": "1,03"}])),
    )


def test_a_column_that_can_be_read_in_two_ways_is_refused():
    with pytest.raises(UserError) as told:
        AttributeEncoder.fit(
            from_rows([{"km": "1.031"}, {"km": "2.500"}]), [], ["km"], min_count=1
        )
    assert "'km'" in in_one_line(told) and "1.031" in in_one_line(told)
