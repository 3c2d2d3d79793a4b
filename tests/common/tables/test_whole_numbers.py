import csv
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.serving import standalone
from common.tables import encoders, row_checks, table
from common.tables.schema import Attribute, Group, Schema
from common.tables.whole_numbers import (
    distinct_array_with_digits,
    distinct_with_digits,
    is_inexact,
    whole_number_text,
    with_digits,
)

LARGEST = 2**53 - 1
IDS = (5000, 1, 0, 1_234_567_890_123_454, LARGEST)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("5000.0", "5000"),
        ("5000.000", "5000"),
        ("-3.0", "-3"),
        ("1.234567890123454e+15", "1234567890123454"),
        ("1.234567890123454E15", "1234567890123454"),  # as Java writes it
        ("5e+03", "5000"),
        ("9007199254740991.0", "9007199254740991"),
        # Not whole, or no number.
        ("5.5", "5.5"),
        ("1.25e+1", "1.25e+1"),
        ("1.5e-3", "1.5e-3"),
        ("5000.0x", "5000.0x"),
        # Codes, versions and thousands.
        ("007", "007"),
        ("007.0", "007.0"),
        ("1e5", "1e5"),
        ("12E3", "12E3"),
        ("5,000", "5,000"),
        ("5.000,0", "5.000,0"),
        ("1.2.0", "1.2.0"),
        (".0", ".0"),
        ("5.", "5."),
        ("", ""),
        # Floats that do not hold their last digits.
        ("9007199254740992.0", "9007199254740992.0"),
        ("1e+16", "1e+16"),
        ("1e+999", "1e+999"),
    ],
)
def test_whole_numbers_are_their_digits(text, digits):
    assert whole_number_text(text) == digits
    assert standalone._digits(text) == digits  # serving has a copy
    cells = pd.Series([text, None, "x"], dtype=table.TEXT)
    assert with_digits(cells).fillna("none").tolist() == [digits, "none", "x"]


def test_only_floats_from_2_to_the_53_are_inexact():
    for text in ("9007199254740992.0", "1e+16", "-1.2345E30", "1e+999"):
        assert is_inexact(text)
    for text in (
        "9007199254740991.0",
        "9007199254740993",
        "1e16",
        "0.5",
        "x",
        "1.5e+0",
    ):
        assert not is_inexact(text)


@given(st.integers(-LARGEST, LARGEST))
def test_every_spelling_of_a_number_is_one_id(number):
    spellings = [
        repr(float(number)),
        str(np.float64(number)),
        f"{number}.0",
        f"{number:.15e}",
        f"{number:.15E}",
        str(decimal.Decimal(number).scaleb(2).scaleb(-2)),
        str(number),
    ]
    assert {whole_number_text(text) for text in spellings} == {str(number)}
    rows = [number, float(number), np.int64(number), np.float64(number)]
    read = table.from_rows(
        [{"id": value} for value in (*rows, decimal.Decimal(number))]
    )
    assert set(read.frame["id"]) == {str(number)}


@given(st.text(max_size=20))
def test_other_texts_are_left_as_they_are(text):
    found = whole_number_text(text)
    assert found == text or float(text) == int(found)
    assert whole_number_text(found) == found
    assert standalone._digits(text) == found


def write(path, kind, ids):
    """A table of ids in one column, as some program writes it."""
    if path.suffix == ".csv":
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["id"], *([kind(one)] for one in ids)])
    elif kind == pa.string():
        pq.write_table(pa.table({"id": pa.array(map(str, ids))}), path)
    elif pa.types.is_dictionary(kind):
        texts = pa.array(map(str, ids)).dictionary_encode()
        pq.write_table(pa.table({"id": texts}), path)
    elif pa.types.is_floating(kind):
        pq.write_table(pa.table({"id": pa.array(map(float, ids))}), path)
    else:
        pq.write_table(pa.table({"id": pa.array(ids).cast(kind)}), path)
    return table.read_table(path)


FILES = {
    "digits": ("t.csv", str),
    "floats": ("t.csv", lambda one: repr(float(one))),
    "exponents": ("t.csv", "{:.15e}".format),
    "int64": ("t.parquet", pa.int64()),
    "uint64": ("t.parquet", pa.uint64()),
    "float64": ("t.parquet", pa.float64()),
    "decimal": ("t.parquet", pa.decimal128(25, 2)),
    "text": ("t.parquet", pa.string()),
    "dictionary": ("t.parquet", pa.dictionary(pa.int32(), pa.string())),
}


@pytest.mark.parametrize("kind", FILES)
def test_ids_and_categories_of_every_file_are_the_same(kind, tmp_path):
    name, as_kind = FILES[kind]
    read = write(tmp_path / name, as_kind, IDS)
    schema = Schema(
        (
            Attribute("one", "categorical", ("id",)),
            Attribute("set", "set", ("id",), separator="|"),
        ),
        group=Group(("id",)),
        id="id",
    )
    typed, rejected = row_checks.check_rows(read, schema)
    assert rejected == [] and typed["id"].tolist() == list(map(str, IDS))
    fitted = encoders.Encoders.fit(typed, schema)
    for vocabulary in fitted.attributes:
        assert set(vocabulary.categories) == set(map(str, IDS))
    # Served, each is known again however it is spelt.
    served = standalone.AttributeEncoder(fitted.to_json())
    records = [{"id": value} for one in IDS for value in (one, float(one), f"{one}.0")]
    expected = np.repeat(fitted.encode(typed)["categorical"], 3, axis=0)
    found = served.encode(records)
    np.testing.assert_array_equal(found["categorical"], expected)
    assert found["sets"][:, encoders.UNKNOWN].sum() == 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("t.csv", lambda one: repr(float(one))),
        ("t.parquet", pa.float64()),
    ],
)
def test_a_float_that_lost_digits_is_no_id(name, kind, tmp_path):
    ids = [7, 2**53 + 2, 12_345_678_901_234_567_168]
    read = write(tmp_path / name, kind, ids)
    schema = Schema((Attribute("x", "categorical", ("id",)),), id="id")
    for need_target in (True, False):
        typed, rejected = row_checks.check_rows(read, schema, need_target=need_target)
        assert typed["id"].tolist() == ["7"]
        assert [fault.column for fault in rejected] == ["id", "id"]
        assert "is a float of 2^53 or more" in rejected[0].reason
    # A whole number or a text of that size is an id like others.
    exact = write(tmp_path / "exact.csv", str, ids)
    assert row_checks.check_rows(exact, schema)[1] == []


def test_decimals_and_integers_are_exact_at_any_size(tmp_path):
    number = 12_345_678_901_234_567_891
    kind = pa.decimal128(30, 2)
    cells = pa.array([decimal.Decimal(number)]).cast(kind)
    pq.write_table(pa.table({"id": cells}), tmp_path / "t.parquet")
    schema = Schema((), id="id")
    rows = [{"id": value} for value in (number, decimal.Decimal(f"{number}.00"))]
    for read in (table.read_table(tmp_path / "t.parquet"), table.from_rows(rows)):
        typed, rejected = row_checks.check_rows(read, schema)
        assert rejected == [] and set(typed["id"]) == {str(number)}


def test_rows_are_chosen_by_digits(tmp_path):
    read = write(tmp_path / "t.parquet", pa.float64(), IDS)
    assert table.choose_rows(read, "id=5000.0|1").frame["id"].tolist() == ["5000", "1"]


def test_what_was_fitted_before_stays_distinct():
    assert distinct_with_digits(["10.0", "7.0", "10", "7", "x"]) == [
        "10.0", "7.0", "10", "7", "x"
    ]  # fmt: skip
    assert distinct_with_digits(["10.0", "7.50", "1e+3"]) == ["10", "7.50", "1000"]
    numbers = np.arange(3)
    assert distinct_array_with_digits(numbers) is numbers
    names = np.array(["a.b", "5.0"])
    assert distinct_array_with_digits(names).tolist() == ["a.b", "5"]
    plain = np.array(["a", "5"])
    assert distinct_array_with_digits(plain) is plain


def test_an_earlier_vocabulary_knows_the_same_cells():
    attribute = Attribute("size", "categorical", ("size",))
    fitted = encoders.Encoders((encoders.Vocabulary(attribute, ("42.0", "38.5")),))
    again = encoders.Encoders.from_json(fitted.to_json())
    schema = Schema((attribute,))
    rows = [{"size": value} for value in ("42.0", 42, 38.5, "41")]
    typed, _ = row_checks.check_rows(table.from_rows(rows), schema)
    assert again.encode(typed)["categorical"].ravel().tolist() == [2, 2, 3, 0]
