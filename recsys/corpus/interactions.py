"""Who interacted with what, and when: one behaviour, such as likes or purchases."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from common.errors import UserError

_LARGEST = np.iinfo(np.int32).max


@dataclasses.dataclass(frozen=True, eq=False)
class Interactions:
    """N interactions of users with items.

    Source: Yu et al., "Personalized Item Recommendation for Second-hand Trading
    Platform", ACM MM 2020, section 3.1.1 (the sets I_u).

    Attributes:
      users: int32 [N], numbered from 0.
      items: int32 [N], numbered from 0.
      times: float64 [N] in seconds or any other unit; None where they are unknown.
      weights: float64 [N], what each counts, above 0; None where all count the same.

    Raises:
      ValueError: lengths differ, or users or items are no whole numbers.
      UserError: a user or an item is negative or too large, a time is not finite, or a
        weight not above 0.
    """

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __post_init__(self):
        object.__setattr__(self, "users", _as_numbers(self.users, "user"))
        object.__setattr__(self, "items", _as_numbers(self.items, "item"))
        lengths = [len(self.users), len(self.items)]
        if self.times is not None:
            times = np.asarray(self.times, np.float64)
            if times.ndim != 1:
                raise ValueError(f"times have shape {times.shape}, not [N]")
            wrong = np.flatnonzero(~np.isfinite(times))
            if len(wrong):
                raise UserError(
                    f"interaction {wrong[0]} (counted from 0) has the time"
                    f" {times[wrong[0]]}: give every interaction a finite time, or none"
                )
            object.__setattr__(self, "times", times)
            lengths.append(len(times))
        if self.weights is not None:
            weights = np.asarray(self.weights, np.float64)
            wrong = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
            if len(wrong):
                raise UserError(
                    f"interaction {wrong[0]} (counted from 0) has the weight"
                    f" {weights[wrong[0]]}: a weight is a number above 0"
                )
            object.__setattr__(self, "weights", weights)
            lengths.append(len(weights))
        if len(set(lengths)) > 1:
            raise ValueError(f"users, items, times and weights have lengths {lengths}")

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: np.ndarray) -> Interactions:
        """The interactions at `rows`: numbers, or bool [N]."""
        times, weights = (
            None if column is None else column[rows]
            for column in (self.times, self.weights)
        )
        return Interactions(self.users[rows], self.items[rows], times, weights)

    def sort(self) -> Interactions:
        """The same interactions by user, then item; equal pairs in any order."""
        return self.take(np.argsort(self._keys()))

    def deduplicate(self) -> tuple[Interactions, int]:
        """Keeps the earliest interaction of each (user, item) pair, with all weights.

        Pairs must be distinct before they are split: a pair that stands in training
        and in test is no test.

        Returns:
          (interactions by user, then item; how many were dropped).
        """
        if self.times is None and self.weights is None:
            keys = np.sort(self._keys())
            kept = keys[~_repeats(keys)]
            times = weights = None
        else:
            order = np.argsort(self._keys())
            keys = self._keys()[order]
            first = np.flatnonzero(~_repeats(keys))
            kept = keys[first]
            times = _reduce(np.minimum, self.times, order, first)
            weights = _reduce(np.add, self.weights, order, first)
        users, items = _split_keys(kept)
        return Interactions(users, items, times, weights), len(self) - len(kept)

    def by_user(self, user_count: int) -> UserItems:
        """The items of each user.

        Args:
          user_count: U, of which some may have no interaction.

        Raises:
          ValueError: a user's number is U or more.
        """
        if len(self) and self.users.max() >= user_count:
            raise ValueError(f"user {self.users.max()} is not one of {user_count}")
        keys = np.sort(self._keys())
        starts = np.searchsorted(keys, np.arange(user_count + 1, dtype=np.int64) << 32)
        return UserItems(starts, _split_keys(keys)[1])

    def _keys(self) -> np.ndarray:
        """int64 [N], in the order of (user, item); 100 million sort in seconds."""
        keys = self.users.astype(np.int64)
        keys <<= 32
        keys |= self.items
        return keys


@dataclasses.dataclass(frozen=True, eq=False)
class UserItems:
    """The items of each user, in compressed rows.

    Attributes:
      starts: int64 [U + 1]; user u has items[starts[u] : starts[u + 1]].
      items: int32 [N], sorted within a user.
    """

    starts: np.ndarray
    items: np.ndarray

    @property
    def user_count(self) -> int:
        """U."""
        return len(self.starts) - 1

    @property
    def counts(self) -> np.ndarray:
        """Number of items of each user, int64 [U]."""
        return np.diff(self.starts)

    def items_of(self, user: int) -> np.ndarray:
        """The items of one user, int32 [n], sorted."""
        return self.items[self.starts[user] : self.starts[user + 1]]

    def contains(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Whether each user has each item, by binary search.

        Args:
          users: int [...].
          items: int, of a shape that broadcasts against it.

        Returns:
          bool, of the common shape.

        Raises:
          ValueError: there is no such user.
        """
        users, items = np.broadcast_arrays(users, items)
        low, high = self.rows(users)
        index = partition_points(
            low, high, lambda at: self.items.take(at, mode="clip") < items
        )
        contained = np.zeros(index.shape, bool)
        inside = index < high
        contained[inside] = self.items[index[inside]] == items[inside]
        return contained

    def rows(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Start and stop of users' rows in `items`, int64 of the shape of `users`.

        Raises:
          ValueError: there is no such user.
        """
        users = np.asarray(users)
        if users.size and (users.min() < 0 or users.max() >= self.user_count):
            raise ValueError(
                f"users {users.min()} to {users.max()}: there are {self.user_count}"
            )
        return self.starts[users], self.starts[users + 1]


def partition_points(
    low: np.ndarray, high: np.ndarray, before: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """First index in [low, high) for which `before` is false, many searches at once.

    Args:
      low: int64, of any shape.
      high: int64, of that shape; the result where `before` holds throughout.
      before: bool of indices, of that shape; true, then false in each range. It must
        bear indices that are one past the end, of ranges that are done.

    Returns:
      int64 of that shape.
    """
    steps = int(np.max(high - low, initial=0)).bit_length()
    for _ in range(steps):
        middle = (low + high) >> 1
        right = before(middle) & (low < high)
        low, high = np.where(right, middle + 1, low), np.where(right, high, middle)
    return low


def _as_numbers(values: np.ndarray, what: str) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or (values.size and values.dtype.kind not in "iu"):
        raise ValueError(
            f"{what}s have shape {values.shape} and type {values.dtype}: whole numbers"
            " [N] are expected"
        )
    wrong = (values < 0) | (values > _LARGEST)
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(
            f"interaction {row} (counted from 0) has the {what} number {values[row]}:"
            f" number the {what}s from 0, below 2**31"
        )
    return values.astype(np.int32, copy=False)


def _reduce(
    reduction: np.ufunc, column: np.ndarray | None, order: np.ndarray, first: np.ndarray
) -> np.ndarray | None:
    """One value for each run of equal keys, which begin at `first` of `order`."""
    if column is None or not len(first):
        return column
    return reduction.reduceat(column[order], first)


def _repeats(keys: np.ndarray) -> np.ndarray:
    """Which of the sorted keys equal the one before, bool [N]."""
    repeats = np.zeros(len(keys), bool)
    np.equal(keys[1:], keys[:-1], out=repeats[1:])
    return repeats


def _split_keys(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    users = (keys >> 32).astype(np.int32)
    return users, (keys & _LARGEST).astype(np.int32)
