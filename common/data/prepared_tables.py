"""Tables out of TFDS: a data set that was prepared on disk, a row an example."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds

from common import literal_paths
from common.errors import UserError
from common.tables import table
from common.tables.table import Table

literal_paths.take_literally()

_INFO = "dataset_info.json"


def is_prepared(path: pathlib.Path) -> bool:
    """Whether a path is the folder of a prepared data set, NAME/CONFIG/VERSION."""
    return (path / _INFO).is_file()


def read_prepared(directory: pathlib.Path) -> Table:
    """Reads all examples of all splits as one table of text.

    Columns are the features that hold one value: numbers, texts and class labels, these
    by name. Others are left out.

    Args:
      directory: that `tfds.builder_from_directory` takes; ArrayRecord files, so that no
        TensorFlow is needed.

    Raises:
      UserError: it can't be read, or no feature holds one value.
    """
    try:
        builder = tfds.builder_from_directory(directory)
        columns = {
            name: feature
            for name, feature in builder.info.features.items()
            if feature.shape == ()
        }
        sources = [builder.as_data_source(split) for split in builder.info.splits]
    except Exception as error:  # tfds, array_record and protobuf have their own each
        words = " ".join(str(error).split())
        raise UserError(
            f"{directory}: no data set that can be read ({words})"
        ) from error
    if not columns:
        raise UserError(f"{directory}: no feature of its examples holds one value")

    def rows() -> Iterator[Mapping[str, Any]]:
        for source in sources:
            for example in source:
                yield {name: _plain(example[name], f) for name, f in columns.items()}

    return table.from_rows(rows(), str(directory))


def _plain(value: Any, feature: Any) -> Any:
    """A value as the cell of a table."""
    if isinstance(feature, tfds.features.ClassLabel):
        return feature.int2str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if hasattr(value, "item") else value
