"""All that a run knows of requests and items."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from common.errors import UserError
from common.text.encoder import TextEncoder
from rerank.config import Sizes
from rerank.corpus.items import Items
from rerank.corpus.requests import Requests

_LIMIT = 10.0  # standard deviations; what lies further off is cut
KINDS = ("fields", "pair_features", "context")


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Standardises numbers: (x - mean) / deviation, cut at 10; missing ones become 0.

    Attributes:
      means: {kind: one for each column}, of the known values in training.
      deviations: {kind: the same}; 1 where a column is constant.
    """

    means: Mapping[str, tuple[float, ...]]
    deviations: Mapping[str, tuple[float, ...]]

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
            means[kind] = tuple(mean.tolist())
            deviations[kind] = tuple(np.where(constant, 1, deviation).tolist())
        return cls(means, deviations)

    def apply(self, kind: str, values: np.ndarray) -> np.ndarray:
        """Standardised numbers float32 [n, columns] of float [n, columns]."""
        mean = np.array(self.means[kind])[None, :]
        scaled = (values - mean) / np.array(self.deviations[kind])[None, :]
        scaled = np.clip(np.nan_to_num(scaled, nan=0.0), -_LIMIT, _LIMIT)
        return scaled.astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` turns back into an equal scaling."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Scaling:
        """Rebuilds a scaling.

        Raises:
          UserError: the value was not written by `to_json`.
        """
        try:
            read = [
                {kind: tuple(map(float, value[part][kind])) for kind in KINDS}
                for part in ("means", "deviations")
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                "the file with the scaling of the numbers is damaged: copy it anew or"
                " train again"
            ) from error
        return cls(*read)


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """Items and requests, split.

    Attributes:
      items: the store.
      splits: {"train" | "validation" | "test": requests}.
      sizes: what networks need.
      scaling: of own numbers, fitted on training; None for generated data.
      encoder: of titles and queries, fitted on training; None where no text is read.
      fingerprint: hash of all that training depends on.
      rejected: rows of the tables that were rejected.
    """

    items: Items
    splits: Mapping[str, Requests]
    scaling: Scaling | None = None
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
        parts = [(name, self.splits[name]) for name in sorted(self.splits)]
        for name, part in [("items", self.items), *parts]:
            digest.update(name.encode())
            for field in dataclasses.fields(part):
                _update(digest, getattr(part, field.name))
        return digest.hexdigest()[:16]

    def keep(self, modalities: Collection[str]) -> Corpus:
        """The same without the other modalities."""
        return dataclasses.replace(self, items=self.items.keep(modalities))


def _update(digest: Any, value: Any) -> None:
    """Hashes arrays, and mappings and dataclasses of them."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O":
            value = value.astype(str)
        digest.update(repr((value.dtype.str, value.shape)).encode())
        digest.update(np.ascontiguousarray(value).data)
    elif isinstance(value, Mapping):
        for key in sorted(value):
            digest.update(repr(key).encode())
            _update(digest, value[key])
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            _update(digest, getattr(value, field.name))
    elif isinstance(value, tuple):
        digest.update(repr(len(value)).encode())
        for each in value:
            _update(digest, each)
    else:
        digest.update(repr(value).encode())
