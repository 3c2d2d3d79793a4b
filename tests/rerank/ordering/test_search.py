"""Search never lowers a value, finds the best where it must, keeps its budget."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank.config import SearchConfig
from rerank.ordering import generators, search
from tests.rerank.by_hand import draw_state, make_batch, make_learner

LENGTHS = np.array([5, 3, 1, 0, 4])
MASK = np.arange(5)[None] < LENGTHS[:, None]
KEYS = jax.random.split(jax.random.key(0), 5)


def draw_tables(seed):
    return np.random.default_rng(seed).normal(size=(2, 5, 5)).astype(np.float32)


def pair_values(seed=None, tables=None):
    """Values by places and neighbours: the sum of place[k, i] + after[i, j]."""
    place, after = draw_tables(seed) if tables is None else tables

    def values(orders):
        there = jnp.asarray(MASK)[jnp.arange(5)[:, None, None], orders]
        own = jnp.asarray(place)[jnp.arange(5)[None, None], orders]
        next_to = jnp.asarray(after)[orders[..., :-1], orders[..., 1:]]
        pairs = there[..., :-1] & there[..., 1:]
        return jnp.where(there, own, 0).sum(-1) + jnp.where(pairs, next_to, 0).sum(-1)

    return values


SHOWN = np.tile(np.arange(5, dtype=np.int32), (5, 1))


@functools.cache
def searcher(budget):
    """Compiled: tables -> (value of the shown order, order found, its value)."""

    def search_from_shown(tables):
        values = pair_values(tables=tables)
        before = values(SHOWN[:, None])[:, 0]
        found = search.swap_search(values, SHOWN, before, MASK, budget)
        return before, *found, values(found[0][:, None])[:, 0]

    compiled = jax.jit(search_from_shown)
    return lambda seed: map(np.asarray, compiled(draw_tables(seed)))


def assert_permutations(orders):
    for row, length in enumerate(LENGTHS):
        assert sorted(orders[row][:length]) == list(range(length))
        assert list(orders[row][length:]) == list(range(length, 5))


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([4, 9, 40]))
def test_swaps_never_lower_the_value(seed, budget):
    before, order, value, again = searcher(budget)(seed)
    assert_permutations(order)
    assert np.all(value >= before)
    np.testing.assert_allclose(again, value, rtol=1e-4, atol=1e-5)


def test_a_swap_search_ends_where_no_swap_betters_the_order():
    before, order, value, _ = searcher(1000)(3)
    assert value[0] > before[0]
    worth = jax.jit(pair_values(3))
    for i in range(5):
        for j in range(i):
            swapped = order.copy()
            swapped[:, [i, j]] = swapped[:, [j, i]]
            real = i < LENGTHS
            new = np.asarray(worth(swapped[:, None])[:, 0])
            assert np.all(new[real] <= value[real] + 1e-6)


@pytest.mark.parametrize("budget", [3, 9, 25])
def test_a_budget_is_kept(budget):
    tried = []
    inner = pair_values(1)

    def values(orders):
        jax.debug.callback(lambda count: tried.append(int(count)), orders.shape[1])
        return inner(orders)

    @jax.jit
    def run():
        before = inner(SHOWN[:, None])[:, 0]
        return search.swap_search(values, SHOWN, before, MASK, budget)

    jax.block_until_ready(run())
    jax.effects_barrier()
    assert 0 < sum(tried) <= budget


def test_swaps_by_hand():
    every = search.swap_orders(4)
    near = [[1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2]]
    assert len(every) == 6
    np.testing.assert_array_equal(every[:3], near)
    np.testing.assert_array_equal(every[-1], [3, 1, 2, 0])
    assert search.swap_orders(1).shape == (0, 1)


def test_all_orders_are_tried_of_short_lists_alone():
    orders = np.asarray(search.all_orders(MASK))
    for row, count in enumerate((120, 6, 1, 1, 24)):
        assert len({tuple(order) for order in orders[row]}) == count
    with pytest.raises(ValueError, match="7 places"):
        search.all_orders(np.ones((1, 7), bool))


def test_the_answer_is_the_best_of_all_proposals_and_as_good_as_shown_and_sorted():
    values = pair_values(2)
    scores = np.random.default_rng(0).normal(size=MASK.shape).astype(np.float32)
    config = SearchConfig(beams=4, samples=5)
    proposals = jax.jit(lambda: search.propose(scores, MASK, None, KEYS, config))()
    assert proposals.shape == (5, 11, 5)
    for number in range(11):
        assert_permutations(np.asarray(proposals)[:, number])
    np.testing.assert_array_equal(proposals[:, 0], generators.sort_order(scores, MASK))
    np.testing.assert_array_equal(proposals[:, 1], SHOWN)
    plain, better = jax.jit(
        lambda p: [search.best_order(values, p, MASK, budget=b) for b in (0, 60)]
    )(proposals)
    np.testing.assert_array_equal(plain.value, np.asarray(plain.values).max(1))
    chosen = np.asarray(proposals)[np.arange(5), plain.source]
    np.testing.assert_array_equal(plain.order, chosen)
    assert np.all(better.value >= plain.value)


def test_exhaustive_search_is_the_best_there_is():
    best = search.best_order(pair_values(4), search.all_orders(MASK), MASK)
    _, _, value, _ = searcher(1000)(4)
    assert np.all(np.asarray(best.value) >= value - 1e-6)


def test_the_value_of_an_order_is_what_is_expected_of_it():
    learner, batch = make_learner(), make_batch()
    params = draw_state(learner).params
    outputs = jax.jit(learner._apply)(params, batch)
    mask, prices = batch["mask"], np.array([[1.0, np.nan, 3, 4, 5, 6]] * 5)
    shown = np.tile(np.arange(6, dtype=np.int32), (5, 1))[:, None]
    orders = np.concatenate([shown, shown], axis=1)

    @jax.jit
    def both(weights):
        score = lambda items, there: learner.score(params, items, there)
        values = search.order_values(score, outputs.encoded.items, mask, weights)
        return values(orders)

    p = np.where(mask, 1 / (1 + np.exp(-np.asarray(outputs.logits, np.float64))), 0)
    np.testing.assert_allclose(both(np.ones_like(prices))[:, 1], p.sum(1), rtol=1e-4)
    revenue = (p * np.nan_to_num(prices)).sum(1)
    np.testing.assert_allclose(
        both(prices.astype(np.float32))[:, 0], revenue, rtol=1e-4
    )
