"""Orders of lists: sorted, greedy, sampled, and by beam search.

Pure functions that can be compiled. An order is int32 [L]: the places of the candidates
in the order in which they are to be shown, padding last, so always a permutation.

A policy picks one candidate after another,

    p(order) = prod_t softmax over what is left: logits(state_t)_{order_t}

with a state that knows what was picked (the pointer network), or none at all
(Plackett-Luce on given scores).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

_NEVER = -1e9  # finite, so that no difference of two is NaN


class Policy(NamedTuple):
    """What picks the next candidate of K orders of each list.

    Attributes:
      start: [B, S] state before the first pick.
      logits: state [B, K, S] -> [B, K, L]; what was picked, and padding, is left out
        by the generators.
      advance: (state [B, K, S], picked places int [B, K]) -> state [B, K, S].
    """

    start: jax.Array
    logits: Callable[[jax.Array], jax.Array]
    advance: Callable[[jax.Array, jax.Array], jax.Array]


class Orders(NamedTuple):
    """K orders of each list.

    Attributes:
      orders: int32 [B, K, L], padding last.
      log_probs: [B, K] under the policy; -inf for a beam that repeats another since
        there are fewer orders than beams.
    """

    orders: jax.Array
    log_probs: jax.Array


def score_policy(scores: jax.Array) -> Policy:
    """Plackett-Luce on scores [B, L]: its greedy order is the sorted one."""
    start = jnp.zeros((scores.shape[0], 0), scores.dtype)

    def logits(state):
        shape = (*state.shape[:2], scores.shape[1])
        return jnp.broadcast_to(scores[:, None], shape)

    return Policy(start, logits, lambda state, _: state)


def sort_order(scores: jax.Array, mask: jax.Array) -> jax.Array:
    """Places by falling score, padding last, ties in the order shown.

    Args:
      scores: [..., L].
      mask: bool [..., L], False for padding.

    Returns:
      int32 [..., L].
    """
    # NaN goes behind all numbers, so padding needs a key of its own.
    falling = jnp.where(mask, -scores, 0)
    return jnp.lexsort((falling, ~mask), axis=-1).astype(jnp.int32)


def in_order(values: jax.Array, orders: jax.Array) -> jax.Array:
    """Values [B, L, ..] of candidates, put in orders int [B, K, L]: [B, K, L, ..]."""
    return jnp.asarray(values)[jnp.arange(orders.shape[0])[:, None, None], orders]


def greedy(policy: Policy, mask: jax.Array) -> Orders:
    """The likeliest candidate at each pick; mask bool [B, L], K = 1."""
    return _unroll(policy, mask, 1, lambda _, logits: logits.argmax(-1), None)


def sample(policy: Policy, mask: jax.Array, keys: jax.Array, count: int) -> Orders:
    """Orders drawn from the policy.

    Args:
      policy: what picks.
      mask: bool [B, L].
      keys: [B], one a list, so that a draw does not depend on the rest of the batch.
      count: K.
    """
    length = mask.shape[1]
    noise = jax.vmap(lambda key: jax.random.gumbel(key, (length, count, length)))(keys)
    noise = jnp.moveaxis(noise, 1, 0)  # [L picks, B, K, L]
    return _unroll(
        policy, mask, count, lambda g, logits: (logits + g).argmax(-1), noise
    )


def log_probs(policy: Policy, mask: jax.Array, orders: jax.Array) -> jax.Array:
    """Logs of the probabilities [B, K] of given orders int [B, K, L]."""
    picks = jnp.moveaxis(orders, -1, 0)  # [L picks, B, K]
    return _unroll(policy, mask, orders.shape[1], lambda pick, _: pick, picks).log_probs


def beam(policy: Policy, mask: jax.Array, width: int) -> Orders:
    """The likeliest orders that a beam search finds, best first.

    A beam that has run out of candidates goes on with padding, at no cost. With as many
    beams as orders it is exhaustive.

    Args:
      policy: what picks.
      mask: bool [B, L].
      width: K, number of beams.
    """
    (batch, length), rows = mask.shape, jnp.arange(mask.shape[0])[:, None]
    first = jnp.zeros((batch, width), jnp.float32).at[:, 1:].set(_NEVER)
    carry = (
        _repeat(policy.start, width),
        jnp.zeros((batch, width, length), bool),
        first,  # the beams are one at the start
        jnp.zeros((batch, width, length), jnp.int32),
    )

    def pick(carry, place):
        state, used, total, orders = carry
        logits = _pick_logits(policy, state, mask, used)
        logs = total[..., None] + jax.nn.log_softmax(logits, axis=-1)  # [B, K, L]
        total, flat = lax.top_k(logs.reshape(batch, -1), width)
        parents, picked = jnp.divmod(flat, length)  # [B, K]
        used = used[rows, parents] | _one_hot(picked, length)
        orders = orders[rows, parents].at[..., place].set(picked)
        state = policy.advance(state[rows, parents], picked)
        return (state, used, total, orders), None

    (_, _, total, orders), _ = lax.scan(pick, carry, jnp.arange(length))
    return Orders(orders, jnp.where(total < _NEVER / 2, -jnp.inf, total))


def _unroll(
    policy: Policy,
    mask: jax.Array,
    count: int,
    choose: Callable[[Any, jax.Array], jax.Array],
    inputs: Any,
) -> Orders:
    """Picks L times; `choose`: (input of the pick, logits [B, K, L]) -> int [B, K]."""
    batch, length = mask.shape
    carry = (
        _repeat(policy.start, count),
        jnp.zeros((batch, count, length), bool),
        jnp.zeros((batch, count), jnp.float32),
    )

    def pick(carry, given):
        state, used, total = carry
        logits = _pick_logits(policy, state, mask, used)
        picked = choose(given, logits).astype(jnp.int32)  # [B, K]
        chosen = _one_hot(picked, length)
        logs = jax.nn.log_softmax(logits, axis=-1)
        total = total + jnp.where(chosen, logs, 0).sum(-1)
        return (policy.advance(state, picked), used | chosen, total), picked

    (_, _, total), picks = lax.scan(pick, carry, inputs, length=length)
    return Orders(jnp.moveaxis(picks, 0, -1), total)


def _pick_logits(
    policy: Policy, state: jax.Array, mask: jax.Array, used: jax.Array
) -> jax.Array:
    """Logits [B, K, L] of the next pick, -inf for what can't be picked.

    Where no candidate is left, the first padding that is left is picked for certain.
    """
    free = mask[:, None] & ~used  # [B, K, L]
    some = free.any(-1, keepdims=True)
    padding = _one_hot((~used).argmax(-1), mask.shape[1])
    logits = policy.logits(state).astype(jnp.float32)
    logits = jnp.where(some, logits, 0.0)
    return jnp.where(jnp.where(some, free, padding), logits, -jnp.inf)


def _one_hot(picked: jax.Array, length: int) -> jax.Array:
    """Bool [B, K, L] of picks int [B, K]."""
    return picked[..., None] == jnp.arange(length)[None, None]


def _repeat(start: jax.Array, count: int) -> jax.Array:
    return jnp.repeat(start[:, None], count, axis=1)  # [B, K, S]
