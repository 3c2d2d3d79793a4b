import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.tables.cells import TEXT
from forecast.panel.time_cells import read_moments


def read(*cells):
    return read_moments(pd.Series(list(cells), dtype=TEXT))


@pytest.mark.parametrize(
    ("cell", "wall", "utc"),
    [
        ("2020-01-31", "2020-01-31", "2020-01-31"),
        ("20200131", "2020-01-31", "2020-01-31"),
        ("2020-01", "2020-01-01", "2020-01-01"),
        ("2020-01-31T12:30", "2020-01-31T12:30", "2020-01-31T12:30"),
        ("2020-01-31 12:30:01+01:00", "2020-01-31T12:30:01", "2020-01-31T11:30:01"),
        ("2020-01-31T12:30-05", "2020-01-31T12:30", "2020-01-31T17:30"),
        ("2020-01-31 00:00:00.000000+0100", "2020-01-31", "2020-01-30T23:00"),
        ("2020-01-31T12:30Z", "2020-01-31T12:30", "2020-01-31T12:30"),
        ("1580428800", "2020-01-31", "2020-01-31"),
        ("1580428800000", "2020-01-31", "2020-01-31"),
    ],
)
def test_one_cell(cell, wall, utc):
    found = read(cell, "2020-02-01", None)
    assert found.wall[0] == pd.Timestamp(wall) and found.utc[0] == pd.Timestamp(utc)
    assert found.steps is None and found.wall[2] is pd.NaT
    assert found.wrong == {2: "an empty cell, no time"}


def test_years_and_months_without_a_mark():
    assert read("1998", "1999").wall.year.tolist() == [1998, 1999]
    assert read("199811", "199901").wall.month.tolist() == [11, 1]


def test_whole_numbers_count_steps():
    found = read("3", "10.0", None, "-1")
    assert found.steps is not None
    assert found.steps[[0, 1, 3]].tolist() == [3, 10, -1]
    assert found.wrong == {2: "an empty cell, no time"}
    assert read("1998", "7").steps is not None


@pytest.mark.parametrize(
    "cell", ["noon", "2020-13-01", "31.01.2020", "12345.5", "99999"]
)
def test_no_time(cell):
    found = read(cell, "2020-01-01", cell)
    assert set(found.wrong) == {0, 2}
    assert "is no date such as 2019-01-31" in found.wrong[0]
    assert found.utc[0] is pd.NaT and found.utc[1] == pd.Timestamp("2020-01-01")


def test_days_are_read_by_the_wall_and_hours_in_utc():
    local = pd.date_range("2020-10-24", periods=3, freq="D", tz="Europe/Berlin")
    found = read(*(time.isoformat() for time in local))
    assert found.coarse
    assert found.choose(True).tolist() == local.tz_localize(None).tolist()
    hours = pd.date_range("2020-10-25", periods=5, freq="h", tz="Europe/Berlin")
    found = read(*(time.isoformat() for time in hours))
    assert not found.coarse
    # 02:00 stands on the wall twice.
    assert found.wall.nunique() == 4
    assert set(np.diff(found.choose(False))) == {np.timedelta64(1, "h")}


@settings(max_examples=50)
@given(st.lists(st.text(max_size=12), min_size=1, max_size=5))
def test_any_text_is_a_time_or_is_said_to_be_none(cells):
    tidy = [cell.strip() or None for cell in cells]
    found = read(*tidy)
    for row in range(len(tidy)):
        known = found.steps is not None or found.utc[row] is not pd.NaT
        assert known == (row not in found.wrong) or tidy[row] is None
