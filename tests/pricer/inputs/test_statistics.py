import json

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from pricer.inputs.statistics import (
    GroupTable,
    earlier_sales,
    encode,
    other_sales,
    summary,
)

CODES = st.integers(-1, 3)
PRICES = st.floats(-20, 20).map(lambda x: round(x, 3))
TIMES = st.integers(0, 4).map(float)
ROWS = st.lists(st.tuples(CODES, TIMES, PRICES, st.booleans()), max_size=30)


def columns(rows):
    codes, times, prices, sold = zip(*rows, strict=True) if rows else ((),) * 4
    return (
        np.array(codes, np.int64),
        np.array(times, np.float64),
        np.array(prices, np.float64),
        np.array(sold, bool),
    )


def by_hand(prices):
    """Statistics of the prices that a row sees, in plain numpy."""
    if not len(prices):
        return [np.nan] * 4
    return [*np.quantile(prices, [0.25, 0.5, 0.75]), np.mean(prices)]


def test_quartiles_of_four_prices():
    # Places 0.75, 1.5 and 2.25 of 1, 2, 4, 8: 1 + .75, 2 + .5 * 2, 4 + .25 * 4.
    expected = [1.75, 3.0, 5.0, 3.75]
    np.testing.assert_allclose(summary(np.array([8.0, 1.0, 4.0, 2.0])), expected)
    table = GroupTable.fit(["a", "a", "b", "a", "a"], np.array([8.0, 1, 7, 4, 2]))
    assert table.names == ("a", "b")
    np.testing.assert_allclose(table.statistics, [expected, [7.0] * 4])
    assert table.counts.tolist() == [4, 1]


def test_others_written_out():
    codes = np.array([0, 0, 0, 1, -1])
    statistics, counts = other_sales(codes, np.array([1.0, 5.0, 3.0, 9.0, 9.0]))
    np.testing.assert_allclose(
        statistics[:3],
        [[3.5, 4, 4.5, 4], [1.5, 2, 2.5, 2], [2, 3, 4, 3]],
    )
    assert np.isnan(statistics[3:]).all()
    assert counts.tolist() == [2, 2, 2, 0, 0]


def test_earlier_written_out():
    # The two sales at time 2 do not see each other; the row that asks sees both.
    codes = np.zeros(5, np.int64)
    times = np.array([2.0, 1.0, 2.0, 3.0, 1.0])
    prices = np.array([5.0, 1.0, 3.0, np.nan, np.nan])
    statistics, counts = earlier_sales(codes, times, prices)
    assert counts.tolist() == [1, 0, 1, 3, 0]
    np.testing.assert_allclose(statistics[[0, 2]], np.ones((2, 4)))
    np.testing.assert_allclose(statistics[3], [2, 3, 4, 3])
    assert np.isnan(statistics[[1, 4]]).all()


@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS)
def test_others_against_numpy(rows):
    codes, _, prices, _ = columns(rows)
    statistics, counts = other_sales(codes, prices)
    index = np.arange(len(codes))
    for row in index:
        seen = prices[(codes == codes[row]) & (codes >= 0) & (index != row)]
        np.testing.assert_allclose(statistics[row], by_hand(seen), atol=1e-9)
        assert counts[row] == len(seen)


@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS)
def test_earlier_against_numpy(rows):
    codes, times, prices, sold = columns(rows)
    prices = np.where(sold, prices, np.nan)
    statistics, counts = earlier_sales(codes, times, prices)
    for row in range(len(codes)):
        group = (codes == codes[row]) & (codes >= 0)
        seen = prices[group & (times < times[row]) & sold]
        np.testing.assert_allclose(statistics[row], by_hand(seen), atol=1e-9)
        assert counts[row] == len(seen)


@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS)
def test_table_against_numpy(rows):
    codes, _, prices, _ = columns(rows)
    keys = [None if code < 0 else f"group {code}" for code in codes]
    table = GroupTable.fit(keys, prices)
    statistics, counts = table.look_up([*keys, "group 9"])
    for row, code in enumerate([*codes, 9]):
        seen = prices[(codes == code) & (codes >= 0)]
        np.testing.assert_allclose(statistics[row], by_hand(seen), atol=1e-9)
        assert counts[row] == len(seen)
    again = GroupTable.from_json(json.loads(json.dumps(table.to_json())))
    assert again.to_json() == table.to_json()
    np.testing.assert_array_equal(again.look_up(keys)[0], statistics[:-1])


@pytest.mark.parametrize(
    "keys",
    [
        ["b", None, "a", "b", np.nan],
        np.array(["b", None, "a", "b", np.nan], object),
        pd.Series(["b", None, "a", "b", None], index=[5, 3, 9, 1, 0]),
        pd.Series(["b", None, "a", "b", None], dtype="category"),
    ],
)
def test_kinds_of_columns(keys):
    codes, names = encode(keys)
    assert codes.tolist() == [1, -1, 0, 1, -1]
    assert names == ("a", "b")


def test_whole_numbers_stay_whole_beside_an_empty_cell():
    assert encode([12, None, 5, "5"])[1] == ("12", "5")
    assert encode([12, None, 5, "5"])[0].tolist() == [0, -1, 1, 1]
    assert encode([None, None])[1] == ()
    assert encode([])[0].shape == (0,)
