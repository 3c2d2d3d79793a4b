import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from forecast.features import calendar, lags_of


@pytest.mark.parametrize(
    ("frequency", "lags"),
    [
        ("h", (1, 24, 168)),
        ("B", (1, 2)),
        ("D", (1, 7, 14)),
        ("W-MON", (1, 52)),
        ("MS", (1, 12)),
        ("5min", (1, 4, 12, 24, 48)),
        ("6h", (1, 4)),
        ("YE-DEC", (1,)),
    ],
)
def test_lags_by_frequency(frequency, lags):
    assert lags_of(frequency, 1000) == lags


def test_lags_that_history_does_not_reach_are_left_out():
    assert lags_of("h", 30) == (1, 24)
    assert lags_of("W-MON", 0) == (1,)


def test_calendar_by_hand():
    times = pd.DatetimeIndex(["2024-01-01 00:00", "2024-01-03 06:00"])
    found = calendar(times, "h")
    # Monday at midnight; Wednesday, a quarter of the day in.
    third = 2 * np.pi * 2 / 7
    expected = [[1, 0, 1, 0], [0, 1, np.cos(third), np.sin(third)]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_step_has_the_same_numbers_in_any_table():
    times = pd.date_range("2024-01-01", periods=400, freq="D")
    np.testing.assert_array_equal(calendar(times, "D")[3:5], calendar(times[3:5], "D"))


@pytest.mark.parametrize(
    ("times", "frequency", "expected"),
    [
        (pd.date_range("2024-12-24", periods=3), "D", [0, 1, 0]),
        (pd.date_range("2024-12-24 12:00", periods=4, freq="6h"), "6h", [0, 0, 1, 1]),
        (pd.date_range("2024-11-01", periods=3, freq="MS"), "MS", [0, 1, 0]),
        (pd.date_range("2024-12-22", periods=2, freq="W-SUN"), "W-SUN", [0, 1]),
    ],
)
def test_a_step_that_holds_a_holiday_is_told(times, frequency, expected):
    found = calendar(times, frequency, ("2024-12-25",))
    assert found[:, -1].tolist() == expected
    assert found.shape[1] == calendar(times, frequency).shape[1] + 1


def test_a_holiday_that_is_no_date_is_told():
    with pytest.raises(UserError, match="'christmas' is no date"):
        calendar(pd.date_range("2024-01-01", periods=2), "D", ("christmas",))
