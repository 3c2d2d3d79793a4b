"""Requests: the lists that were shown, and what came of them."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from common.errors import UserError
from rerank.config import Target
from rerank.corpus.items import WordTable


@dataclasses.dataclass(frozen=True, eq=False)
class Requests:
    """R lists of T items together, each in the order shown.

    Attributes:
      ids: [R] str.
      starts: int64 [R + 1], list r lies at starts[r] to starts[r + 1].
      items: int32 [T], numbers in `Items`.
      pair_features: float32 [T, G] standardised numbers of an item in its request.
      context: float32 [R, C] standardised numbers of the request.
      clicks: float32 [T], 0 or 1; all NaN where they are to be predicted.
      purchases: float32 [T], 0 or 1, or grades over the largest one; NaN as clicks.
      randomised: bool [R], lists that were shown in random order.
      history: int32 [Y] items that were taken before, `NONE` for those of other
        stores, newest last.
      history_starts: int64 [R + 1] in it.
      words: of the queries, a row a request; None without queries.
      queries: [R] str; None without queries.
      propensities: float32 [T] probability that the logging policy put the item at its
        place; None where it is not known.
      times: float64 [R], seconds since 1970; None where they are not known.
      pins: int32 [T], place from 0 that an item must have, -1 for none; None for no
        pins at all.
    """

    ids: np.ndarray
    starts: np.ndarray
    items: np.ndarray
    pair_features: np.ndarray
    context: np.ndarray
    clicks: np.ndarray
    purchases: np.ndarray
    randomised: np.ndarray
    history: np.ndarray
    history_starts: np.ndarray
    words: WordTable | None = None
    queries: np.ndarray | None = None
    propensities: np.ndarray | None = None
    times: np.ndarray | None = None
    pins: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Items of each list, int64 [R]."""
        return np.diff(self.starts)

    @functools.cached_property
    def places(self) -> np.ndarray:
        """Place of each item in its list, from 0: int64 [T]."""
        return np.arange(len(self.items)) - np.repeat(self.starts[:-1], self.lengths)

    @functools.cached_property
    def labelled(self) -> bool:
        """Whether clicks and purchases are known."""
        return not np.isnan(self.clicks).any()

    @functools.cached_property
    def gains(self) -> np.ndarray:
        """What NDCG counts, float32 [T]: the purchases, or clicks where none is."""
        return self.purchases if self.purchases.any() else self.clicks

    def labels(self, target: Target) -> np.ndarray:
        """Labels of the main task, float32 [T]."""
        return self.purchases if target == "purchase" else self.clicks

    @property
    def folded_queries(self) -> list[str]:
        """The queries without case and superfluous blanks; all "" without queries."""
        queries = [""] * len(self) if self.queries is None else self.queries
        return [" ".join(query.casefold().split()) for query in queries]

    def check_pins(self) -> None:
        """Refuses pins that no order can keep.

        Raises:
          UserError: a place beyond the list, or two items at one place.
        """
        if self.pins is None:
            return
        for row, name in enumerate(self.ids):
            pins = self.pins[slice(*self.starts[row : row + 2])]
            places, counts = np.unique(pins[pins >= 0], return_counts=True)
            if (places >= len(pins)).any():
                raise UserError(
                    f"request {str(name)!r}: an item is pinned to place {places[-1] + 1} of"
                    f" {len(pins)}; pin it to one of these"
                )
            if (counts > 1).any():
                raise UserError(
                    f"request {str(name)!r}: {counts.max()} items are pinned to place"
                    f" {places[counts.argmax()] + 1}; pin one at most"
                )

    def select(self, rows: np.ndarray) -> Requests:
        """Some requests by their numbers int [r], in the order given."""
        places, starts = spread(self.starts, rows)
        past, history_starts = spread(self.history_starts, rows)
        of_lists = ("items", "pair_features", "clicks", "purchases", "propensities")
        of_requests = ("ids", "context", "randomised", "words", "queries", "times")
        chosen = {
            **{name: _some(self, name, places) for name in (*of_lists, "pins")},
            **{name: _some(self, name, rows) for name in of_requests},
        }
        return Requests(
            starts=starts,
            history=self.history[past],
            history_starts=history_starts,
            **chosen,
        )

    def mask(self, length: int = 0) -> np.ndarray:
        """Where there is a candidate: bool [R, L], see `pad`."""
        return self.pad(np.ones(len(self.items), bool), length)

    def pad(self, values: np.ndarray, length: int = 0, none: float = 0) -> np.ndarray:
        """Ragged values [T, ...] as [R, L, ...], `none` behind the end of a list.

        Args:
          values: one for each item of each list.
          length: L; 0 for the longest list.
          none: stands behind the ends.
        """
        length = length or int(self.lengths.max(initial=0))
        padded = np.full((len(self), length, *values.shape[1:]), none, values.dtype)
        padded[np.arange(length) < self.lengths[:, None]] = values
        return padded


def spread(starts: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of all members of some lists, int64 [t], and their starts [r + 1] there."""
    lengths = np.diff(starts)[rows]
    ends = np.cumsum(lengths)
    shifts = np.repeat(starts[:-1][rows] - (ends - lengths), lengths)
    return np.arange(lengths.sum()) + shifts, np.concatenate([[0], ends])


def _some(requests: Requests, name: str, rows: np.ndarray):
    values = getattr(requests, name)
    if isinstance(values, WordTable):
        return values.take(rows)
    return None if values is None else values[rows]
