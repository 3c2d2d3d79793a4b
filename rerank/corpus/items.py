"""The item store: what is known of every item that a list or a history may name."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from common.text.encoder import TextEncoder
from rerank.config import MODALITIES, Modality

NONE = -1  # stands for an item, a category or a label that is not known


@dataclasses.dataclass(frozen=True, eq=False)
class WordTable:
    """Texts as weighted words, a row a text.

    Attributes:
      ids: int32 [N, Lw], 0 for padding.
      weights: float32 [N, Lw], 0 for padding.
      encoder: that made them.
    """

    ids: np.ndarray
    weights: np.ndarray
    encoder: TextEncoder

    def take(self, rows: np.ndarray) -> WordTable:
        """Some rows; all padding where a row is `NONE`."""
        return WordTable(take(self.ids, rows), take(self.weights, rows), self.encoder)


@dataclasses.dataclass(frozen=True, eq=False)
class Items:
    """N items.

    Attributes:
      ids: [N] str.
      categories: int32 [N], `NONE` where it is not known; all 0 where the table has no
        column of categories, so that all items are of one.
      category_names: of the categories.
      fields: float32 [N, F] standardised numbers, 0 where missing.
      field_names: of these.
      prices: float32 [N] in the unit of the table; NaN where it is not known.
      present: {modality: bool [N]}; a modality that is not there has no entry. What
        the vectors hold where it is False, nothing may read.
      vectors: {modality: float32 [N, D_m]}.
      words: of the titles, where there are titles and no vectors of texts.
      labels: {column: (int32 [N], names)} that caps and exposure are told by.
      titles: [N] str, "" where there is none; None without a column of titles.
      photos: [N] str, names of files, as titles; pictures alone show them.
    """

    ids: np.ndarray
    categories: np.ndarray
    category_names: tuple[str, ...]
    fields: np.ndarray
    field_names: tuple[str, ...]
    prices: np.ndarray
    present: Mapping[str, np.ndarray]
    vectors: Mapping[str, np.ndarray]
    words: WordTable | None = None
    labels: Mapping[str, tuple[np.ndarray, tuple[str, ...]]] = dataclasses.field(
        default_factory=dict
    )
    titles: np.ndarray | None = None
    photos: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @functools.cached_property
    def modalities(self) -> tuple[Modality, ...]:
        """Those that are there, in the order of `MODALITIES`."""
        sizes = {name: (array.shape[1], 0) for name, array in self.vectors.items()}
        if self.words is not None:
            sizes["text"] = (0, self.words.encoder.size)
        return tuple(Modality(n, *sizes[n]) for n in MODALITIES if n in self.present)

    def names(self, numbers: np.ndarray) -> list[str]:
        """What pictures call items [n]: their titles, else their ids."""
        ids = self.ids[numbers].tolist()
        titles = [""] * len(ids) if self.titles is None else self.titles[numbers]
        return [
            str(title) or str(name) for title, name in zip(titles, ids, strict=True)
        ]

    def take_modalities(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """What networks see of items [...] by modality; zeros where one is `NONE`.

        Returns:
          "present" bool [..., M]; and by modality float32 [..., D_m] under its name, or
          "text_ids" int32 and "text_weights" float32 [..., Lw].
        """
        names = [modality.name for modality in self.modalities]
        bits = [take(self.present[name], numbers) for name in names]
        none = np.zeros((*np.shape(numbers), 0), bool)
        taken = {"present": np.stack(bits, axis=-1) if bits else none}
        for name in names:
            if name == "text" and self.words is not None:
                words = self.words.take(numbers)
                taken["text_ids"], taken["text_weights"] = words.ids, words.weights
            else:
                taken[name] = take(self.vectors[name], numbers)
        return taken


def take(values: np.ndarray, rows: np.ndarray, none: float = 0) -> np.ndarray:
    """values[rows], and `none` where a row is `NONE`: [*rows.shape, ...]."""
    if not len(values):
        return np.full((*np.shape(rows), *values.shape[1:]), none, values.dtype)
    taken = values[np.maximum(rows, 0)]
    taken[np.asarray(rows) < 0] = none
    return taken
