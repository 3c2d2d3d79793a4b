"""Orders are permutations, beams are greedy or exhaustive where they must be."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rerank.ordering import generators, search
from rerank.ordering.pointer import Pointer, pointer_policy

LENGTHS = np.array([5, 3, 1, 0, 4])
MASK = np.arange(5)[None] < LENGTHS[:, None]
ITEMS = np.random.default_rng(0).normal(size=(5, 5, 6)).astype(np.float32)
KEYS = jax.random.split(jax.random.key(0), 5)


@functools.cache
def params():
    shapes = jax.eval_shape(Pointer(6).init, jax.random.key(0), ITEMS, MASK)["params"]
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes
    )


@functools.cache
def run(kind, *args):
    """Orders of the pointer and log-probabilities, on the host."""

    def generate():
        policy = pointer_policy(params(), ITEMS, MASK)
        if kind == "beam":
            return generators.beam(policy, MASK, *args)
        if kind == "sample":
            return generators.sample(policy, MASK, KEYS, *args)
        return generators.greedy(policy, MASK)

    return jax.tree.map(np.asarray, jax.jit(generate)())


@functools.cache
def everything():
    """All 120 orders and their log-probabilities."""

    def logs():
        orders = search.all_orders(MASK)
        policy = pointer_policy(params(), ITEMS, MASK)
        return orders, generators.log_probs(policy, MASK, orders)

    return tuple(map(np.asarray, jax.jit(logs)()))


def assert_permutations(orders):
    for row, length in enumerate(LENGTHS):
        for order in orders[row]:
            assert sorted(order[:length]) == list(range(length))
            assert list(order[length:]) == list(range(length, 5))


RUNS = [("greedy",), ("sample", 7), ("beam", 1), ("beam", 4), ("beam", 120)]


@pytest.mark.parametrize("call", RUNS, ids=str)
def test_orders_are_permutations_of_what_is_there(call):
    found = run(*call)
    assert found.orders.dtype == np.int32
    assert_permutations(found.orders)


def test_a_beam_of_one_is_greedy():
    np.testing.assert_array_equal(run("beam", 1).orders, run("greedy").orders)
    np.testing.assert_allclose(
        run("beam", 1).log_probs, run("greedy").log_probs, rtol=1e-5, atol=1e-6
    )


def test_probabilities_of_all_orders_add_up_to_one():
    orders, logs = everything()
    for row in range(5):
        distinct = {tuple(o): p for o, p in zip(orders[row], logs[row], strict=True)}
        assert np.exp(list(distinct.values())).sum() == pytest.approx(1, rel=1e-5)


def test_a_full_beam_is_exhaustive():
    orders, logs = everything()
    found = run("beam", 120)
    for row in range(5):
        distinct = {tuple(o): p for o, p in zip(orders[row], logs[row], strict=True)}
        real = np.isfinite(found.log_probs[row])
        beams = [tuple(order) for order in found.orders[row][real]]
        assert len(beams) == len(set(beams)) == len(distinct)
        ranked = sorted(distinct.values(), reverse=True)
        np.testing.assert_allclose(
            found.log_probs[row][real], ranked, rtol=1e-4, atol=1e-5
        )


def test_probabilities_by_hand():
    """Step by step, in NumPy."""
    policy = pointer_policy(params(), ITEMS, MASK)
    orders, logs = everything()
    for row, number in ((0, 17), (1, 0), (4, 60)):
        state, total = policy.start[:, None], 0.0
        order = orders[row, number]
        for place in range(LENGTHS[row]):
            logits = np.asarray(policy.logits(state), np.float64)[row, 0]
            left = order[place : LENGTHS[row]]
            total += logits[order[place]] - np.log(np.exp(logits[left]).sum())
            state = policy.advance(state, jnp.full((5, 1), order[place]))
        assert logs[row, number] == pytest.approx(total, rel=1e-4)


def test_samples_come_as_often_as_they_are_likely():
    scores = np.array([[1.0, 0.0, -1.0]], np.float32)
    mask = np.ones((1, 3), bool)
    policy = generators.score_policy(jnp.asarray(scores))
    drawn = jax.jit(lambda k: generators.sample(policy, mask, k, 20_000).orders)
    orders = np.asarray(drawn(KEYS[:1]))[0]
    weights = np.exp(scores[0].astype(np.float64))
    for order in itertools.permutations(range(3)):
        picks = weights[list(order)]
        expected = np.prod(picks / np.cumsum(picks[::-1])[::-1])
        share = (orders == np.array(order)).all(1).mean()
        assert share == pytest.approx(expected, abs=0.015)


def test_a_sample_does_not_depend_on_the_rest_of_the_batch():
    policy = generators.score_policy(jnp.asarray(ITEMS[..., 0]))
    alone = generators.score_policy(jnp.asarray(ITEMS[:1, :, 0]))
    draw = jax.jit(
        lambda: (
            generators.sample(policy, MASK, KEYS, 3).orders,
            generators.sample(alone, MASK[:1], KEYS[:1], 3).orders,
        )
    )
    whole, first = draw()
    np.testing.assert_array_equal(whole[0], first[0])


def test_greedy_on_scores_is_sorting():
    scores = ITEMS[..., 0]
    greedy = generators.greedy(generators.score_policy(jnp.asarray(scores)), MASK)
    order = generators.sort_order(scores, MASK)
    np.testing.assert_array_equal(greedy.orders[:, 0], order)
    for row, length in enumerate(LENGTHS):
        assert list(order[row, :length]) == list(np.argsort(-scores[row, :length]))


def test_sorting_keeps_ties_as_shown_and_padding_last():
    scores = np.array([[0.0, 1.0, 0.0, 9.0], [np.nan, 1.0, np.inf, 9.0]])
    mask = np.array([[1, 1, 1, 0], [1, 1, 1, 0]], bool)
    order = generators.sort_order(scores, mask)
    np.testing.assert_array_equal(order, [[1, 0, 2, 3], [2, 1, 0, 3]])
