"""Train, validation and test interactions, in four ways that answer four questions."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np

from common.data.generated import generator
from common.errors import UserError
from common.tables.splits import SPLITS
from recsys.corpus.config import SplitKind
from recsys.corpus.interactions import Interactions

Fractions = tuple[float, float, float]

KINDS: tuple[SplitKind, ...] = get_args(SplitKind)

# Users with fewer interactions can't have one in each split.
_FEWEST = len(SPLITS)
_STREAM = int.from_bytes(b"recsys split", "big")

_LEAKAGE = {
    "random": (
        "the random split leaks in time: the model trains on interactions that are"
        " later than those it is tested on; temporal_global does not"
    ),
    "per_user": (
        "the per_user split leaks in time: the model trains on interactions of a user"
        " that are later than those it is tested on; temporal_global does not"
    ),
    "temporal_global": "",
    "leave_last_out": (
        "the leave_last_out split leaks in time: the model trains on interactions of"
        " other users that are later than those it is tested on; temporal_global does"
        " not"
    ),
}


def split(
    interactions: Interactions,
    kind: SplitKind,
    fractions: Fractions = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> dict[str, Interactions]:
    """Splits interactions into "train", "validation" and "test".

    - "random": over all interactions, as in Yu et al., "Personalized Item
      Recommendation for Second-hand Trading Platform", ACM MM 2020, section 4.2.
    - "per_user": the interactions of each user, so that every user with three or more
      is in every split; each share is rounded, but to one interaction at least.
    - "temporal_global": along time, train first and test last. Interactions of one
      moment go where the first of them falls.
    - "leave_last_out": each user's last interaction is the test, the last but one
      validation; the seed breaks ties. `fractions` are not used.

    With "per_user" and "leave_last_out" users with fewer than three interactions keep
    them all in train. The order of the rows does not matter.

    Args:
      interactions: distinct pairs, as `deduplicate` returns them.
      kind: of split.
      fractions: of train, validation and test; above 0, with sum 1.
      seed: of the random draws; 0 or more.

    Returns:
      The three splits, each sorted by user, then item.

    Raises:
      UserError: the kind or the fractions are wrong, times are missing, or a split
        stays empty.
      ValueError: a pair occurs twice.
    """
    if kind not in _SPLITTERS:
        raise UserError(f"split kind {kind!r}: choose one of {', '.join(KINDS)}")
    _check_fractions(fractions)
    ordered = interactions.sort()
    same = ordered.users[1:] == ordered.users[:-1]
    if (same & (ordered.items[1:] == ordered.items[:-1])).any():
        raise ValueError("a (user, item) pair occurs twice: deduplicate first")
    sides = _SPLITTERS[kind](ordered, fractions, generator(seed, 0, _STREAM))
    result = {name: ordered.take(sides == side) for side, name in enumerate(SPLITS)}
    for (name, part), share in zip(result.items(), fractions, strict=True):
        if not len(part):
            raise UserError(
                f"the {name} split ({kind}) of {len(ordered):,} distinct interactions is"
                f" empty: {_explain_empty(ordered, kind, share)}"
            )
    return result


def _explain_empty(interactions: Interactions, kind: SplitKind, share: float) -> str:
    """Why a kind of split left a part empty that was to get a share, and what to do."""
    if kind in ("per_user", "leave_last_out"):
        return (
            f"no user has {_FEWEST} items, one for each split; give more interactions or"
            " --data.split=random"
        )
    if kind == "temporal_global" and share * len(interactions) >= 1:
        assert interactions.times is not None
        return (
            f"they have {len(np.unique(interactions.times)):,} different times, and"
            " those of one time stay together; give finer times or"
            " --data.split=random"
        )
    return (
        f"{share:.0%} of them is less than one; give more interactions or other"
        " --data.split_fractions"
    )


def describe_leakage(kind: SplitKind) -> str:
    """What a split lets training know of the future, in one line; "" for nothing."""
    return _LEAKAGE[kind]


def _check_fractions(fractions: Fractions) -> None:
    valid = len(fractions) == len(SPLITS) and all(0 < f < 1 for f in fractions)
    if not valid or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(
            f"split fractions {fractions}: give three shares above 0 that sum to 1"
        )


def _split_random(
    ordered: Interactions, fractions: Fractions, rng: np.random.Generator
) -> np.ndarray:
    train, tuned = _edges(len(ordered), fractions)
    rank = rng.permutation(len(ordered))
    return (rank >= train).astype(np.int8) + (rank >= tuned)


def _split_by_time(
    ordered: Interactions, fractions: Fractions, rng: np.random.Generator
) -> np.ndarray:
    del rng  # nothing is left to chance
    times = _known_times(ordered)
    in_order = np.sort(times)
    side = np.zeros(len(times), np.int8)
    for edge in _edges(len(times), fractions):
        # The first row of a moment stands at the edge or behind it where the row just
        # before the edge is of an earlier moment.
        side += times > in_order[edge - 1] if edge else 1
    return side


def _split_users(
    ordered: Interactions, fractions: Fractions, rng: np.random.Generator
) -> np.ndarray:
    rank, length = _ranks_of_users(ordered.users, rng.permutation(len(ordered)))
    test = np.clip(_round(fractions[2] * length), 1, np.maximum(length - 2, 1))
    most = np.maximum(length - 1 - test, 1)
    validation = np.clip(_round(fractions[1] * length), 1, most)
    train = np.where(length < _FEWEST, length, length - validation - test)
    return np.where(rank < train, 0, np.where(rank < train + validation, 1, 2))


def _split_last(
    ordered: Interactions, fractions: Fractions, rng: np.random.Generator
) -> np.ndarray:
    del fractions
    times = _known_times(ordered)
    shuffled = rng.permutation(len(ordered))
    in_order = shuffled[np.argsort(times[shuffled], kind="stable")]
    number = np.empty(len(times), np.int64)
    number[in_order] = np.arange(len(times))  # along time, ties at random
    rank, length = _ranks_of_users(ordered.users, number)
    from_end = np.where(length < _FEWEST, _FEWEST, length - rank)  # 1 is the last
    return np.maximum(_FEWEST - from_end, 0)


_SPLITTERS: dict[
    str, Callable[[Interactions, Fractions, np.random.Generator], np.ndarray]
] = {
    "random": _split_random,
    "per_user": _split_users,
    "temporal_global": _split_by_time,
    "leave_last_out": _split_last,
}


def _known_times(interactions: Interactions) -> np.ndarray:
    if interactions.times is None:
        raise UserError(
            "the splits temporal_global and leave_last_out need the time of each"
            " interaction: give times, or choose random or per_user"
        )
    return interactions.times


def _edges(count: int, fractions: Fractions) -> list[int]:
    """Where validation and test begin among `count` rows."""
    return _round(np.cumsum(fractions[:2]) * count).tolist()


def _round(shares: np.ndarray) -> np.ndarray:
    """Whole numbers, halves up; NumPy rounds halves to even."""
    return np.floor(shares + (0.5 + 1e-9)).astype(np.int64)


def _ranks_of_users(
    users: np.ndarray, number: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Place of each row among those of its user, and how many these are.

    Args:
      users: int32 [N], sorted.
      number: int64 [N], in which order each user's rows are; distinct, below 2**32.

    Returns:
      Both int64 [N].
    """
    first = np.flatnonzero(np.diff(users, prepend=-1))
    lengths = np.diff(first, append=len(users))
    rank = np.empty(len(users), np.int64)
    # The users are sorted, so each keeps its range of rows. One key of both numbers
    # sorts several times faster than two keys do.
    order = np.argsort((users.astype(np.int64) << 32) | number)
    rank[order] = np.arange(len(users))
    return rank - np.repeat(first, lengths), np.repeat(lengths, lengths)
