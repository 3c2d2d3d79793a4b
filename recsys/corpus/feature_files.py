"""Features of the items: read row by row from memory or disk, and brought to scale."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, get_args

import numpy as np

from common.data.aligned_arrays import empty_aligned
from common.errors import UserError
from recsys.corpus.config import Normalisation
from recsys.corpus.feature_shards import (
    Shard,
    blocks_of,
    check_finite,
    hash_array,
    narrow,
    open_array,
    open_folder,
    write_features,
)

__all__ = [
    "ArrayFeatures",
    "Features",
    "Scaling",
    "StoredFeatures",
    "fit_normalisation",
    "write_features",
]

_SAMPLE = 10_000  # items of which the power is taken
# A feature that varies by less, relative to its mean, is constant but for rounding.
_CONSTANT = 2.0**-20
_SMALLEST = float(np.finfo(np.float32).tiny)


class Features(Protocol):
    """F numbers of each of I items; several threads may read at once."""

    @property
    def width(self) -> int:
        """F."""

    @property
    def count(self) -> int:
        """I."""

    @property
    def fingerprint(self) -> str:
        """Hash of all values; the first call may take long."""

    def take(self, ids: np.ndarray) -> np.ndarray:
        """Reads the features of some items.

        Args:
          ids: int [n], in any order, repeats allowed.

        Returns:
          float16 or float32 [n, F], a copy.

        Raises:
          IndexError: there is no such item.
          UserError: a value is not finite.
        """


class _Shards:
    """Items in the order of shards.

    Args:
      shards: one or more of equal width.
      where: name for messages.
      checked: whether all values are known to be finite.
    """

    def __init__(self, shards: Sequence[Shard], where: str, checked: bool):
        self._shards, self._where, self._checked = shards, where, checked
        lengths = [len(shard.values) for shard in shards]
        self._starts = np.cumsum([0, *lengths], dtype=np.int64)
        self.count = int(self._starts[-1])
        self.width = int(shards[0].values.shape[1])
        half = shards[0].values.dtype == np.float16
        self._type = np.float16 if half else np.float32

    def take(self, ids: np.ndarray) -> np.ndarray:
        """See `Features`; each shard is read once, from its first row to its last."""
        ids = self._check_ids(ids)
        # Negatives repeat: each row is read once.
        distinct, inverse = np.unique(ids, return_inverse=True)
        edges = np.searchsorted(distinct, self._starts).tolist()
        features = np.empty((len(distinct), self.width), self._type)
        for shard, start, low, high in zip(
            self._shards, self._starts[:-1], edges[:-1], edges[1:], strict=True
        ):
            if low < high:
                local = distinct[low:high] - start
                rows = narrow(shard.values[local], self._type)  # [n, F]
                if shard.scales is not None:
                    rows *= shard.scales[local][:, None]
                features[low:high] = rows
        if not self._checked:
            check_finite(features, distinct, self._where)
        return features[inverse]

    def _check_ids(self, ids: np.ndarray) -> np.ndarray:
        ids = np.asarray(ids)
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise IndexError(f"ids are {ids.dtype} {ids.shape}, not whole numbers [n]")
        if ids.size and not 0 <= ids.min() <= ids.max() < self.count:
            raise IndexError(
                f"ids {ids.min()} to {ids.max()}: {self._where} has features of"
                f" {self.count} items"
            )
        return ids.astype(np.int64)


class ArrayFeatures(_Shards):
    """Features in memory.

    Args:
      array: float16, float32 or float64 [I, F].

    Raises:
      UserError: another type or shape, or a value that is not finite in float32.
    """

    def __init__(self, array: np.ndarray):
        array = np.asarray(array)
        where = "the feature array"
        _check_array(array, where)
        super().__init__([Shard(array)], where, checked=True)
        for first, rows in blocks_of(array):
            ids = np.arange(first, first + len(rows))
            check_finite(narrow(rows, self._type), ids, where)

    def take(self, ids: np.ndarray) -> np.ndarray:
        """See `Features`; memory needs no order of reading, and so one copy does."""
        ids, values = self._check_ids(ids), self._shards[0].values
        if values.dtype != self._type:
            return narrow(values[ids], self._type)
        features = empty_aligned((len(ids), self.width), self._type)
        # The ids have been checked; any other mode would copy once more.
        return np.take(values, ids, axis=0, out=features, mode="clip")

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of type, shape and values."""
        return hash_array(self._shards[0].values)


class StoredFeatures(_Shards):
    """Features on disk, mapped into memory.

    Args:
      path: a `.npy` file of float16, float32 or float64 [I, F], or a folder that
        `write_features` filled. The values of a file are checked when they are read,
        those of a folder were when they were written.

    Raises:
      UserError: missing, damaged or incomplete, or an array of another kind.
    """

    def __init__(self, path: str | os.PathLike):
        self._path = pathlib.Path(path)
        self._hash = None
        if self._path.is_dir():
            shards, self._hash = open_folder(self._path)
        else:
            shards = [Shard(open_array(self._path))]
            _check_array(shards[0].values, str(self._path))
        super().__init__(shards, str(self._path), checked=self._hash is not None)

    def __reduce__(self):
        # A memory map would be pickled with all it maps; a worker opens its own.
        return StoredFeatures, (self._path,)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of all values; a `.npy` file is read through, a folder keeps it."""
        return self._hash or hash_array(self._shards[0].values)


@dataclasses.dataclass(frozen=True, eq=False)
class Scaling:
    """What is done to features before a model sees them.

    - "none": nothing.
    - "unit": f / |f|; a row of zeros stays one.
    - "standardise": (f - mean) * scale, with the mean and 1 / standard deviation of the
      training items. A feature that is constant there becomes 0.

    Attributes:
      kind: which.
      mean: float32 [F]; 0 unless standardised.
      scale: float32 [F]; 1 unless standardised.
      power: mean of |f|^2 over training items, after scaling; 1 for "unit".
    """

    kind: Normalisation
    mean: np.ndarray
    scale: np.ndarray
    power: float

    @property
    def width(self) -> int:
        """F."""
        return len(self.mean)

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Scales rows.

        Args:
          rows: float [n, F].

        Returns:
          float32 [n, F].

        Raises:
          ValueError: another width.
        """
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ValueError(f"features of shape {rows.shape}, not [n, {self.width}]")
        rows = rows.astype(np.float32, copy=False)
        if self.kind == "standardise":
            scaled = empty_aligned(rows.shape, np.float32)
            np.subtract(rows, self.mean, out=scaled)
            return np.multiply(scaled, self.scale, out=scaled)  # [n, F]
        if self.kind == "unit":
            with np.errstate(over="ignore"):
                squares = np.vecdot(rows, rows)  # [n]
            usual = (squares > _SMALLEST) & (squares < np.inf)
            factors = 1 / np.sqrt(np.where(usual, squares, 1))
            scaled = empty_aligned(rows.shape, np.float32)
            np.multiply(rows, factors[:, None], out=scaled)
            if not usual.all():
                scaled[~usual] = _unit_rows(rows[~usual])
            return scaled
        return rows

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` turns back into the same scaling."""
        value: dict[str, Any] = {"kind": self.kind, "width": self.width}
        value["power"] = self.power
        if self.kind == "standardise":
            value |= {"mean": self.mean.tolist(), "scale": self.scale.tolist()}
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Scaling:
        """Rebuilds a scaling.

        Raises:
          UserError: the value was not written by `to_json`.
        """
        try:
            kind, width, power = value["kind"], value["width"], float(value["power"])
            arrays = [np.zeros(width, np.float32), np.ones(width, np.float32)]
            if kind == "standardise":
                arrays = [np.array(value[n], np.float32) for n in ("mean", "scale")]
            if kind not in get_args(Normalisation) or not 0 < power < np.inf:
                raise ValueError(f"kind {kind!r}, power {power}")
            if any(a.shape != (width,) or not np.isfinite(a).all() for a in arrays):
                raise ValueError(f"not {width} finite numbers")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(
                "the file with the scaling of the features is damaged: copy it anew or"
                " train again"
            ) from error
        return cls(kind, arrays[0], arrays[1], power)


def fit_normalisation(
    features: Features,
    kind: Normalisation,
    train_items: np.ndarray,
    rows_at_once: int = 4096,
) -> Scaling:
    """Fits the scaling on the training items alone.

    Args:
      features: of all items.
      kind: of scaling, see `Scaling`.
      train_items: int [n], their rows in `features`; each counts once.
      rows_at_once: rows that are in memory at a time.

    Raises:
      UserError: an unknown kind, or nothing but zeros is left.
      ValueError: no items.
    """
    if kind not in get_args(Normalisation):
        names = ", ".join(get_args(Normalisation))
        raise UserError(f"normalisation {kind!r}: choose one of {names}")
    ids = np.unique(train_items)
    if not len(ids):
        raise ValueError("no training items")
    mean = np.zeros(features.width, np.float32)
    scale = np.ones(features.width, np.float32)
    if kind == "standardise":
        mean, scale = _standard(_read(features, ids, rows_at_once), features.width)
    plain = Scaling(kind, mean, scale, 1.0)
    if kind == "unit":
        return plain
    sample = np.linspace(0, len(ids) - 1, min(len(ids), _SAMPLE)).astype(np.int64)
    total = 0.0
    for rows in _read(features, ids[sample], rows_at_once):
        total += np.square(plain.apply(rows), dtype=np.float64).sum()
    if total == 0:
        what = "equal" if kind == "standardise" else "zero"
        raise UserError(
            f"the features of all training items are {what}: check what made them, or"
            " train without features"
        )
    return dataclasses.replace(plain, power=float(total / len(sample)))


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    """f / |f| in float64, which holds the square of any float32."""
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return (rows / np.where(norms > 0, norms, 1)).astype(np.float32)


def _read(
    features: Features, ids: np.ndarray, rows_at_once: int
) -> Iterator[np.ndarray]:
    for first in range(0, len(ids), rows_at_once):
        yield features.take(ids[first : first + rows_at_once])


def _standard(
    blocks: Iterator[np.ndarray], width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and 1 / standard deviation of the columns, in one pass over blocks.

    Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for
    Computing Sample Variances", 1979, equation 2.1.

    Returns:
      (mean, scale), both float32 [F]; the scale of a constant column is 0.
    """
    count = 0
    mean, squares = np.zeros(width), np.zeros(width)
    for block in blocks:
        rows = block.astype(np.float64)
        block_mean = rows.mean(axis=0)
        shift, total = block_mean - mean, count + len(rows)
        squares += np.square(rows - block_mean).sum(axis=0)
        squares += np.square(shift) * count * len(rows) / total
        mean += shift * len(rows) / total
        count = total
    deviation = np.sqrt(squares / count)
    varies = deviation > np.maximum(_CONSTANT * np.abs(mean), _SMALLEST)
    scale = np.divide(1, deviation, out=np.zeros(width), where=varies)
    return mean.astype(np.float32), scale.astype(np.float32)


def _check_array(array: np.ndarray, where: str) -> None:
    if array.dtype == np.int8:
        raise UserError(
            f"{where}: int8 without scales: give float16, or the folder that"
            " write_features fills with kind='int8'"
        )
    if array.ndim != 2 or array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise UserError(
            f"{where}: {array.dtype} of shape {array.shape}: give one row of float16,"
            " float32 or float64 for each item"
        )
    if not array.size:
        raise UserError(f"{where}: empty, of shape {array.shape}: give a row an item")
    if isinstance(array, np.memmap) and not array.flags.c_contiguous:
        raise UserError(
            f"{where}: stored column by column, so a row can't be read alone: save"
            " np.ascontiguousarray of it"
        )
