"""Listings as the systems see them: a typed table and the photos of each row."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.data import image_files
from common.data.sources import Record, Source, Subset
from common.tables import splits
from common.tables.schema import Schema


@dataclasses.dataclass(frozen=True)
class Listings:
    """Prepared listings.

    Attributes:
      schema: what the columns mean.
      frame: one accepted row each, in the order of the table; typed columns as
        `tables.check_rows` gives them, "split" (train, validation or test), and the
        "line" in the user's file where there is one.
      source: `source[i]` is the Record of row i of the frame.
      fingerprint: hash of everything the data was prepared from.
      rejected: number of rows that could not be used; rejected.csv names them.
      dropped_photos: number of unreadable photos left out of rows that were kept;
        dropped_photos.csv names them.
      rows_without_photo: number of rows in the frame that have none (left).
      directory: where the prepared files lie; a TFDS data set.
      renamed_photos: number of photos that lie under a name of another case, ending or
        Unicode form than the table's; renamed_photos.csv names them.
      photos: hash of the photos of all rows in order, whatever the split and whatever
        else is told of the rows: features of photos are kept under it.
    """

    schema: Schema
    frame: pd.DataFrame
    source: Source
    fingerprint: str
    rejected: int
    dropped_photos: int
    rows_without_photo: int
    directory: pathlib.Path
    renamed_photos: int = 0
    photos: str = ""

    def indices(self, split: str) -> np.ndarray:
        """Returns the rows of a split in the order of the frame.

        Args:
          split: "train", "validation" or "test".

        Returns:
          int64 [n] positions in frame and source.
        """
        if split not in splits.SPLITS:
            raise ValueError(f"no split {split!r}; there are {splits.SPLITS}")
        return np.flatnonzero(self.frame["split"].to_numpy() == split)

    def names_of(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What names rows: {column of the id: [n], "line": [n] in the user's file}.

        Args:
          rows: int [n] positions in the frame.

        Returns:
          No id where the schema has none, no line where rows come from no file.
        """
        columns = [self.schema.id] if self.schema.id else []
        columns += ["line"] if "line" in self.frame else []
        return {name: self.frame[name].to_numpy()[rows] for name in columns}

    def rows(self, split: str) -> Subset:
        """Returns the records of a split as a source of their own."""
        return Subset(self.source, self.indices(split))


@dataclasses.dataclass(frozen=True)
class NewRows:
    """Rows to predict: all of them, also those that can't be read.

    Attributes:
      frame: every row of the table in its order, typed columns where the row could be
        read, and two more: "line" in the file and "error", "" or the reason.
      source: `source[i]` is the Record of row i; meant for rows without error.
    """

    frame: pd.DataFrame
    source: "NewRowSource"

    @property
    def usable(self) -> np.ndarray:
        """int64 [n] positions of the rows without error."""
        return np.flatnonzero(self.frame["error"].to_numpy() == "")


class NewRowSource:
    """Reads the photos of rows from where the user keeps them.

    Args:
      store: the photos; None for a table without.
      names: of each row, only those that can be decoded.
    """

    def __init__(
        self, store: image_files.ImageStore | None, names: Sequence[Sequence[str]]
    ):
        self._store = store
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, row: int) -> Record:
        encoded = []
        if self._store is not None:
            encoded = [self._store.read(name) for name in self._names[row]]
        return {"row": row, "images": encoded}

    def close(self) -> None:
        """Lets go of the photos."""
        if self._store is not None:
            self._store.close()
