"""Looking for a better order under the evaluator, and choosing the answer.

The value of an order is what is expected of it,

    value = sum_k sigmoid(logit_k) w_k        w = 1: purchases or clicks; prices: revenue

with the logits of all places given the whole order. The answer is the best of all
proposals, the shown order and the sorted one among them, and of what swaps make of it:
never worse than these two under the evaluator. It may be worse in truth, where search
finds the evaluator's errors; so `ranker.Calibration` tells whether orders are searched for.

Orders are int32 [B, K, L] as in `generators`.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rerank.config import SearchConfig
from rerank.ordering import generators
from rerank.ordering.generators import Policy

LONGEST_EXHAUSTIVE = 6  # 720 orders

Values = Callable[[jax.Array], jax.Array]  # orders [B, K, L] -> [B, K]
Project = Callable[[jax.Array], jax.Array]  # orders [B, K, L] -> feasible ones


class Choice(NamedTuple):
    """An order of each list, and how it came about.

    Attributes:
      order: int32 [B, L].
      value: [B] under the evaluator.
      source: int32 [B], number of the proposal that it is, or that swaps started from.
      values: [B, K] of all proposals.
    """

    order: jax.Array
    value: jax.Array
    source: jax.Array
    values: jax.Array


def order_values(
    score: Callable[[jax.Array, jax.Array], jax.Array],
    items: jax.Array,
    mask: jax.Array,
    weights: jax.Array | None = None,
) -> Values:
    """The value function of a batch of requests.

    Args:
      score: (items [N, L, D], mask [N, L]) -> logits [N, L]; an evaluator's `score`.
      items: [B, L, D] encoded candidates.
      mask: bool [B, L].
      weights: [B, L] prices; NaN, unknown, counts 0. None for 1.
    """
    batch, length, width = items.shape
    worth = mask.astype(jnp.float32)
    if weights is not None:
        worth = jnp.where(mask & ~jnp.isnan(weights), weights, 0.0)

    def values(orders: jax.Array) -> jax.Array:
        count = orders.shape[1]
        ordered = generators.in_order(items, orders)  # [B, K, L, D]
        ordered = ordered.reshape(batch * count, length, width)
        placed = generators.in_order(mask, orders).reshape(batch * count, length)
        logits = score(ordered, placed).reshape(batch, count, length)
        return (jax.nn.sigmoid(logits) * generators.in_order(worth, orders)).sum(
            -1
        )  # [B, K]

    return values


def propose(
    scores: jax.Array,
    mask: jax.Array,
    policy: Policy | None,
    keys: jax.Array,
    config: SearchConfig,
) -> jax.Array:
    """Proposals: the sorted order, the shown one, beams and samples.

    Args:
      scores: [B, L] of the pointwise network.
      mask: bool [B, L].
      policy: that samples and beams come from; None for Plackett-Luce on the scores.
      keys: [B], one a list.
      config: how many.

    Returns:
      int32 [B, 2 + beams + samples, L].
    """
    policy = generators.score_policy(scores) if policy is None else policy
    shown = generators.sort_order(jnp.zeros_like(scores), mask)
    found = [jnp.stack([generators.sort_order(scores, mask), shown], axis=1)]
    if config.beams:
        found.append(generators.beam(policy, mask, config.beams).orders)
    if config.samples:
        found.append(generators.sample(policy, mask, keys, config.samples).orders)
    return jnp.concatenate(found, axis=1)


def best_order(
    values: Values,
    proposals: jax.Array,
    mask: jax.Array,
    budget: int = 0,
    project: Project | None = None,
) -> Choice:
    """The best proposal, bettered by swaps.

    Args:
      values: of orders.
      proposals: int32 [B, K, L], feasible.
      mask: bool [B, L].
      budget: orders that swaps may try for each list; 0 for no swaps.
      project: makes orders feasible (`constraints.project`); None where all are.
    """
    found = values(proposals)  # [B, K]
    source = found.argmax(axis=1).astype(jnp.int32)
    order = proposals[jnp.arange(proposals.shape[0]), source]  # [B, L]
    value = found.max(axis=1)
    if budget > 1:
        order, value = swap_search(values, order, value, mask, budget, project)
    return Choice(order, value, source, found)


def swap_search(
    values: Values,
    order: jax.Array,
    value: jax.Array,
    mask: jax.Array,
    budget: int,
    project: Project | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Takes the best swap of two places, as long as one betters the order.

    Neighbours are tried first, then places further apart, as many pairs a round as the
    budget has orders. The value never falls.

    Args:
      values: of orders.
      order: int32 [B, L] to start from.
      value: [B] of it.
      mask: bool [B, L].
      budget: orders to try for each list.
      project: as of `best_order`.

    Returns:
      (order [B, L], value [B]).
    """
    swaps = jnp.asarray(swap_orders(order.shape[1])[:budget])  # [P, L]
    rounds = budget // max(len(swaps), 1)
    if not len(swaps):
        return order, value
    rows = jnp.arange(order.shape[0])
    # A swap with padding would put it in front of a candidate.
    valid = jnp.arange(mask.shape[1])[None] < mask.sum(1, keepdims=True)  # [B, L]
    stays = swaps == jnp.arange(swaps.shape[1])[None]  # [P, L]
    allowed = (stays[None] | valid[:, None]).all(-1)  # [B, P]

    def go_on(carry):
        number, _, _, changed = carry
        return (number < rounds) & changed.any()

    def once(carry):
        number, order, value, _ = carry
        tried = order[:, swaps]  # [B, P, L]
        tried = jnp.where(allowed[..., None], tried, order[:, None])
        if project is not None:
            tried = project(tried)
        found = jnp.where(allowed, values(tried), -jnp.inf)  # [B, P]
        best = found.argmax(axis=1)
        better = found[rows, best] > value
        order = jnp.where(better[:, None], tried[rows, best], order)
        return number + 1, order, jnp.where(better, found[rows, best], value), better

    start = (jnp.int32(0), order, value, jnp.ones(order.shape[0], bool))
    _, order, value, _ = lax.while_loop(go_on, once, start)
    return order, value


def swap_orders(length: int) -> np.ndarray:
    """Orders int32 [P, L] with two places swapped, near pairs first."""
    pairs = itertools.combinations(range(length), 2)
    near_first = sorted(pairs, key=lambda pair: (pair[1] - pair[0], pair))
    orders = np.tile(np.arange(length, dtype=np.int32), (len(near_first), 1))
    for row, (i, j) in enumerate(near_first):
        orders[row, [i, j]] = j, i
    return orders


def all_orders(mask: jax.Array) -> jax.Array:
    """Every order of short lists, those of shorter ones more than once.

    Args:
      mask: bool [B, L], L <= 6.

    Returns:
      int32 [B, L!, L].

    Raises:
      ValueError: for longer lists.
    """
    length = mask.shape[1]
    if length > LONGEST_EXHAUSTIVE:
        raise ValueError(f"{length} places have too many orders to try them all")
    every = jnp.asarray(list(itertools.permutations(range(length))), jnp.int32)
    there = jnp.asarray(mask)[:, every]  # [B, L!, L]
    places = jnp.arange(length)[None, None]
    every = jnp.broadcast_to(every[None], there.shape)
    last = jnp.argsort(jnp.where(there, places, length + every), axis=-1)
    return jnp.take_along_axis(every, last, axis=-1)
