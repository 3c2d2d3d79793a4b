"""Feature vectors of a frozen backbone, computed once and kept on disk."""

import json
import math
import mmap
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from common.data.aligned_arrays import empty_aligned
from common.errors import UserError

_META_FILE = "meta.json"
_ARRAY_FILE = "features.f16"
_DONE_FILE = "rows_done"
_LARGE = 2**28  # bytes; smaller arrays stay mapped once they are read
_AT_ONCE = 64  # rows of a large array that are mapped at a time


class FeatureCache:
    """A memory-mapped float16 array [N, ...], filled from the first row to the last.

    How far it is filled stands on disk, so a run that was cut off goes on where it
    stopped. A cache belongs to one key and is never read under another.

    Args:
      directory: made where it is missing.
      key: what the features depend on: hash of the weights, preprocessing, fingerprint
        of the data. All entries must agree with those of an existing cache.
      shape: (N, ...) of the array.

    Raises:
      UserError: the directory holds features of another key or shape, a damaged cache,
        or can't be written.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        key: Mapping[str, str],
        shape: Sequence[int],
    ):
        self.directory = pathlib.Path(directory)
        self.key = dict(key)
        self.shape = tuple(int(length) for length in shape)
        try:
            if (self.directory / _META_FILE).exists():
                self._check()
            else:
                self._create()
            if (self.directory / _ARRAY_FILE).stat().st_size != self._bytes:
                raise ValueError(f"{_ARRAY_FILE} does not have {self._bytes} bytes")
            self._array = np.memmap(
                self.directory / _ARRAY_FILE, np.float16, "r+", shape=self.shape
            )
            self._done = int((self.directory / _DONE_FILE).read_text())
        except (OSError, ValueError, KeyError, TypeError) as error:
            words = " ".join(str(error).split())
            raise self._damaged(words) from error
        if not 0 <= self._done <= len(self):
            raise self._damaged(f"{self._done} of {len(self)} rows done")

    @property
    def _bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(np.float16).itemsize

    def _create(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / _ARRAY_FILE, "wb") as file:
            file.truncate(self._bytes)
        self._write(_DONE_FILE, "0")
        # Last: only a directory with this file counts as a cache.
        meta = {"key": self.key, "shape": self.shape}
        self._write(_META_FILE, json.dumps(meta, indent=2))

    def _check(self) -> None:
        meta = json.loads((self.directory / _META_FILE).read_text())
        stored_key = {**meta["key"], "shape": meta["shape"]}
        expected_key = {**self.key, "shape": list(self.shape)}
        for name in sorted(stored_key.keys() | expected_key.keys()):
            if stored_key.get(name) != expected_key.get(name):
                raise UserError(
                    f"{self.directory}: features of another {name}"
                    f" ({stored_key.get(name)}, wanted is {expected_key.get(name)}); choose"
                    " another folder or delete this one"
                )

    def _write(self, name: str, text: str) -> None:
        """Writes a small file in one go."""
        partial = self.directory / (name + ".partial")
        partial.write_text(text)
        partial.replace(self.directory / name)

    def _damaged(self, reason: str) -> UserError:
        return UserError(
            f"{self.directory}: feature cache can't be used ({reason}); delete it"
        )

    def __reduce__(self):
        # A memory map would be pickled with all it maps; a worker opens its own.
        return FeatureCache, (self.directory, self.key, self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def done(self) -> int:
        """Number of rows that are filled; go on with this one."""
        return self._done

    @property
    def complete(self) -> bool:
        """Whether all rows are filled."""
        return self._done == len(self)

    def append(self, features: np.ndarray) -> None:
        """Fills the next rows.

        Args:
          features: [n, ...]; kept as float16.

        Raises:
          ValueError: wrong shape, more rows than are left.
          UserError: a feature that float16 can't hold: infinite, NaN or over 65,504.
        """
        stop = self._done + len(features)
        if features.shape[1:] != self.shape[1:] or stop > len(self):
            raise ValueError(
                f"{features.shape} does not fit rows {self._done}.. of {self.shape}"
            )
        # An overflow is found below and told in words.
        with np.errstate(over="ignore"):
            rows = np.asarray(features).astype(np.float16)
        if not np.isfinite(rows).all():
            raise UserError(
                f"{self.directory}: a feature of rows {self._done} to {stop - 1} does"
                " not fit float16; check the weights of the backbone"
            )
        self._array[self._done : stop] = rows
        # The rows must be on disk before the mark says so.
        self._array.flush()
        self._let_go()
        self._write(_DONE_FILE, str(stop))
        self._done = stop

    def rows(self, indices: np.ndarray | Sequence[int]) -> np.ndarray:
        """Reads rows.

        Args:
          indices: int [n], each below `done`.

        Returns:
          float16 [n, ...], a copy.

        Raises:
          IndexError: a row that is not filled.
        """
        indices = np.asarray(indices, np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() < self._done:
            raise IndexError(f"{self._done} of {len(self)} rows are filled")
        if self._bytes <= _LARGE:
            return np.asarray(self._array[indices])
        rows = empty_aligned((len(indices), *self.shape[1:]), np.float16)
        for first in range(0, len(indices), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            rows[part] = self._array[indices[part]]
            # A page that is touched may bring 2 MiB around it.
            self._let_go()
        return rows

    def _let_go(self) -> None:
        """Takes the pages of a large file out of this process.

        They stay in the page cache, but no longer count as memory of the process, which
        would otherwise grow to the size of the file.
        """
        memory = self._array.base
        if self._bytes > _LARGE and isinstance(memory, mmap.mmap):
            memory.madvise(mmap.MADV_DONTNEED)
