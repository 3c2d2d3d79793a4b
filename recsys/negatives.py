"""Negative items: what a user might have taken instead, from near categories."""

from __future__ import annotations

import dataclasses
from typing import get_args

import numpy as np

from common.data.generated import generator
from common.errors import UserError
from recsys.config import NegativesKind
from recsys.corpus.interactions import Interactions, UserItems, partition_points
from recsys.corpus.tree import CategoryTree

# Pools from the nearest to the widest; `Negatives.fallback` holds their numbers.
POOLS = ("leaf", "siblings", "top", "all")
_LEAF, _SIBLINGS, _TOP, _ALL = range(len(POOLS))

_STREAM = int.from_bytes(b"recsys negative", "big")
_DRAWS = 4  # numbers that Philox makes at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Negatives:
    """Negatives of a batch.

    Attributes:
      items: int32 [B, n_neg].
      fallback: int8 [B, n_neg]; 0 where the wanted pool had an item left, else the
        number in `POOLS` of the pool that was taken in its place.
    """

    items: np.ndarray
    fallback: np.ndarray


class NegativeSampler:
    """Draws items that a user has not interacted with in training.

    For a positive (u, i) half of the negatives come from the leaf of i and half from
    its sibling leaves, those with the same parent. Where the user has everything in
    that pool, the next in the order leaf, siblings, top (the whole top-level category
    of i), all (the whole catalogue) stands in. With "uniform" all negatives come from
    all items. Within a pool every item without an interaction is equally likely, in
    each draw anew: an item may be drawn twice.

    A pool is one or two ranges of the items in the order of their leaves. The free item
    with the rank k in such a range is k plus the number of the user's own items before
    it, which a binary search in the user's row finds. So every draw is exact, none has
    to be rejected, and the cost is O(B n_neg log n) for n items of a user, whatever
    the size of the catalogue.

    Source: Yu et al., "Personalized Item Recommendation for Second-hand Trading
    Platform", ACM MM 2020, section 3.3.1. Half and half, the order of the pools and
    "training" are ours; the paper leaves them open.

    Attributes:
      kind: "hierarchical" or "uniform".
    """

    def __init__(
        self,
        tree: CategoryTree,
        leaf_of_item: np.ndarray,
        train: UserItems,
        kind: NegativesKind = "hierarchical",
    ):
        """Sorts the items by leaf.

        Args:
          tree: of C leaves.
          leaf_of_item: int32 [I].
          train: the training interactions and no others.
          kind: "hierarchical" or "uniform".

        Raises:
          UserError: there is no such kind.
          ValueError: a leaf or an item is not in the tree or the catalogue.
        """
        if kind not in get_args(NegativesKind):
            choices = ", ".join(get_args(NegativesKind))
            raise UserError(f"negatives {kind!r}: choose one of {choices}")
        leaf_of_item = np.asarray(leaf_of_item)
        count = len(leaf_of_item)
        _check_range("leaf", leaf_of_item, tree.leaf_count)
        _check_range("training item", train.items, count)
        self.kind = kind
        self._leaf_of_item = leaf_of_item
        self._item_at = np.argsort(leaf_of_item, kind="stable").astype(np.int32)
        position_of = np.empty(count, np.int32)
        position_of[self._item_at] = np.arange(count, dtype=np.int32)
        users = np.repeat(np.arange(train.user_count, dtype=np.int32), train.counts)
        distinct, _ = Interactions(users, position_of[train.items]).deduplicate()
        self._taken = distinct.by_user(train.user_count)  # places, not items
        sizes = np.bincount(leaf_of_item, minlength=tree.leaf_count)
        first = np.concatenate([[0], np.cumsum(sizes)])  # place of each leaf
        leaves = np.arange(tree.leaf_count)
        siblings, top = tree.sibling_span(), tree.leaf_span(0)
        ends = siblings[0], leaves, leaves + 1, siblings[1], *top
        self._ends = first[np.stack(ends)]  # [6, C]

    def sample(
        self,
        users: np.ndarray,
        items: np.ndarray,
        n_neg: int,
        *,
        seed: int,
        step: int,
    ) -> Negatives:
        """Draws the negatives of a batch, a function of the arguments alone.

        Columns 0 to n_neg // 2 - 1 want the leaf and the last n_neg // 2 the siblings;
        where n_neg is odd, a coin decides in each row what the middle one wants.

        Args:
          users: int [B].
          items: int [B], the positives.
          n_neg: negatives of each.
          seed: of the run; 0 or more.
          step: number of the batch; 0 or more.

        Returns:
          The negatives.

        Raises:
          UserError: a user has interacted with all items.
          ValueError: there is no such user or item, or n_neg is below 1.
        """
        users, items = np.asarray(users), np.asarray(items)
        if n_neg < 1:
            raise ValueError(f"n_neg is {n_neg}, not 1 or more")
        _check_range("item", items, len(self._item_at))
        low, high = self._taken.rows(users)
        free = len(self._item_at) - (high - low)
        if not free.all():
            raise UserError(
                f"user {users[np.argmin(free)]} has interacted with all"
                f" {len(self._item_at)} items in training, so there is no negative:"
                " leave the user out, or add items"
            )
        draws = _draw(seed, step, len(users), n_neg)
        if self.kind == "uniform":
            # Below 2**53 items the product never rounds up to the number itself.
            rank = (draws[:, :n_neg] * free[:, None]).astype(np.int64)
            fallback = np.zeros(rank.shape, np.int8)
        else:
            rank, fallback = self._rank_nearby(items, low, high, draws, n_neg)
        positions = self._find_free(rank, low[:, None], high[:, None])
        return Negatives(self._item_at[positions], fallback)

    def _rank_nearby(
        self,
        items: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
        draws: np.ndarray,
        n_neg: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ranks among all free places, int64 [B, n_neg], and the `fallback`."""
        starts, sizes, in_leaf_alone = self._count_free(items, low, high)
        preferred = _choose_pools(draws, n_neg)
        pool = _fall_back(sizes, preferred)
        rank = (draws[:, :n_neg] * np.take_along_axis(sizes, pool, 1)).astype(np.int64)
        rank += np.take_along_axis(starts, pool, 1)
        behind = (pool == _SIBLINGS) & (rank >= in_leaf_alone[:, :1])
        rank += np.where(
            behind, in_leaf_alone[:, 1:], 0
        )  # siblings lie on both sides of it
        return rank, np.where(pool == preferred, 0, pool).astype(np.int8)

    def _count_free(
        self, items: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ranks of the pools among the places that are free for the user.

        Returns:
          First rank of each pool [B, 4], its number of free places [B, 4], and both
          for the leaf alone [B, 2].
        """
        ends = self._ends[:, self._leaf_of_item[items]]  # [6, B]
        low, high = (np.broadcast_to(x, ends.shape) for x in (low, high))
        taken = self._taken.items
        before = partition_points(
            low, high, lambda at: taken.take(at, mode="clip") < ends
        )
        siblings, leaf, past_leaf, past_siblings, top, past_top = ends - (before - low)
        nothing = np.zeros_like(leaf)
        everything = len(self._item_at) - (high - low)[0]
        in_leaf = past_leaf - leaf
        starts = np.stack([leaf, siblings, top, nothing], axis=1)
        sizes = np.stack(
            [in_leaf, past_siblings - siblings - in_leaf, past_top - top, everything],
            axis=1,
        )
        return starts, sizes, np.stack([leaf, in_leaf], axis=1)

    def _find_free(
        self, rank: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> np.ndarray:
        """Place with a rank among those that are free for the user, int64 [B, n]."""
        low, high = (np.broadcast_to(x, rank.shape) for x in (low, high))
        taken = self._taken.items

        def lies_before(at: np.ndarray) -> np.ndarray:
            # `taken[at] - (at - low)` places before the user's item `at` are free.
            return taken.take(at, mode="clip") - (at - low) <= rank

        return rank + (partition_points(low, high, lies_before) - low)


def _choose_pools(draws: np.ndarray, n_neg: int) -> np.ndarray:
    """Pool that each negative should come from, int64 [B, n_neg]."""
    half = n_neg // 2
    preferred = np.full((len(draws), n_neg), _SIBLINGS)
    preferred[:, :half] = _LEAF
    if n_neg % 2:
        preferred[:, half] = np.where(draws[:, n_neg] < 0.5, _LEAF, _SIBLINGS)
    return preferred


def _fall_back(sizes: np.ndarray, preferred: np.ndarray) -> np.ndarray:
    """First pool from the preferred one on that is not empty, int64 [B, n_neg]."""
    pool = np.full(preferred.shape, _ALL)
    for nearer in (_TOP, _SIBLINGS, _LEAF):
        usable = (sizes[:, nearer] > 0)[:, None] & (preferred <= nearer)
        pool = np.where(usable, nearer, pool)
    return pool


def _draw(seed: int, step: int, rows: int, n_neg: int) -> np.ndarray:
    """Uniform numbers in [0, 1), one for each negative and one for a coin [B, W]."""
    width = -(-(n_neg + n_neg % 2) // _DRAWS) * _DRAWS
    return generator(seed, step, _STREAM).random((rows, width))


def _check_range(what: str, values: np.ndarray, count: int) -> None:
    if values.size and (values.min() < 0 or values.max() >= count):
        raise ValueError(
            f"{what} numbers {values.min()} to {values.max()}: there are {count}"
        )
