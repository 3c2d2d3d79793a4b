import os

import numpy as np
import pytest
import tensorflow_datasets as tfds

from common.data.prepared_tables import is_prepared, read_prepared
from common.errors import UserError
from recsys.corpus.interaction_files import read_interactions


def prepare(folder, features, splits):
    """A TFDS data set with some examples in each split."""
    identity = tfds.core.DatasetIdentity(
        name="likes",
        version=tfds.core.Version("1.0.0"),
        data_dir=os.fspath(folder),
        module_name=__name__,
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        features=tfds.features.FeaturesDict(features),
        disable_shuffling=True,
    )
    writer = tfds.core.SequentialWriter(
        info, max_examples_per_shard=10, file_format="array_record"
    )
    writer.initialize_splits(list(splits))
    for split, examples in splits.items():
        writer.add_examples({split: examples})
    writer.close_all()


FEATURES = {
    "user": np.int64,
    "item": tfds.features.Text(),
    "kind": tfds.features.ClassLabel(names=["like", "buy"]),
    "time": np.float64,
    "vector": tfds.features.Tensor(shape=(2,), dtype=np.float32),
}
EXAMPLE = {"user": 7, "item": "Ü1", "kind": 1, "time": 1.6e9, "vector": [0, 1]}


@pytest.fixture
def folder(tmp_path):
    other = EXAMPLE | {"user": 9, "item": "b", "kind": 0}
    prepare(tmp_path, FEATURES, {"train": [EXAMPLE, other], "test": [EXAMPLE]})
    return tmp_path


def test_examples_of_all_splits_are_rows(folder):
    assert is_prepared(folder)
    frame = read_prepared(folder).frame
    assert set(frame.columns) == {"user", "item", "kind", "time"}  # no vector
    assert frame["user"].tolist() == ["7", "9", "7"]
    assert frame["item"].tolist() == ["Ü1", "b", "Ü1"]
    assert frame["kind"].tolist() == ["buy", "like", "buy"]


def test_interactions_come_from_it_as_from_a_file(folder):
    found = read_interactions(folder, time="time")
    assert found.users.tolist() == ["7", "9", "7"]
    assert found.times.tolist() == [1.6e9] * 3


def test_a_folder_of_another_kind_is_refused(tmp_path):
    with pytest.raises(
        UserError, match="none that TFDS has prepared, nor one of Parquet"
    ):
        read_interactions(tmp_path)
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(UserError, match="no data set that can be read"):
        read_interactions(tmp_path)
