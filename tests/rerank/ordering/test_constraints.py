"""Feasible orders against a fill that is written out."""

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank.ordering.constraints import Constraints, project

PLACES, COUNT = 6, 3


def plain_fill(order, length, pins, labels, most, places):
    """Place by place, for lists of pins and labels that go with the candidates."""
    left, out = list(order[:length]), []
    early = [i for i in left if 0 <= pins[i] < places]

    def crowd(i):
        same = [j for j in (*early, *(o for o in out if o not in early)) if j < length]
        return sum(labels[j] == labels[i] >= 0 for j in same)

    for place in range(length):
        here = [i for i in left if pins[i] == place]
        free = [i for i in left if pins[i] <= place]
        capped = place < places
        allowed = [i for i in free if not capped or crowd(i) < most]
        pick = (here or allowed or free or left)[0]
        left.remove(pick)
        out.append(pick)
        if place >= places:
            early = early + [pick]  # does not matter any more
    return [*out, *order[length:]]


def draw(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, PLACES + 1, 8)
    mask = np.arange(PLACES)[None] < lengths[:, None]
    pins = np.full(mask.shape, -1, np.int32)
    for row, length in enumerate(lengths):
        if length:
            pins[row, rng.integers(length)] = rng.integers(length)
    labels = rng.integers(-1, 2, mask.shape).astype(np.int32)
    orders = np.tile(np.arange(PLACES, dtype=np.int32), (8, COUNT, 1))
    for row, length in enumerate(lengths):
        for k in range(COUNT):
            orders[row, k, :length] = rng.permutation(length)
    return orders, mask, lengths, pins, labels


PROJECT = jax.jit(lambda o, m, p, g: project(o, m, Constraints(p, g, most=2, places=4)))


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_orders_are_filled_place_by_place(seed):
    orders, mask, lengths, pins, labels = draw(seed)
    found = np.asarray(PROJECT(orders, mask, pins, labels))
    for row, length in enumerate(lengths):
        for k in range(COUNT):
            expected = plain_fill(
                orders[row, k].tolist(), length, pins[row], labels[row], 2, 4
            )
            assert found[row, k].tolist() == expected
    np.testing.assert_array_equal(PROJECT(found, mask, pins, labels), found)


def one(order, pins, labels=None, most=1, places=0):
    mask = np.array([[1] * 4], bool)
    constraints = Constraints(
        np.array([pins], np.int32),
        None if labels is None else np.array([labels], np.int32),
        most,
        places,
    )
    compiled = jax.jit(lambda o: project(o, mask, constraints))
    return compiled(np.array([[order]], np.int32))[0, 0].tolist()


def test_by_hand():
    assert one([3, 2, 1, 0], [-1] * 4) == [3, 2, 1, 0]
    assert one([3, 2, 1, 0], [0, -1, -1, -1]) == [0, 3, 2, 1]
    assert one([0, 1, 2, 3], [2, -1, -1, -1]) == [1, 2, 0, 3]
    # One of a brand in the first two: 1 shares that of 0.
    assert one([0, 1, 2, 3], [-1] * 4, [7, 7, 8, 8], 1, 2) == [0, 2, 1, 3]
    # 3 is pinned to the front and counts; 2 is of its brand.
    assert one([2, 0, 1, 3], [-1, -1, -1, 0], [7, 7, 8, 8], 1, 2) == [3, 0, 2, 1]
    # Nothing but one brand: the cap gives way. No label: not capped.
    assert one([2, 0, 1, 3], [-1] * 4, [7] * 4, 1, 2) == [2, 0, 1, 3]
    assert one([2, 0, 1, 3], [-1] * 4, [-1] * 4, 1, 2) == [2, 0, 1, 3]
