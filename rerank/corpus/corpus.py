"""All that a run knows of requests and items."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from common.text.encoder import TextEncoder
from rerank.config import Sizes
from rerank.corpus.items import Items
from rerank.corpus.requests import Requests

_LIMIT = 10.0  # standard deviations; what lies further off is cut


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Standardises numbers: (x - mean) / deviation, cut at 10; missing ones become 0.

    Attributes:
      means: {kind: one for each column}, of the known values in training.
      deviations: {kind: the same}; 1 where a column is constant.
    """

    means: Mapping[str, list[float]]
    deviations: Mapping[str, list[float]]

    @classmethod
    def fit(cls, columns: Mapping[str, np.ndarray]) -> Scaling:
        """Fits on {kind: [n, columns] of training, NaN where missing}."""
        means, deviations = {}, {}
        for kind, values in columns.items():
            known = np.isfinite(values)
            count = np.maximum(known.sum(axis=0), 1)
            mean = np.where(known, values, 0).sum(axis=0) / count
            square = np.where(known, values - mean[None, :], 0) ** 2
            deviation = np.sqrt(square.sum(axis=0) / count)
            constant = deviation <= 1e-12 * np.maximum(1, np.abs(mean))
            means[kind] = mean.tolist()
            deviations[kind] = np.where(constant, 1, deviation).tolist()
        return cls(means, deviations)

    def apply(self, kind: str, values: np.ndarray) -> np.ndarray:
        """Standardised numbers float32 [n, columns] of float [n, columns]."""
        mean = np.array(self.means[kind])[None, :]
        scaled = (values - mean) / np.array(self.deviations[kind])[None, :]
        scaled = np.clip(np.nan_to_num(scaled, nan=0.0), -_LIMIT, _LIMIT)
        return scaled.astype(np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """Items and requests, split.

    Attributes:
      items: the store.
      splits: {"train" | "validation" | "test": requests}.
      sizes: what networks need.
      scaling: of the numbers, fitted on training; of generated data it does nothing.
      pair_names: of the numbers of a pair.
      context_names: of the numbers of a request.
      encoder: of titles and queries, fitted on training; None where no text is read.
      fingerprint: hash of all that training depends on.
      rejected: rows of the tables that were rejected.
    """

    items: Items
    splits: Mapping[str, Requests]
    scaling: Scaling
    pair_names: tuple[str, ...] = ()
    context_names: tuple[str, ...] = ()
    encoder: TextEncoder | None = None
    rejected: int = 0

    @functools.cached_property
    def sizes(self) -> Sizes:
        """What networks must know."""
        parts = list(self.splits.values())
        train = self.splits["train"]
        past = max(int(np.diff(p.history_starts).max(initial=0)) for p in parts)
        return Sizes(
            fields=self.items.fields.shape[1] + train.pair_features.shape[1],
            context=train.context.shape[1],
            query_words=0 if train.words is None else train.words.encoder.size,
            modalities=self.items.modalities,
            length=max(int(part.lengths.max(initial=0)) for part in parts),
            history=max(past, 1),
        )

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of all that training depends on."""
        digest = hashlib.sha256()
        _update(digest, {"items": self.items, **self.splits})
        return digest.hexdigest()[:16]


def _update(digest: Any, value: Any) -> None:
    """Hashes arrays, and mappings, tuples and dataclasses of them."""
    parts: list[Any] = []
    if isinstance(value, np.ndarray):
        digest.update(repr((value.dtype.str, value.shape)).encode())
        digest.update(np.ascontiguousarray(value).data)
    elif isinstance(value, Mapping):
        parts = sorted(value.items())
    elif isinstance(value, TextEncoder | tuple) or not dataclasses.is_dataclass(value):
        digest.update(repr(value).encode())
    else:
        names = [field.name for field in dataclasses.fields(value)]  # type: ignore[arg-type]
        parts = [(name, getattr(value, name)) for name in names]
    for name, part in parts:
        digest.update(name.encode())
        _update(digest, part)
