import json
import math

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from common.errors import UserError
from pricer.inputs.history import COUNT_NAMES, STATISTIC_NAMES, PriceHistory
from pricer.inputs.sales import Sales, training_statistics

# One-item categories, missing keys and ties of time are frequent among these.
KEYS = st.sampled_from([None, math.nan, "a", "b", "c", "d"])
TIMES = st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan])
PRICES = st.integers(-2000, 2000).map(lambda x: x / 100)
ROW = st.tuples(PRICES, KEYS, KEYS, TIMES)
ROWS = st.lists(ROW, min_size=1, max_size=25)
NEW_ROWS = st.lists(ROW, min_size=1, max_size=8)


def split(rows):
    prices, categories, sellers, times = map(list, zip(*rows, strict=True))
    return np.array(prices), categories, sellers, np.array(times)


def statistics(prices):
    return [*np.quantile(prices, [0.25, 0.5, 0.75]), np.mean(prices)]


def oracle(prices, seen, category, seller, categories, sellers, overall=None):
    """Features of one row that sees the sales `seen` (bool [N]), not standardised."""
    if overall is None:
        overall = statistics(prices[seen]) if seen.any() else [math.nan] * 4
    row, counts = list(overall), []
    for key, keys in ((category, categories), (seller, sellers)):
        same = np.array([isinstance(key, str) and other == key for other in keys])
        own = prices[seen & same]
        whole = same.all()  # such a group takes the overall statistics
        row += statistics(own) if len(own) and not whole else list(overall)
        counts.append(math.log1p(len(own)))
    return row + counts


def expected_training(rows, timed):
    prices, categories, sellers, times = split(rows)
    if np.isnan(times).all():
        timed = False
    last = np.where(np.isnan(times), np.inf, times)
    place = np.arange(len(prices))
    result = []
    for row in place:
        if timed:
            seen, overall = last < last[row], None
        else:
            seen, overall = place != row, statistics(prices)
        keys = categories[row], sellers[row]
        result.append(oracle(prices, seen, *keys, categories, sellers, overall))
    return np.array(result)


def standardised(raw, prices, sought):
    """What `sought` becomes with mean and scale of `raw`, both not standardised."""
    with np.errstate(invalid="ignore"):
        known = ~np.isnan(raw[:, 0])
    result = np.zeros(sought.shape)
    for j in range(raw.shape[1]):
        column = raw[known, j] if j < 12 else raw[:, j]
        if len(column):
            center, scale = column.mean(), column.std()
        else:
            center, scale = statistics(prices)[j % 4], 0.0
        if j < 12:
            scale = max(scale, 0.1 * prices.std())
        result[:, j] = (sought[:, j] - center) / (scale if scale > 1e-9 else 1)
    return np.nan_to_num(result)


@pytest.mark.parametrize("timed", [False, True])
@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS)
def test_training_rows_against_numpy(timed, rows):
    prices, categories, sellers, times = split(rows)
    when = times if timed else None
    raw = training_statistics(Sales(prices, categories, sellers, when))
    expected = expected_training(rows, timed)
    np.testing.assert_allclose(raw, expected, atol=1e-9)
    _, features = PriceHistory.fit(prices, categories, sellers, when)
    assert features.dtype == np.float32
    wanted = standardised(expected, prices, expected)
    np.testing.assert_allclose(features, wanted, rtol=1e-5, atol=1e-5)


@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS, NEW_ROWS, st.booleans())
def test_new_rows_against_numpy(rows, new, counts):
    prices, categories, sellers, times = split(rows)
    _, new_categories, new_sellers, new_times = split(new)
    history, _ = PriceHistory.fit(prices, categories, sellers, times, counts=counts)
    sales = Sales(prices, categories, sellers, times)
    late = np.where(np.isnan(times), np.inf, times)
    final, earlier = [], []
    for row, time in enumerate(new_times):
        keys = new_categories[row], new_sellers[row]
        everything = np.ones(len(prices), bool)
        final.append(_new_row(prices, everything, keys, categories, sellers))
        timeless = np.isnan(time) or np.isnan(times).all()
        seen = everything if timeless else late < time
        earlier.append(_new_row(prices, seen, keys, categories, sellers))
    raw = expected_training(rows, True)
    for expected, given_times in ((final, None), (earlier, new_times)):
        features = history.features(
            new_categories, new_sellers, given_times, sales=sales
        )
        wanted = standardised(raw, prices, np.array(expected))
        np.testing.assert_allclose(
            features, wanted[:, : features.shape[1]], rtol=1e-4, atol=1e-4
        )
        assert features.shape == (len(new), 14 if counts else 12)


def _new_row(prices, seen, keys, categories, sellers):
    # One more row that nobody shares keys with: no group holds all rows.
    return oracle(
        np.append(prices, 0.0),
        np.append(seen, False),
        *keys,
        [*categories, ""],
        [*sellers, ""],
    )


@pytest.mark.parametrize("timed", [False, True])
@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS, st.integers(0, 24), PRICES)
def test_own_price_changes_nothing_in_own_statistics(timed, rows, row, price):
    prices, categories, sellers, times = split(rows)
    row %= len(prices)
    when = times if timed else None
    before = training_statistics(Sales(prices, categories, sellers, when))
    other = np.where(np.arange(len(prices)) == row, price, prices)
    after = training_statistics(Sales(other, categories, sellers, when))
    if timed and not np.isnan(times).all():
        np.testing.assert_array_equal(before[row], after[row])
    else:
        # The overall statistics hold the own price, but they are the same for all rows.
        for raw in (before, after):
            assert (raw[:, :4] == raw[:1, :4]).all()
        for block, count in ((slice(4, 8), 12), (slice(8, 12), 13)):
            others = round(math.expm1(before[row, count]))
            if others in (0, len(prices) - 1):
                for raw in (before, after):
                    np.testing.assert_array_equal(raw[row, block], raw[row, :4])
            else:
                np.testing.assert_allclose(
                    before[row, block], after[row, block], atol=1e-9
                )
        np.testing.assert_array_equal(before[row, 12:], after[row, 12:])


def test_overall_features_without_times_tell_no_row_about_itself():
    prices = np.random.default_rng(0).normal(size=50)
    one = ["only"] * 50
    history, features = PriceHistory.fit(prices, one, None)
    np.testing.assert_array_equal(features, np.tile(features[:1], (50, 1)))
    np.testing.assert_allclose(features, 0, atol=1e-12)
    # To a row that is priced the category has one sale more.
    counts = history.features(["only"], None)[0, 12]
    np.testing.assert_allclose(counts, math.log(51) - math.log(50), rtol=1e-5)


@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS, st.randoms(use_true_random=False), st.booleans())
def test_permuted_rows_permute_features(rows, random, timed):
    order = list(range(len(rows)))
    random.shuffle(order)
    results = []
    for chosen in (rows, [rows[i] for i in order]):
        prices, categories, sellers, times = split(chosen)
        when = times if timed else None
        results.append(PriceHistory.fit(prices, categories, sellers, when)[1])
    np.testing.assert_allclose(results[0][order], results[1], rtol=1e-5, atol=1e-5)


def test_timed_features_written_out():
    # Four sales; the first sees nothing, the two of day 2 see only the first.
    prices = np.array([1.0, 3.0, 5.0, 7.0])
    sales = Sales(prices, ["a", "a", "b", "a"], [None, "s", "s", "s"], [1, 2, 2, 3])
    expected = [
        [math.nan] * 12 + [0, 0],
        [1.0] * 12 + [math.log(2), 0],
        [1.0] * 12 + [0, 0],
        [2, 3, 4, 3, 1.5, 2, 2.5, 2, 3.5, 4, 4.5, 4, math.log(3), math.log(3)],
    ]
    np.testing.assert_allclose(training_statistics(sales), expected)
    history, features = PriceHistory.fit(
        prices, sales.categories, sales.sellers, [1, 2, 2, 3]
    )
    # The overall mean: 1, 1, 3 with mean 5/3 and deviation sqrt(8)/3.
    assert history.center[3] == pytest.approx(5 / 3)
    assert history.scale[3] == pytest.approx(math.sqrt(8) / 3)
    np.testing.assert_allclose(features[0, :12], 0)
    np.testing.assert_allclose(
        features[1:, 3], [-1 / math.sqrt(2), -1 / math.sqrt(2), math.sqrt(2)], rtol=1e-6
    )


def test_fall_backs_of_new_rows():
    prices = np.array([1.0, 2.0, 3.0, 10.0])
    history, _ = PriceHistory.fit(prices, ["a", "a", "b", None], ["s", "t", None, "s"])
    rows = history.features(["a", "unseen", None], ["t", math.nan, "unseen"])
    raw = rows * history.scale[None, :] + history.center[None, :]
    overall = [1.75, 2.5, 4.75, 4.0]
    known = [*overall, 1.25, 1.5, 1.75, 1.5, 2, 2, 2, 2, math.log(3), math.log(2)]
    fallen = [*overall * 3, 0, 0]
    np.testing.assert_allclose(raw, [known, fallen, fallen], rtol=1e-5, atol=1e-6)


def test_a_scale_is_at_least_a_tenth_of_the_prices_deviation():
    prices = np.array([0.0, 10.0] * 50)
    categories = (["a"] * 2 + ["b"] * 2) * 25
    history, features = PriceHistory.fit(prices, categories, None)
    assert history.scale[7] == pytest.approx(0.1 * 5)
    # 24 or 25 of 49 others are 10: 5 -+ 5 / 49, in units of 0.5.
    np.testing.assert_allclose(features[:2, 7], [10 / 49, -10 / 49], rtol=1e-5)


def test_constant_prices_and_one_row():
    for prices in ([4.0] * 5, [4.0]):
        history, features = PriceHistory.fit(prices, ["a"] * len(prices), None)
        np.testing.assert_array_equal(features, np.zeros_like(features))
        assert (history.scale[:12] == 1).all()
    assert np.isfinite(history.features(["a", "b"], None)).all()


def test_absent_columns_keep_the_width():
    prices = np.array([1.0, 2.0, 4.0])
    history, features = PriceHistory.fit(prices, None, None)
    assert features.shape == (3, 14)
    assert history.names == STATISTIC_NAMES + COUNT_NAMES
    assert history.available == STATISTIC_NAMES[:4]
    np.testing.assert_array_equal(history.features(["x"], ["y"]), features[:1])
    np.testing.assert_array_equal(history.features(None, None, rows=2), features[:2])
    with pytest.raises(ValueError, match="rows"):
        history.features(None, None)
    history, _ = PriceHistory.fit(prices, ["a", "a", "b"], [None] * 3, counts=False)
    assert history.names == STATISTIC_NAMES
    assert history.available == STATISTIC_NAMES[:8]
    history, _ = PriceHistory.fit(prices, None, ["a", "a", "b"])
    assert history.available == (
        *STATISTIC_NAMES[:4],
        *STATISTIC_NAMES[8:],
        COUNT_NAMES[1],
    )


def test_columns_of_a_table():
    frame = pd.DataFrame(
        {"c": ["a", None, "b", "a"], "t": [1.0, 2.0, math.nan, 3.0]}, index=[7, 1, 4, 2]
    )
    prices = [1.0, 2.0, 3.0, 4.0]
    history, features = PriceHistory.fit(prices, frame["c"], None, frame["t"])
    _, plain = PriceHistory.fit(prices, list(frame["c"]), None, list(frame["t"]))
    np.testing.assert_array_equal(features, plain)
    sales = Sales(prices, frame["c"], None, frame["t"])
    assert np.isfinite(
        history.features(frame["c"], None, frame["t"], sales=sales)
    ).all()


@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS, st.booleans())
def test_json_round_trip(rows, counts):
    prices, categories, sellers, times = split(rows)
    for columns in ((categories, sellers), (None, sellers), (None, None)):
        history, _ = PriceHistory.fit(prices, *columns, times, counts=counts)
        text = json.dumps(history.to_json(), allow_nan=False)
        again = PriceHistory.from_json(json.loads(text))
        assert again.to_json() == history.to_json()
        assert again.available == history.available
        np.testing.assert_array_equal(
            again.features(categories, sellers), history.features(categories, sellers)
        )


def test_damaged_json():
    good = PriceHistory.fit([1.0, 2.0, 3.0], ["a", "a", "b"], None)[0].to_json()
    table = good["categories"]
    damaged = [
        {},
        [],
        {**good, "overall": [1.0]},
        {**good, "scale": [0.0] * 14},
        {**good, "center": [math.nan] * 14},
        {**good, "center": [0.0] * 13, "scale": [1.0] * 13},
        {**good, "categories": "a"},
        {**good, "categories": {**table, "names": ["a", "a"]}},
        {**good, "categories": {**table, "names": ["a"]}},
        {**good, "categories": {**table, "counts": [1, 0]}},
        {**good, "categories": {**table, "counts": [1, 10**30]}},
        {**good, "categories": {**table, "statistics": [["x"] * 4] * 2}},
    ]
    for value in damaged:
        with pytest.raises(UserError, match="price history's file is damaged"):
            PriceHistory.from_json(value)


def test_what_is_refused():
    for price in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="finite"):
            PriceHistory.fit([1.0, price], ["a", "b"], None)
    with pytest.raises(UserError, match="no training rows") as caught:
        PriceHistory.fit([], [], [])
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="2 are expected"):
        PriceHistory.fit([1.0, 2.0], ["a"], None)
    with pytest.raises(ValueError, match="times must be finite"):
        PriceHistory.fit([1.0, 2.0], None, None, [0.0, math.inf])
    history, _ = PriceHistory.fit([1.0, 2.0], None, None, [0.0, 1.0])
    with pytest.raises(ValueError, match="times need the sales"):
        history.features(["a"], None, [1.0])
    with pytest.raises(ValueError, match="1 are expected"):
        history.features(["a"], ["b", "c"])
