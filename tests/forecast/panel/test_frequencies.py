import contextlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from forecast.panel.frequencies import (
    check_one_frequency,
    find_grid,
    infer_frequency,
    locate,
    make_times,
    parse_frequency,
    season_length,
    settle_frequency,
    split_frequency,
)

ALL = ["s", "10s", "min", "5min", "30min", "h", "6h", "D", "3D", "B", "W-MON", "W-SUN"]
ALL += ["2W-THU", "MS", "ME", "2MS", "QS-FEB", "QE-DEC", "YS-APR", "YE-JUN"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("H", "h"), ("T", "min"), ("5T", "5min"), (" 30 min", "30min"), ("S", "s")]
    + [("d", "D"), ("b", "B"), ("W", "W-SUN"), ("W-wed", "W-WED"), ("M", "ME")]
    + [
        ("MS", "MS"),
        ("Q", "QE-DEC"),
        ("QS", "QS-JAN"),
        ("A", "YE-DEC"),
        ("AS", "YS-JAN"),
    ]
    + [("BM", "ME"), ("BME", "ME"), ("BMS", "MS"), ("BQS-FEB", "QS-FEB"), ("1D", "D")]
    + [("hourly", "h"), ("weekly", "W-SUN"), ("monthly", "ME"), ("yearly", "YE-DEC")],
)
def test_old_new_and_plain_names(text, expected):
    assert parse_frequency(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "m", "x", "5", "0D", "-1D", "SME", "bh", "W-FOO", "ms", "WOM-1MON", "D-MON"],
)
def test_no_frequency(text):
    with pytest.raises(UserError, match="give one of s, min, h"):
        parse_frequency(text)


@pytest.mark.parametrize("frequency", ALL)
def test_names_stay_as_they_are(frequency):
    assert parse_frequency(frequency) == frequency


def test_units_and_seasons():
    assert split_frequency("5min") == (5, "minute")
    assert split_frequency("QS-FEB") == (1, "quarter")
    seasons = {"W-MON": 52, "2W-MON": 26, "MS": 12, "ME": 12, "D": 7, "B": 5, "h": 24}
    seasons |= {"5min": 288, "30min": 48, "6h": 4, "QE-DEC": 4, "YS-JAN": 1, "3D": 1}
    assert {each: season_length(each) for each in seasons} == seasons


@pytest.mark.parametrize("frequency", ALL)
@pytest.mark.parametrize("gap", [False, True])
def test_frequency_is_inferred_with_and_without_a_gap(frequency, gap):
    times = make_times("2019-01-30", 40, frequency)
    if gap:
        times = times.delete([7, 8, 20])
    assert infer_frequency(times) == frequency


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["2020-01-03", "2020-01-06", "2020-01-07"], "B"),
        (["2020-01-06", "2020-01-07", "2020-01-08"], "D"),
        (["2020-01-15", "2020-02-15", "2020-03-15"], "MS"),
        (["2020-01-01", "2020-01-08"], "W-WED"),
        (["2020-04-01", "2020-07-01", "2020-10-01"], "QS-JAN"),
        (["2020-02-29", "2020-05-31", "2020-08-31"], "QE-NOV"),
        # Rare sales: steps of 2, 2, 2, 3, 4, 3 days.
        (["01-01", "01-03", "01-05", "01-07", "01-10", "01-14", "01-17"], "D"),
        (["2020-01-01T00:00", "2020-01-01T00:05", "2020-01-01T00:10"], "5min"),
    ],
)
def test_frequency_of_few_times(times, expected):
    full = [time if len(time) > 5 else f"2020-{time}" for time in times]
    assert infer_frequency(pd.DatetimeIndex(full)) == expected


def test_no_frequency_of_one_time_or_parts_of_a_second():
    for times in ([], ["2020-01-01"]):
        with pytest.raises(UserError, match="--data.frequency"):
            infer_frequency(pd.DatetimeIndex(times))
    times = pd.DatetimeIndex(["2020-01-01T00:00:00.5", "2020-01-01T00:00:01"])
    with pytest.raises(UserError, match="parts of a second"):
        infer_frequency(times)


def test_a_bare_name_takes_its_day_from_the_times():
    weeks = pd.date_range("2020-01-01", periods=5, freq="W-TUE")
    assert settle_frequency("W", weeks) == "W-TUE"
    assert settle_frequency("weekly", weeks) == "W-TUE"
    assert settle_frequency("W-MON", weeks) == "W-MON"
    starts = pd.date_range("2020-01-01", periods=5, freq="MS")
    assert settle_frequency("M", starts) == "MS"
    assert settle_frequency("M", starts - pd.Timedelta(days=1)) == "ME"
    assert settle_frequency("", starts) == "MS"
    assert (
        settle_frequency("Y", pd.DatetimeIndex(["2020-04-01", "2021-04-01"]))
        == "YS-APR"
    )


@pytest.mark.parametrize("frequency", ALL)
@settings(max_examples=8)
@given(data=st.data())
def test_times_of_a_grid_are_found_on_it(frequency, data):
    grid = make_times("2019-02-27", 30, frequency)
    places = data.draw(st.lists(st.integers(0, 29), min_size=1, max_size=8))
    times = grid[sorted({0, *places})]
    again = find_grid(times, frequency)
    assert again.equals(grid[: len(again)])
    np.testing.assert_array_equal(locate(times, again, frequency), sorted({0, *places}))


def test_what_lies_beside_the_grid():
    hours = pd.DatetimeIndex(
        ["2020-01-01T00:30", "2020-01-01T01:00", "2020-01-01T02:00"]
    )
    grid = find_grid(hours, "h")
    assert grid[0] == pd.Timestamp("2020-01-01T01:00")  # one odd stamp moves nothing
    assert locate(hours, grid, "h").tolist() == [-1, 0, 1]
    parts = pd.DatetimeIndex(["2020-01-01T00:00:00.123457", "2020-01-01T06:00:00.5"])
    assert locate(parts, find_grid(parts, "2h"), "2h").tolist() == [0, -1]
    days = pd.DatetimeIndex(["2020-01-03T09:00", "2020-01-04", "2020-01-06"])
    assert locate(days, find_grid(days, "B"), "B").tolist() == [0, -1, 1]
    weeks = pd.DatetimeIndex(["2020-01-06", "2020-01-14", "2020-01-20"])
    assert locate(weeks, find_grid(weeks, "W-MON"), "W-MON").tolist() == [0, -1, 2]


@pytest.mark.parametrize("frequency", ["MS", "ME"])
def test_any_day_is_in_its_month(frequency):
    days = pd.DatetimeIndex(["2020-01-31", "2020-02-01", "2020-02-28", "2020-04-15"])
    grid = find_grid(days, frequency)
    assert grid.month.tolist() == [1, 2, 3, 4]
    assert locate(days, grid, frequency).tolist() == [0, 1, 1, 3]


@pytest.mark.parametrize(("start", "count"), [("noon", 2), ("2020-01-01", 10_000_000)])
def test_no_grid(start, count):
    with pytest.raises(UserError, match="no grid of"):
        make_times(start, count, "YS-JAN")


def test_far_apart():
    times = pd.date_range("2020-01-01", periods=400, freq="5min").insert(
        0, pd.Timestamp("1900-01-01")
    )
    with pytest.raises(UserError, match="run from 1900-01-01"):
        find_grid(times, "5min")
    assert len(find_grid(times, "MS")) == 1441
    assert len(find_grid(times[1:], "min")) == 1996


@pytest.mark.parametrize(
    ("gaps", "words"),
    [
        ([7] * 9, r"series 'b' has values every 7 .*\(1 of 2"),
        ([31, 28, 31, 30, 31, 30, 31, 31], "every 28"),
        ([2, 9, 2, 4, 2, 3, 17, 2, 5], None),  # rare sales
        ([7] * 6, None),  # too few to tell
        ([7] * 8 + [1], None),
    ],
)
def test_one_series_of_another_frequency(gaps, words):
    values = np.full((260, 2), np.nan)
    values[:, 0] = 1
    values[np.cumsum([0, *gaps]), 1] = 1
    expected = pytest.raises(UserError, match=f"mixed frequencies: .*{words}")
    with expected if words else contextlib.nullcontext():
        check_one_frequency(values, ("a", "b"), "D")
