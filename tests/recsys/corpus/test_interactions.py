import dataclasses
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from common.errors import UserError
from recsys.corpus.interactions import Interactions, partition_points

# Few users and items, so that pairs occur twice; the largest number there is, too.
ITEMS = st.sampled_from([0, 1, 2, 3, 4, 2**31 - 1])
ROWS = st.lists(
    st.tuples(st.integers(0, 5), ITEMS, st.integers(-3, 3)), min_size=0, max_size=40
)


def make(rows, timed=True):
    users, items, times = np.array(rows, np.int64).reshape(-1, 3).T
    return Interactions(users, items, times if timed else None)


def pairs(interactions):
    return list(
        zip(interactions.users.tolist(), interactions.items.tolist(), strict=True)
    )


@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS, st.booleans())
def test_deduplicate_keeps_the_earliest(rows, timed):
    earliest = {}
    for user, item, time in rows:
        earliest[user, item] = min(time, earliest.get((user, item), math.inf))
    result, dropped = make(rows, timed).deduplicate()
    assert pairs(result) == sorted(earliest)
    assert dropped == len(rows) - len(earliest)
    if timed:
        assert result.times.tolist() == [earliest[pair] for pair in sorted(earliest)]
    else:
        assert result.times is None


@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS, st.booleans())
def test_deduplicate_adds_up_the_weights(rows, timed):
    weights = 1 + np.arange(len(rows), dtype=np.float64) ** 2
    total = {}
    for (user, item, _), weight in zip(rows, weights, strict=True):
        total[user, item] = total.get((user, item), 0) + weight
    whole = dataclasses.replace(make(rows, timed), weights=weights)
    result, _ = whole.deduplicate()
    assert result.weights.tolist() == [total[pair] for pair in sorted(total)]
    assert (result.times is None) == (not timed)
    assert whole.take([0][: len(rows)]).weights.tolist() == [1.0][: len(rows)]


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_a_weight_is_above_zero(weight):
    with pytest.raises(UserError, match="interaction 1 .* has the weight"):
        Interactions(np.array([0, 0]), np.array([1, 2]), None, np.array([1, weight]))


@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS)
def test_sort_keeps_the_times_with_their_pairs(rows):
    rows = list({row[:2]: row for row in rows}.values())
    result = make(rows).sort()
    together = [
        (*pair, time) for pair, time in zip(pairs(result), result.times, strict=True)
    ]
    assert together == sorted(rows)


@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS, st.integers(6, 8))
def test_items_of_each_user(rows, user_count):
    table = make(rows).by_user(user_count)
    assert table.user_count == user_count
    for user in range(user_count):
        expected = sorted(item for other, item, _ in rows if other == user)
        assert table.items_of(user).tolist() == expected
        assert table.counts[user] == len(expected)
    assert table.items.dtype == np.int32 and table.starts.dtype == np.int64
    known = {row[:2] for row in rows}
    users = np.repeat(np.arange(user_count), 7)
    items = np.tile([0, 1, 2, 3, 4, 5, 2**31 - 1], user_count)
    expected = [pair in known for pair in zip(users, items, strict=True)]
    assert table.contains(users, items).tolist() == expected
    grid = table.contains(np.arange(user_count)[:, None], items[:7])
    assert grid.ravel().tolist() == expected


@hypothesis.settings(deadline=None)
@hypothesis.given(
    st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=8),
    st.integers(0, 10),
)
def test_partition_points_against_numpy(ranges, bound):
    ranges = [sorted(values) for values in ranges]
    values = np.concatenate(ranges).astype(int)
    high = np.cumsum([len(values) for values in ranges])
    low = high - [len(values) for values in ranges]
    points = partition_points(
        low, high, lambda at: values.take(at, mode="clip") < bound
    )
    expected = [np.searchsorted(values, bound) for values in ranges]
    assert (points - low).tolist() == expected


def test_take_and_types():
    data = Interactions([1, 0, 2], np.array([5, 6, 7], np.int64), [3, 2, 1])
    assert (data.users.dtype, data.items.dtype) == (np.int32, np.int32)
    assert data.times.dtype == np.float64 and len(data) == 3
    part = data.take(np.array([2, 0]))
    assert (pairs(part), part.times.tolist()) == ([(2, 7), (1, 5)], [1.0, 3.0])
    assert pairs(data.take(data.users == 0)) == [(0, 6)]
    items = np.array([4], np.int32)
    assert Interactions([0], items).items is items  # 100 million are not copied


def test_no_interactions():
    empty = Interactions([], [], [])
    assert len(empty.deduplicate()[0]) == 0
    table = empty.by_user(2)
    assert table.starts.tolist() == [0, 0, 0]
    assert table.contains(np.array([0, 1]), np.array([0, 3])).tolist() == [False] * 2
    assert table.contains(np.array([], int), np.array([], int)).shape == (0,)
    assert empty.by_user(0).user_count == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, -1], [0, 0]), "interaction 1 .* user number -1"),
        (([0, 0], [2**31, 0]), "interaction 0 .* item number 2147483648"),
        (([0], [0], [math.nan]), "interaction 0 .* the time nan"),
        (([0, 0], [0, 1], [0, -math.inf]), "interaction 1 .* the time -inf"),
    ],
)
def test_mistakes_of_users(arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        Interactions(*arguments)
    assert "\n" not in str(caught.value)


def test_mistakes_of_programs():
    for arguments in (([0], [0, 1]), ([0], [0], [1, 2]), ([0], [0], [])):
        with pytest.raises(ValueError, match="lengths"):
            Interactions(*arguments)
    for users in ([0.5], ["a"], [[0]], [True]):
        with pytest.raises(ValueError, match="whole numbers"):
            Interactions(users, [0])
    with pytest.raises(ValueError, match=r"times have shape"):
        Interactions([0], [0], [[1.0]])
    with pytest.raises(ValueError, match="user 2 is not one of 2"):
        Interactions([0, 2], [0, 0]).by_user(2)
    table = Interactions([0], [0]).by_user(1)
    for user in (-1, 1):
        with pytest.raises(ValueError, match="there are 1"):
            table.contains(np.array([user]), np.array([0]))
