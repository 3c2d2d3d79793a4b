import collections

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from common.errors import UserError
from recsys.corpus.interactions import Interactions
from recsys.corpus.splits import KINDS, SPLITS, describe_leakage, split

# Many ties of time; distinct pairs. Of 15 rows some user has three.
ROWS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 9), st.integers(0, 12)),
    min_size=15,
    max_size=60,
    unique_by=lambda row: row[:2],
)
FRACTIONS = st.sampled_from(
    [(0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.1, 0.2, 0.7), (0.34, 0.33, 0.33)]
)


def make(rows, timed=True):
    users, items, times = np.array(rows, np.int64).reshape(-1, 3).T
    return Interactions(users, items, times if timed else None)


def rows_of(part):
    times = part.times if part.times is not None else np.zeros(len(part))
    return list(
        zip(part.users.tolist(), part.items.tolist(), times.tolist(), strict=True)
    )


def split_or_skip(data, *arguments, **named):
    """Small data often leave a split empty, which is an error of its own."""
    try:
        return split(data, *arguments, **named)
    except UserError as error:
        assert "is empty" in str(error)
        hypothesis.assume(False)
        raise


@pytest.mark.parametrize("kind", KINDS)
@hypothesis.settings(deadline=None)
@hypothesis.given(rows=ROWS, fractions=FRACTIONS, seed=st.integers(0, 2**40))
def test_a_partition_that_does_not_depend_on_the_order(kind, rows, fractions, seed):
    parts = split_or_skip(make(rows), kind, fractions, seed)
    assert list(parts) == ["train", "validation", "test"]
    everything = [row for part in parts.values() for row in rows_of(part)]
    assert sorted(everything) == sorted(rows)  # so no pair is on two sides
    for part in parts.values():
        assert rows_of(part) == sorted(rows_of(part))
    for other in (rows[::-1], sorted(rows, key=lambda row: row[1])):
        again = split(make(other), kind, fractions, seed)
        assert {name: rows_of(part) for name, part in again.items()} == {
            name: rows_of(part) for name, part in parts.items()
        }


def nearest(share):
    return int(np.floor(share + 0.5 + 1e-9))


@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS, FRACTIONS, st.integers(0, 99))
def test_fractions_of_a_random_split(rows, fractions, seed):
    parts = split_or_skip(make(rows, timed=False), "random", fractions, seed)
    train = nearest(fractions[0] * len(rows))
    tuned = nearest((fractions[0] + fractions[1]) * len(rows))
    sizes = [len(parts[name]) for name in SPLITS]
    assert sizes == [train, tuned - train, len(rows) - tuned]
    assert parts["test"].times is None


def test_every_pair_is_equally_likely_to_be_tested():
    rows = [(user, item, 0) for user in range(5) for item in range(4)]
    counts = {kind: collections.Counter() for kind in ("random", "per_user")}
    fractions = (0.5, 0.25, 0.25)
    for seed in range(2000):
        for kind, counter in counts.items():
            counter.update(rows_of(split(make(rows), kind, fractions, seed)["test"]))
    # 2000 trials of chance 1/4: 500 with a standard deviation of 19.
    for counter in counts.values():
        assert sum(counter.values()) == 2000 * 5
        assert all(abs(counter[row] - 500) < 4 * 19.4 for row in rows)


@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS, FRACTIONS, st.integers(0, 99))
def test_sizes_per_user(rows, fractions, seed):
    parts = split_or_skip(make(rows), "per_user", fractions, seed)
    counts = [collections.Counter(part.users.tolist()) for part in parts.values()]
    for user, count in collections.Counter(row[0] for row in rows).items():
        sizes = [counter[user] for counter in counts]
        if count < 3:
            assert sizes == [count, 0, 0]
            continue
        assert min(sizes) >= 1
        # A split that has room above one holds the nearest whole number.
        for size, fraction in zip(sizes[1:], fractions[1:], strict=True):
            expected = max(nearest(fraction * count), 1)
            assert size == expected or (sizes[0] == 1 and size < expected)


def test_sizes_per_user_written_out():
    rows = [(n, item, 0) for n in range(1, 31) for item in range(n)]
    parts = split(make(rows), "per_user")
    sizes = {
        name: np.bincount(part.users, minlength=31)[[2, 3, 10, 14, 15, 30]].tolist()
        for name, part in parts.items()
    }
    assert sizes == {
        "train": [2, 1, 8, 12, 11, 24],
        "validation": [0, 1, 1, 1, 2, 3],
        "test": [0, 1, 1, 1, 2, 3],
    }
    # More than there is: one each is kept.
    parts = split(make(rows[:10]), "per_user", (0.05, 0.05, 0.9))
    assert [np.bincount(part.users).tolist() for part in parts.values()] == [
        [0, 1, 2, 1, 1],
        [0, 0, 0, 1, 1],
        [0, 0, 0, 1, 2],
    ]


@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS, FRACTIONS)
def test_global_time_against_a_loop(rows, fractions):
    parts = split_or_skip(make(rows), "temporal_global", fractions)
    edges = [
        nearest(fractions[0] * len(rows)),
        nearest((fractions[0] + fractions[1]) * len(rows)),
    ]
    expected = {name: [] for name in SPLITS}
    for row in sorted(rows):
        earlier = sum(other[2] < row[2] for other in rows)
        expected[SPLITS[sum(earlier >= edge for edge in edges)]].append(row)
    assert {name: rows_of(part) for name, part in parts.items()} == expected
    assert parts["train"].times.max() < parts["validation"].times.min()
    assert parts["validation"].times.max() < parts["test"].times.min()


def test_global_time_meets_the_fractions_without_ties():
    times = np.random.default_rng(0).permutation(1000)
    rows = [(i % 7, i, time) for i, time in enumerate(times)]
    parts = split(make(rows), "temporal_global", (0.7, 0.2, 0.1))
    assert [len(part) for part in parts.values()] == [700, 200, 100]


@hypothesis.settings(deadline=None)
@hypothesis.given(ROWS, st.integers(0, 99))
def test_leave_last_out_against_a_loop(rows, seed):
    parts = split_or_skip(make(rows), "leave_last_out", seed=seed)
    for user in {row[0] for row in rows}:
        own = sorted(row[2] for row in rows if row[0] == user)
        train, tuned, tested = (
            sorted(row[2] for row in rows_of(part) if row[0] == user)
            for part in parts.values()
        )
        if len(own) < 3:
            assert (train, tuned, tested) == (own, [], [])
        else:
            # Of equal times any may be the last.
            assert (train, tuned, tested) == (own[:-2], [own[-2]], [own[-1]])


def test_the_seed_breaks_ties_of_time():
    rows = [(0, item, 5) for item in range(4)]
    counts = collections.Counter(
        rows_of(split(make(rows), "leave_last_out", seed=seed)["test"])[0][1]
        for seed in range(1000)
    )
    # 250 with a standard deviation of 13.7.
    assert all(abs(counts[item] - 250) < 4 * 13.7 for item in range(4))


def test_each_seed_is_another_split():
    rows = [(i % 10, i, 0) for i in range(200)]
    for kind in ("random", "per_user"):
        tests = {
            tuple(rows_of(split(make(rows), kind, seed=seed)["test"]))
            for seed in range(5)
        }
        assert len(tests) == 5


def test_what_leaks():
    assert describe_leakage("temporal_global") == ""
    for kind in ("random", "per_user", "leave_last_out"):
        text = describe_leakage(kind)
        assert kind in text and "\n" not in text and "leaks in time" in text


FEW = [(user, item, 10 * user + item) for user in range(9) for item in range(2)]


@pytest.mark.parametrize(
    "kind, rows, where, why",
    [
        # Nobody has three, so that other fractions would not help.
        ("leave_last_out", FEW, "validation split", "no user has 3 items"),
        ("per_user", FEW, "validation split", "no user has 3 items"),
        ("random", FEW[:4], "test split", "10% of them is less than one"),
        ("random", [], "train split", "80% of them is less than one"),
        (
            "temporal_global",
            FEW[:4],
            "test split",
            "10% of them is less than one",
        ),
        (
            "temporal_global",
            [(0, i, 7 + (i == 0)) for i in range(20)],
            "validation split",
            "they have 2 different times, and those of one time stay together",
        ),
    ],
)
def test_an_empty_split_is_told_with_a_cause_of_its_kind(kind, rows, where, why):
    with pytest.raises(UserError, match=f"{where} .* is empty") as told:
        split(make(rows), kind)
    (line,) = str(told.value).splitlines()
    assert f"({kind}) of {len(rows)} distinct" in line and why in line
    advice = "--data.split_fractions" if "less than" in why else "--data.split=random"
    assert advice in line


def test_what_is_refused():
    rows = [(0, item, item) for item in range(20)]
    cases = [
        (make(rows), "by_mood", {}, "'by_mood': choose one of random"),
        (make(rows), "random", {"fractions": (0.8, 0.2, 0.1)}, "sum to 1"),
        (make(rows), "random", {"fractions": (0.8, 0.2, 0.0)}, "above 0"),
        (make(rows, False), "temporal_global", {}, "need the time"),
        (make(rows, False), "leave_last_out", {}, "need the time"),
    ]
    for data, kind, named, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            split(data, kind, **named)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="deduplicate first"):
        split(make([*rows, (0, 3, 1)]), "random")
