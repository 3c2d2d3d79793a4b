import csv
import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.reports import result_tables as tables


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.41273, "0.413"),
        (2, "2"),
        (19176, "19,176"),
        (np.int32(1200), "1,200"),
        (np.float32(0.5), "0.500"),
        (0.0, "0.000"),
        (123.456, "123.5"),
        (-12345.678, "-12,346"),
        (0.00012, "1.2e-04"),
        (2.5e9, "2,500,000,000"),
        (2.5e15, "2.5e+15"),
        (math.nan, "n/a"),
        (-math.inf, "-∞"),
        (None, "–"),
        (True, "yes"),
        (np.False_, "no"),
        ("text", "text"),
    ],
)
def test_numbers_for_people(value, text):
    assert tables.format_number(value) == text


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (0.01, "0.01"),
        (0.0049, "0.0049"),
        (0.5, "0.5"),
        (9, "9"),
        (42.5, "42.5"),
        (99.5, "99.5"),
        (100, "100"),
        (1234.56, "1,235"),
        (949_000, "949,000"),
        (1_450_000, "1,450,000"),
        (2.5e9, "2,500,000,000"),
    ],
)
def test_prices_for_people(price, text):
    assert tables.format_price(price) == text
    assert tables.format_price(np.float32(price)) == text


def test_mean_and_standard_error():
    # mean 3; deviations -2, 0, 2: s^2 = 8 / 2 = 4; error 2 / sqrt(3).
    assert tables.mean_and_error([1, 3, 5]) == pytest.approx((3, 2 / math.sqrt(3)))
    assert tables.format_mean([1, 3, 5]) == "3.000 ± 1.155"
    assert tables.format_mean([0.25]) == "0.250"
    assert tables.format_mean([0.0002, 0.0004]) == "0.000 ± 0.000"
    assert tables.format_mean([]) == "n/a"


ROWS = [
    {"model": "majority | none", "top3": 0.17},
    {"model": "ICAN\nL = 3", "top3": tables.format_mean([0.5, 0.52]), "n": 8016},
]


def test_markdown():
    assert tables.to_markdown(ROWS) == (
        "| model | top3 | n |\n"
        "| :-- | --: | --: |\n"
        "| majority \\| none | 0.170 | – |\n"
        "| ICAN L = 3 | 0.510 ± 0.010 | 8,016 |\n"
    )
    assert tables.to_markdown(ROWS[:1], ["n", "model"], digits=1) == (
        "| n | model |\n| :-- | :-- |\n| – | majority \\| none |\n"
    )
    assert tables.to_markdown([]) == ""


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b", "c d"]),
            st.none()
            | st.text(st.characters(exclude_characters="\r", codec="utf-8"))
            | st.integers()
            | st.floats(allow_nan=False),
        )
    )
)
def test_csv_reads_back_and_markdown_has_a_line_a_row(rows):
    columns = ["a", "b", "c d"]
    read = list(csv.DictReader(io.StringIO(tables.to_csv(rows, columns), newline="")))
    for row, back in zip(rows, read, strict=True):
        for name in columns:
            value = row.get(name)
            assert back[name] == ("" if value is None else str(value))
    text = tables.to_markdown(rows, columns)
    assert len(text.splitlines()) == len(rows) + 2


def test_files(tmp_path):
    path = tmp_path / "tables" / "table_3.a"
    tables.write_table(ROWS, path, title="Table 3", notes="Five seeds.")
    text = (tmp_path / "tables" / "table_3.a.md").read_text()
    assert text.startswith("# Table 3\n\n| model |")
    assert text.endswith("8,016 |\n\nFive seeds.\n")
    lines = (tmp_path / "tables" / "table_3.a.csv").read_text().splitlines()
    assert lines[:2] == ["model,top3,n", "majority | none,0.17,"]
