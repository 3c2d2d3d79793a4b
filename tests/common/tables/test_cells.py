import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.tables import cells
from common.tables.prices import parse_price


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        ("12.5", 12.5),
        (".5", 0.5),
        ("-3", -3),
        ("1e3", 1000),
        ("0.125", 0.125),
        ("1234.567", 1234.567),
        ("12,5", 12.5),
        ("0,123", 0.123),
        ("1234,567", 1234.567),
        ("1234,5678", 1234.5678),
        ("1,234.50", 1234.5),
        ("1.234,50", 1234.5),
        ("1,234,567", 1234567),
        ("1.234.567", 1234567),
        ("1 234 567", 1234567),
        ("1\u202f234,5", 1234.5),
        ("1'234.5", 1234.5),
        ("-1,234.5", -1234.5),
        ("1.234", None),
        ("1,234", None),
        ("-12.500", None),
        ("12,34.5", None),
        ("1,23,456", None),
        ("1,234,56", None),
        ("1,234.567.8", None),
        ("0,123.5", None),
        ("", None),
        ("--1", None),
        ("inf", None),
        ("nan", None),
        ("0x10", None),
        ("1_000", None),
        ("١٢", None),
        ("5 g", None),
        ("1e39", None),
        ("9" * 500, None),
    ],
)
def test_parse_number_reads_what_is_plain_and_refuses_the_rest(text, number):
    if number is None:
        with pytest.raises(ValueError, match="is not a number|may be|too large"):
            cells.parse_number(text)
    else:
        assert cells.parse_number(text) == number


@pytest.mark.parametrize("text", ["1,234", "1.234"])
def test_parse_number_names_both_readings_of_a_doubtful_one(text):
    with pytest.raises(
        ValueError, match=rf"'{text}' may be 1234 or 1\.234: write 1234"
    ):
        cells.parse_number(text)


@pytest.mark.parametrize(
    ("text", "point", "comma"),
    [
        ("12", 12, 12),
        ("1e3", 1000, 1000),
        ("1.234", 1.234, 1234),
        ("1,234", 1234, 1.234),
        ("-1.250", -1.25, -1250),
        ("0.125", 0.125, None),
        ("0,125", None, 0.125),
        ("12.5", 12.5, None),
        ("12,5", None, 12.5),
        ("1.5e3", 1500, None),
        ("1,5e3", None, 1500),
        ("1.234e3", 1234, None),
        ("1.234.567", None, 1234567),
        ("1,234,567", 1234567, None),
        ("1.234,5", None, 1234.5),
        ("1,234.5", 1234.5, None),
        ("1 234", 1234, 1234),
        ("1 234,567", None, 1234.567),
        ("1'234.500", 1234.5, None),
        ("1,234,5", None, None),
        ("1.234 567", None, None),
    ],
)
def test_parse_number_with_the_mark_of_the_column(text, point, comma):
    for decimal, number in ((".", point), (",", comma)):
        if number is None:
            with pytest.raises(ValueError, match="is not a number|has a decimal"):
                cells.parse_number(text, decimal)
        else:
            assert cells.parse_number(text, decimal) == number


def test_parse_number_says_that_a_cell_is_not_written_as_its_column():
    with pytest.raises(
        ValueError, match="'12,5' has a decimal comma, its column a dec"
    ):
        cells.parse_number("12,5", ".")


@given(st.integers(100_000, 10**12))
def test_parse_number_reads_every_style_of_thousands(hundredths):
    english = f"{hundredths / 100:,.2f}"
    german = english.translate(str.maketrans(",.", ".,"))
    french = english.replace(",", "\u00a0").replace(".", ",")
    swiss = english.replace(",", "’")
    for text in (english, german, french, swiss):
        assert cells.parse_number(text) == float(english.replace(",", ""))


@given(st.text() | st.text("0123456789.,-+ e'$€EURusd", max_size=12))
def test_parsers_return_finite_numbers_or_value_errors(text):
    parsers = [cells.parse_number, cells.parse_time]
    parsers += [
        lambda t, mark=mark: cells.parse_number(t, mark) for mark in cells.MARKS
    ]
    for currency in ("USD", "INR", ""):
        parsers.append(lambda t, c=currency: parse_price(t, c))
    for parse in parsers:
        try:
            assert math.isfinite(parse(text))
        except ValueError as error:
            assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86400),
        ("1970-01-01T00:01", 60),
        ("1970-01-01 00:00:02.5", 2.5),
        ("1970-01-01T00:00:00+01:00", -3600),
        ("1970-01-01T00:00:00-0130", 5400),
        ("1970-01-01T01:00:00Z", 3600),
        ("1970-01-01T02", 7200),
        ("19700102T000001", 86401),
        ("20190112", 1547251200),
        ("2019-01-12", 1547251200),
        ("2019-W02-6", 1547251200),
        ("1547251200", 1547251200),
        ("1547251200.25", 1547251200.25),
        ("1547251200000", 1547251200),
        ("1.234", 1.234),  # seconds are no column of numbers with a mark of its own
    ],
)
def test_parse_time_counts_seconds_since_1970(text, seconds):
    assert cells.parse_time(text) == seconds


@pytest.mark.parametrize("text", ["12/01/2019", "2019-13-01", "yesterday", ""])
def test_parse_time_refuses_other_dates(text):
    with pytest.raises(ValueError, match="is no date such as"):
        cells.parse_time(text)


def test_parse_column_tells_missing_from_wrong():
    column = pd.Series(["1", None, "x", "NaN", "2", "x", "-"], dtype=cells.TEXT)
    values, reasons = cells.parse_column(column, cells.parse_number)
    np.testing.assert_array_equal(
        values, [1, np.nan, np.nan, np.nan, 2, np.nan, np.nan]
    )
    assert reasons == {2: "'x' is not a number", 5: "'x' is not a number"}


def test_quoted_shortens_and_stays_on_one_line():
    assert cells.quoted("a\nb") == r"'a\nb'"
    assert len(cells.quoted("x" * 1000)) == 40
