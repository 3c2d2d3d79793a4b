import json
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from common.errors import UserError
from pricer.inputs.trimming import PriceLimits, from_log_prices, to_log_prices


def test_limits_of_forty_rows():
    # 40 * 0.05 / 2 = 1 row falls away at each end.
    values = np.random.default_rng(0).permutation(40) / 10
    limits = PriceLimits.fit(values, 0.05)
    assert (limits.low, limits.high, limits.share) == (0.1, 3.8, 0.05)
    assert sorted(values[~limits.keep(values)]) == [0.0, 3.9]


def test_product_that_rounds_down():
    # 200 * 0.07 / 2 = 7, but 7.000000000000001 or 6.999… in floating point.
    limits = PriceLimits.fit(np.arange(200.0), 0.07)
    assert (limits.low, limits.high) == (7.0, 192.0)


def test_rows_that_tie_with_a_limit_are_kept():
    values = np.array([1.0] * 5 + [2.0] * 10 + [3.0] * 4 + [9.0])
    limits = PriceLimits.fit(values, 0.2)  # 2 rows at each end
    assert (limits.low, limits.high) == (1.0, 3.0)
    assert limits.keep(values).tolist() == [True] * 19 + [False]


def test_share_zero_keeps_new_rows_too():
    limits = PriceLimits.fit([1.0, 2.0], 0.0)
    assert limits.keep([-100.0, 1.5, 100.0]).all()


def test_one_row():
    assert PriceLimits.fit([4.0], 0.99).keep([3.9, 4.0, 4.1]).tolist() == [0, 1, 0]


@hypothesis.settings(deadline=None)
@hypothesis.given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=60),
    st.floats(0, 0.99),
)
def test_never_more_than_the_share_and_only_extremes(values, share):
    values = np.array(values, np.float64)
    kept = PriceLimits.fit(values, share).keep(values)
    assert kept.any()
    assert (~kept).sum() <= share * len(values) + 1e-6
    inner = values[kept]
    outer = values[~kept]
    assert ((outer < inner.min()) | (outer > inner.max())).all()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5])
def test_json_round_trip(share):
    limits = PriceLimits.fit(np.log(np.arange(1.0, 100.0)), share)
    text = json.dumps(limits.to_json(), allow_nan=False)
    assert PriceLimits.from_json(json.loads(text)) == limits


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"low": 1, "high": 0, "share": 0.1},
        {"low": "x", "high": 0, "share": 0.1},
        {"low": 0, "high": math.nan, "share": 0.1},
        {"low": 0, "high": 1, "share": 1},
        [],
    ],
)
def test_damaged_json(value):
    with pytest.raises(UserError, match="damaged"):
        PriceLimits.from_json(value)


def test_what_limits_refuse():
    with pytest.raises(UserError, match="no training rows"):
        PriceLimits.fit([], 0.05)
    for share in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match="share"):
            PriceLimits.fit([1.0], share)
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="finite"):
            PriceLimits.fit([1.0, value], 0.05)
        with pytest.raises(ValueError, match="finite"):
            PriceLimits.fit([1.0], 0.05).keep([value])


def test_logarithms_written_out():
    np.testing.assert_allclose(to_log_prices([1.0, math.e, 100.0]), [0, 1, 4.60517019])
    np.testing.assert_allclose(
        to_log_prices([1.0, math.e - 1], "log1p"), [math.log(2), 1]
    )
    np.testing.assert_allclose(from_log_prices([0.0, 1.0]), [1, math.e])
    np.testing.assert_allclose(from_log_prices([0.0, 1.0], "log1p"), [0, math.e - 1])
    assert from_log_prices([1e4]).tolist() == [math.inf]


@hypothesis.settings(deadline=None)
@hypothesis.given(
    st.lists(st.floats(1e-6, 1e12), min_size=1), st.sampled_from(["log", "log1p"])
)
def test_inverse(prices, transform):
    back = from_log_prices(to_log_prices(prices, transform), transform)
    np.testing.assert_allclose(back, prices, rtol=1e-9)


@pytest.mark.parametrize("transform", ["log", "log1p"])
@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_prices_refused(price, transform):
    with pytest.raises(UserError, match=r"row 2 of 3 \(1 such\)") as caught:
        to_log_prices([5.0, price, 1.0], transform)
    assert "\n" not in str(caught.value)


def test_unknown_transform():
    for function in (to_log_prices, from_log_prices):
        with pytest.raises(UserError, match="'log2': give log or log1p"):
            function([1.0], "log2")
