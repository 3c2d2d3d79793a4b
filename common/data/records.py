"""The records of prepared listings: a TFDS data set of ArrayRecord files.

Each record holds the row number and the encoded photos of one listing; there is one
TFDS split for each of ours, with its rows in the order of the table. No TensorFlow is
needed to write or read it, and reading needs TFDS alone:

    tfds.builder_from_directory(directory).as_data_source("train")[0]
    {"row": 0, "images": [b"...", b"..."]}

The photos are a sequence of byte strings (TFDS type Text) and not of TFDS type Image:
without TensorFlow a sequence of Image can only be read decoded, by rules that turn
palette and 16-bit photos into something else. `tfds.core.SequentialWriter` writes
every row once as it comes, whatever its split; a GeneratorBasedBuilder would ask for
the rows split by split and hold a gigabyte of them in memory.
"""

import collections
import os
import pathlib
from collections.abc import Iterable

import numpy as np
import tensorflow_datasets as tfds

from common import literal_paths
from common.data.sources import Record
from common.errors import UserError
from common.tables import splits

literal_paths.take_literally()

NAME = "listings"
VERSION = "1.0.0"
_ROWS_A_SHARD = 10_000
_ROWS_A_WRITE = 256


def write_records(directory: pathlib.Path, rows: Iterable[tuple[str, Record]]) -> int:
    """Writes a TFDS data set.

    Args:
      directory: an existing folder.
      rows: (split, record) in the order of the frame; drawn from as they are written.

    Returns:
      Number of records written.
    """
    writer = tfds.core.SequentialWriter(
        _describe(directory),
        max_examples_per_shard=_ROWS_A_SHARD,
        file_format="array_record",
    )
    writer.initialize_splits(list(splits.SPLITS))
    waiting: dict[str, list[Record]] = collections.defaultdict(list)
    count = 0
    for split, record in rows:
        waiting[split].append(record)
        count += 1
        if count % _ROWS_A_WRITE == 0:
            writer.add_examples(waiting)
            waiting.clear()
    writer.add_examples(waiting)
    writer.close_all()
    return count


def _describe(directory: pathlib.Path) -> tfds.core.DatasetInfo:
    features = {
        "row": np.int64,
        "images": tfds.features.Sequence(tfds.features.Text()),
    }
    identity = tfds.core.DatasetIdentity(
        name=NAME,
        version=tfds.core.Version(VERSION),
        data_dir=os.fspath(directory),
        module_name=__name__,
    )
    return tfds.core.DatasetInfo(
        builder=identity,
        features=tfds.features.FeaturesDict(features),
        disable_shuffling=True,
    )


class RecordSource:
    """Random access to the records of all splits by row.

    Args:
      directory: of the data set.
      split_of_row: [N] the split of each row of the frame.

    Raises:
      ValueError: where the records don't fit `split_of_row`.
      UserError: on reading a damaged record.
    """

    def __init__(self, directory: pathlib.Path, split_of_row: np.ndarray):
        self._directory = directory
        builder = tfds.builder_from_directory(directory)
        self._splits = []
        self._split_of_row = np.zeros(len(split_of_row), np.int8)
        self._place_of_row = np.zeros(len(split_of_row), np.int64)
        for number, split in enumerate(splits.SPLITS):
            rows = np.flatnonzero(split_of_row == split)
            source = builder.as_data_source(split) if len(rows) else []
            if builder.info.splits[split].num_examples != len(rows):
                raise ValueError(f"split {split} does not have {len(rows)} records")
            self._splits.append(source)
            self._split_of_row[rows] = number
            self._place_of_row[rows] = np.arange(len(rows))

    def __len__(self) -> int:
        return len(self._split_of_row)

    def __getitem__(self, row: int) -> Record:
        source = self._splits[self._split_of_row[row]]
        try:
            record = source[int(self._place_of_row[row])]
        except Exception as error:  # array_record and protobuf have their own
            raise UserError(
                f"{self._directory}: the record of row {row} is damaged; delete the"
                " directory and prepare it again"
            ) from error
        return {"row": record["row"], "images": record["images"]}
