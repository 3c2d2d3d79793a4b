"""Whether the features of items are still those that a model was trained on.

Of some items training keeps a few sums of their features with random signs. Rows of
other items have other sums; the same rows kept as float16 or int8 have nearly the same.

Source of the sums: Achlioptas, "Database-friendly random projections", 2003.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from common.data.generated import generator
from recsys.corpus.corpus import Catalogue

_ITEMS = 1000  # that are compared, spread over the catalogue
_SUMS = 8  # of each
_STREAM = int.from_bytes(b"recsys sketch", "big")
# Of a row's length: int8 moves a sum by some hundredths of it, another row by about 1.
_TOLERANCE = 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureSketch:
    """What is kept of the features of n items.

    Attributes:
      items: int64 [n], their numbers in training.
      sums: float64 [n, 1 + K], length of the features and their K sums.
    """

    items: np.ndarray
    sums: np.ndarray

    @classmethod
    def of(cls, catalogue: Catalogue) -> FeatureSketch:
        """That of the items of a catalogue."""
        last = catalogue.item_count - 1
        spread = np.linspace(0, last, min(catalogue.item_count, _ITEMS))
        items = np.unique(spread.astype(np.int64))
        return cls(items, _sums(catalogue.take_stored(items)))

    def count_changed(
        self, catalogue: Catalogue, number_of: np.ndarray
    ) -> tuple[int, int]:
        """Compares the features of items that are there still.

        Args:
          catalogue: of now; of the same width.
          number_of: int [I], the number in it of each item of training; -1 for none.

        Returns:
          (items with other features than in training, items that were compared).
        """
        numbers = number_of[self.items]
        there = numbers >= 0
        before = self.sums[there]
        now = _sums(catalogue.take_stored(numbers[there]))
        length = np.maximum(before[:, :1], now[:, :1])
        changed = (abs(now - before) > _TOLERANCE * length).any(axis=1)
        return int(changed.sum()), len(changed)


def _sums(rows: np.ndarray) -> np.ndarray:
    wide = rows.astype(np.float64)  # [n, F]
    bits = generator(0, 0, _STREAM).integers(0, 2, (wide.shape[1], _SUMS))
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.concatenate([lengths, wide @ (2.0 * bits - 1)], axis=1)
