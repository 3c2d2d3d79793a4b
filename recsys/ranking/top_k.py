"""The K best of all items for many users, exactly.

Every model scores by one inner product, of which the columns after the first w are the
same for all items of a leaf c (`Recommender.leaf_vectors`):

    score(u, i) = u[:w] . own_i + S[u, c],    S[u, c] = u[w:] . leaf_vector_c

So S is computed once for each leaf, and an item needs w numbers, not E.

**Search.** Items are sorted by leaf and cut into tiles of one leaf, and those into
blocks. For a group of users, block after block: the scores of its items, the highest
of each tile, and as long as a tile holds more than the last place of a user's list,
the best tiles are merged into the lists. These have one place more than was asked for;
the scores in them are exact, whatever the order of equal ones.

**Blocks left out.** With the mean mu_c of own_i in a leaf and the radius
r_c = max |own_i - mu_c|,

    score(u, i) <= S[u, c] + u[:w] . mu_c + |u[:w]| r_c

A block in which this is not above any user's last place is not looked at. The most
promising blocks come first. On 500,000 items in a tree of 1,233 leaves, random vectors,
nothing is left out for 128 users together: one of them needs any block. For one user at
a time, 23, 51 and 70 % of the blocks are, where S varies 2, 3 and 4 times as much as
the rest of the score. Source of the bound: Ram and Gray, "Maximum Inner-Product Search
using Cone Trees", KDD 2012.

**Order.** Score descending, equal scores by the smaller number of the item, as in
`np.argsort(-scores, kind="stable")`. Where the last place that was asked for and the
one after it have equal scores, a second search collects the smallest numbers of the
items with that score. It is the same program, so that it rounds as the first did.

**Several devices.** Each searches its share of the blocks; their lists are gathered
and merged, and are the same for any number of devices.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec

from recsys.corpus.interactions import UserItems
from recsys.ranking.item_index import IndexArrays, ItemIndex, NotFiniteError

# Users who are searched for together.
GROUP = 128

# Excluded pairs that are struck from a block's scores at a time.
_STRUCK = 256

# The largest finite float32, its bits read as an int32.
_LARGEST = 0x7F7FFFFF

_NOTHING = np.zeros(0, np.int32)


class TopK(NamedTuple):
    """Lists of the best items, best first.

    Attributes:
      items: int32 [Q, k], -1 where a list has ended.
      scores: float32 [Q, k], -inf where a list has ended.
      skipped: share of the blocks that were left out, a mean over all searches.
    """

    items: np.ndarray
    scores: np.ndarray
    skipped: float


def top_k(
    index: ItemIndex,
    user_vectors: np.ndarray,
    k: int,
    excluded: UserItems | None = None,
    *,
    group: int = GROUP,
) -> TopK:
    """The k best items of each user.

    Args:
      index: of all items.
      user_vectors: [Q, E].
      k: length of the lists.
      excluded: items that each of the Q users must not get; None for none.
      group: users at a time, filled up where they are fewer, so that one program serves
        any number of users; 1 is best for a single user.

    Raises:
      ValueError: k is below 1, or sizes do not fit.
      NotFiniteError: scores would not be finite.
    """
    users = np.asarray(user_vectors, np.float32)
    if excluded is None:
        excluded = UserItems(np.zeros(len(users) + 1, np.int64), _NOTHING)
    _check(index, users, k, excluded)
    length, k = k, min(k, len(index.positions))
    run = functools.partial(_search_groups, index, users, excluded, k + 1, group)
    everyone = np.arange(len(users))
    scores, items, skipped = run(everyone)
    items = _sort_equals(scores, np.where(scores > -np.inf, items, -1))
    last = scores[:, -2]
    tied = everyone[(last == scores[:, -1]) & (last > -np.inf)]
    scores, items = scores[:, :-1], items[:, :-1]
    if len(tied):
        _, smallest, again = run(tied, last[tied])
        rank = np.arange(k)[None] - np.sum(scores[tied] > last[tied, None], 1)[:, None]
        smallest = np.take_along_axis(smallest, np.maximum(rank, 0), 1)
        items[tied] = np.where(rank < 0, items[tied], smallest)
        skipped = np.append(skipped, again)
    end = (0, 0), (0, length - k)
    return TopK(
        np.pad(items, end, constant_values=-1),
        np.pad(scores, end, constant_values=-np.inf),
        float(np.mean(skipped)) if len(skipped) else 0.0,
    )


def _check(index, users, k, excluded):
    if k < 1:
        raise ValueError(f"k is {k}: lists need one place or more")
    width = index.arrays.columns.shape[1] + index.arrays.leaf_vectors.shape[1]
    if users.ndim != 2 or users.shape[1] != width:
        raise ValueError(f"user vectors have shape {users.shape}, not [Q, {width}]")
    # No partial sum is above the product of the lengths; NaN is not below anything.
    fine = _lengths(users) * index.longest < np.finfo(np.float32).max / 4
    if not fine.all():
        raise NotFiniteError(
            f"user vector {fine.argmin()} is not finite, or too long for finite scores"
        )
    if excluded.user_count != len(users):
        raise ValueError(
            f"items are excluded for {excluded.user_count} users, not {len(users)}"
        )
    if len(excluded.items) and excluded.items.max() >= len(index.positions):
        raise ValueError(
            f"excluded item {excluded.items.max()} is not one of {len(index.positions)}"
        )


def _lengths(vectors):
    # In float32 the squares of small vectors would vanish.
    return np.linalg.norm(vectors.astype(np.float64), axis=1)


def _sort_equals(scores, items):
    """Items [Q, n] of descending scores, those with equal scores by their numbers."""
    rows = np.flatnonzero(np.any(scores[:, 1:] == scores[:, :-1], 1))
    order = np.lexsort((items[rows], -scores[rows]), axis=1)
    items[rows] = np.take_along_axis(items[rows], order, 1)
    return items


def _search_groups(index, users, excluded, count, group, chosen, ties=None):
    """`_search` for the chosen users.

    Args:
      index, users, excluded, group: as those of `top_k`.
      count: length of the lists.
      chosen: int [M], which users.
      ties: float32 [M], the scores whose smallest numbers are asked for; None for the
        best scores.

    Returns:
      (keys [M, count], numbers [M, count], share of blocks skipped [groups]).
    """
    groups = [chosen[at : at + group] for at in range(0, len(chosen), group)]
    most = max((excluded.counts[rows].sum() for rows in groups), default=0)
    size = 1 << max(int(most) - 1, _STRUCK - 1).bit_length()  # few sizes, few programs
    _, width, block_size = index.arrays.columns.shape
    real = int(index.positions.max()) // block_size + 1
    none = np.zeros((0, count))
    parts: Any = [none.astype(np.float32)], [none.astype(np.int32)], []
    for at, rows in zip(range(0, len(chosen), group), groups, strict=True):
        vectors = np.zeros((group, users.shape[1]), np.float32)
        vectors[: len(rows)] = users[rows]
        lengths = np.nextafter(_lengths(vectors[:, :width]), np.inf, dtype=np.float32)
        limits = np.full(group, np.inf, np.float32)  # of nobody
        limits[: len(rows)] = -np.inf if ties is None else ties[at : at + group]
        pairs, spans = _sort_pairs(index, excluded, rows, size)
        queries = vectors, lengths, limits, np.bool_(ties is not None), pairs
        keys, numbers, skipped = _search(
            index.arrays, queries, spans, mesh=index.mesh, count=count
        )
        parts[0].append(np.asarray(keys)[: len(rows)])
        parts[1].append(np.asarray(numbers)[: len(rows)])
        # Blocks without any item, there to give each device as many, do not count.
        parts[2].append((int(skipped) - len(spans) + real) / real)
    return np.concatenate(parts[0]), np.concatenate(parts[1]), np.array(parts[2])


def _sort_pairs(index, excluded, rows, size):
    """Excluded pairs of a group by block: [2, size] user and column, spans [N, 2]."""
    blocks, tiles = index.arrays.leaves.shape
    block_size = index.arrays.numbers.shape[1]
    items = np.concatenate([_NOTHING, *(excluded.items_of(row) for row in rows)])
    users = np.repeat(np.arange(len(rows)), excluded.counts[rows])
    block, position = np.divmod(index.positions[items], block_size)
    tile, within = np.divmod(position, block_size // tiles)
    order = np.argsort(block, kind="stable")
    pairs = np.zeros((2, size), np.int32)
    pairs[:, : len(items)] = users[order], (within * tiles + tile)[order]
    ends = np.searchsorted(block[order], np.arange(blocks + 1)).astype(np.int32)
    return pairs, np.stack([ends[:-1], ends[1:]], 1)


@functools.partial(jax.jit, static_argnames=("mesh", "count"))
def _search(arrays, queries, spans, *, mesh, count):
    """Lists of a group of users over the blocks of all devices, and skipped blocks."""
    axis = mesh.axis_names[0]

    def share(arrays, queries, spans):
        keys, numbers, skipped = _search_blocks(arrays, queries, spans, count)
        keys, numbers = lax.all_gather((keys, numbers), axis, axis=1, tiled=True)
        return *_keep_best(keys, numbers, count), lax.psum(skipped, axis)

    split, whole = PartitionSpec(axis), PartitionSpec()
    layout: Any = (split, split, split, whole, whole, whole)
    return jax.shard_map(
        share,
        mesh=mesh,
        in_specs=(IndexArrays(*layout), whole, split),
        out_specs=whole,
        check_vma=False,  # it does not see that gathered lists are the same everywhere
    )(arrays, queries, spans)


def _search_blocks(arrays, queries, spans, count):
    """Keys and numbers [Q, count] of the best, and how many blocks were skipped.

    The key of an item is its score; where `tied`, it is higher for a smaller number, if
    the score is the user's limit, and otherwise -inf.
    """
    users, lengths, limits, tied, pairs = queries
    width = arrays.columns.shape[1]
    own_columns = users[:, :width]
    by_leaf = _multiply(users[:, width:], arrays.leaf_vectors.T)  # [Q, C]
    bounds = _bound_blocks(arrays, own_columns, lengths, by_leaf)  # [N, Q]
    by_leaf = jnp.pad(by_leaf, ((0, 0), (0, 1)), constant_values=-jnp.inf)
    order = jnp.argsort(bounds.max(1), descending=True)
    active = limits < jnp.inf  # [Q]

    def to_keys(scores, numbers):  # [Q, ., .]
        # All numbers of items are finite floats then, in order.
        by_number = lax.bitcast_convert_type(_LARGEST - numbers, jnp.float32)
        tied_keys = jnp.where(scores == limits[:, None, None], by_number, -jnp.inf)
        return jnp.where(numbers < 0, -jnp.inf, jnp.where(tied, tied_keys, scores))

    def score_block(block, keys, numbers):
        scores = _multiply(own_columns, arrays.columns[block])  # [Q, n]
        scores = _strike(scores, pairs, spans[block])
        by_tile = by_leaf[:, arrays.leaves[block]]  # [Q, T]
        scores = scores.reshape(len(users), -1, by_tile.shape[1])  # [Q, n / T, T]
        own_numbers = arrays.numbers[block].reshape(1, *scores.shape[1:])
        # Sums are rounded in order, so S may be added to the highest alone.
        highest = lax.cond(
            tied,
            lambda: to_keys(scores + by_tile[:, None], own_numbers).max(1),
            lambda: scores.max(1) + by_tile,
        )
        highest = jnp.where(active[:, None], highest, -jnp.inf)  # [Q, T]
        return _merge(to_keys, scores, by_tile, own_numbers, highest, keys, numbers)

    def visit(step, state):
        keys, numbers, skipped = state
        block = order[step]
        bound = bounds[block]  # [Q]
        hopeful = jnp.where(tied, bound >= limits, bound > keys[:, -1]) & active
        needed = jnp.any(hopeful)
        keys, numbers = lax.cond(
            needed, score_block, lambda _, *lists: lists, block, keys, numbers
        )
        return keys, numbers, skipped + ~needed

    keys = jnp.full((len(users), count), -jnp.inf)
    state = keys, jnp.full(keys.shape, -1, jnp.int32), jnp.int32(0)
    return lax.fori_loop(0, len(order), visit, state)


def _bound_blocks(arrays, own_columns, lengths, by_leaf):
    """What no score of a block is above, [N, Q]."""
    bounds = _multiply(own_columns, arrays.centers.T)  # [Q, C]
    bounds = bounds + lengths[:, None] * arrays.radii[None]
    bounds = (bounds + by_leaf).T
    bounds = jnp.pad(bounds, ((0, 1), (0, 0)), constant_values=-jnp.inf)  # [C + 1, Q]
    return lax.map(lambda leaves: bounds[leaves].max(0), arrays.leaves)


def _strike(scores, pairs, span):
    """Scores [Q, n] with -inf at the pairs of a span."""

    def step(part, scores):
        at = span[0] + part * _STRUCK + jnp.arange(_STRUCK)
        users, columns = pairs.at[:, at].get(mode="clip")
        columns = jnp.where(at < span[1], columns, scores.shape[1])  # dropped
        return scores.at[users, columns].set(-jnp.inf, mode="drop")

    return lax.fori_loop(0, -((span[0] - span[1]) // _STRUCK), step, scores)


def _merge(to_keys, scores, by_tile, own_numbers, highest, keys, numbers):
    """Merges tiles into the lists while any holds more than their last place.

    Some tiles at a time, a few for most blocks: only those seen first change the lists
    in many places.
    """
    count = keys.shape[1]
    some = min(-(-count // 8), highest.shape[1])
    rows = jnp.arange(len(keys))[:, None]

    def step(state):
        highest, keys, numbers = state
        top, chosen = lax.top_k(highest, some)  # [Q, some]
        part = jnp.take_along_axis(scores, chosen[:, None], 2)  # [Q, n / T, some]
        part = part + jnp.take_along_axis(by_tile, chosen, 1)[:, None]
        whose = jnp.moveaxis(own_numbers[0][:, chosen], 0, 1)  # [Q, n / T, some]
        part = to_keys(part, whose)
        # Where fewer are left, tiles are chosen again that the lists have already.
        part = jnp.where(top[:, None] > -jnp.inf, part, -jnp.inf).reshape(len(keys), -1)
        whose = whose.reshape(len(keys), -1)
        keys = jnp.concatenate([keys, part], 1)
        numbers = jnp.concatenate([numbers, whose], 1)
        highest = highest.at[rows, chosen].set(-jnp.inf)
        return highest, *_keep_best(keys, numbers, count)

    def more(state):
        return jnp.any(state[0] > state[1][:, -1:])

    return lax.while_loop(more, step, (highest, keys, numbers))[1:]


def _keep_best(keys, numbers, count):
    keys, at = lax.top_k(keys, count)
    return keys, jnp.take_along_axis(numbers, at, 1)


def _multiply(rows, columns):
    # Devices that would round the factors to fewer bits must not.
    return jnp.dot(rows, columns, precision=lax.Precision.HIGHEST)
