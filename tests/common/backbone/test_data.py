import csv
import dataclasses

import numpy as np
import pytest

from common.backbone import data
from common.errors import UserError
from common.tables import schema as schemas
from common.tables.schema import Attribute, Images, Schema
from common.training.loop_config import LoopConfig
from tests.common.backbone.conftest import COUNTS, tiny_config


@pytest.fixture(scope="module")
def examples(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return data.load(tiny_config(photos, folder / "cache"), folder)


def split_counts(examples, label):
    return [
        int((examples.labels[examples.listings.indices(split)] == label).sum())
        for split in ("train", "validation", "test")
    ]


def test_folders_are_classes_and_rare_ones_are_left_out(examples):
    assert sorted(examples.classes) == ["blue", "red"]
    for number, name in enumerate(examples.classes):
        assert sum(split_counts(examples, number)) == COUNTS[name]
    assert sum(split_counts(examples, -1)) == COUNTS["rare"]
    kept = [examples.rows(split) for split in ("train", "validation", "test")]
    assert sum(map(len, kept)) == COUNTS["blue"] + COUNTS["red"]
    assert (examples.labels[np.concatenate(kept)] >= 0).all()


def leaning(photo):
    """Which colour a photo leans to."""
    return ("red", "rare", "blue")[int(photo.mean((0, 1)).argmax())]


def test_every_photo_has_the_label_of_its_folder(examples):
    with examples.photo_rows().eval_batches("test", 8) as batches:
        batches = list(batches)
    seen = 0
    for batch in batches:
        for photo, label, real in zip(
            batch["photos"], batch["label"], batch["mask"], strict=True
        ):
            if real:
                assert leaning(photo[0]) == examples.classes[label]
                seen += 1
    assert seen == len(examples.rows("test"))


def test_training_reads_kept_training_rows_alone(examples):
    count = len(examples.rows("train"))
    labels = []
    rows = examples.photo_rows()
    with rows.train_batches(LoopConfig(batch_size=1), start_step=0) as batches:
        for _ in range(count):
            batch = next(batches)
            assert leaning(batch["photos"][0, 0]) == examples.classes[batch["label"][0]]
            labels.append(int(batch["label"][0]))
    wanted = [split_counts(examples, label)[0] for label in (0, 1)]
    assert np.bincount(labels).tolist() == wanted


def write_table(folder, photos):
    """The same photos, described by a table with a column of colours."""
    rows = [
        (path.relative_to(photos).as_posix(), path.relative_to(photos).parts[0])
        for path in sorted(photos.glob("**/*.png"))
    ]
    with open(folder / "table.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "colour"), *rows])
    attribute = Attribute("colour", "categorical", ("colour",))
    schemas.save(Schema((attribute,), Images(("file",))), folder / "table.json")
    return {
        "data__path": str(folder / "table.csv"),
        "data__schema": str(folder / "table.json"),
    }


def test_a_table_with_a_column_of_classes(photos, tmp_path, examples):
    table = write_table(tmp_path, photos)
    config = tiny_config(photos, tmp_path / "cache", label="colour", **table)
    found = data.load(config, tmp_path)
    assert sorted(found.classes) == ["blue", "red"]
    assert found.listings.frame["colour"].value_counts().to_dict() == COUNTS
    with pytest.raises(UserError, match="--label=COLUMN must name the column"):
        data.load(dataclasses.replace(config, label=""), tmp_path)
    with pytest.raises(UserError, match="no such attribute; it has colour"):
        data.load(dataclasses.replace(config, label="color"), tmp_path)


def test_one_class_is_not_enough(photos, tmp_path):
    config = tiny_config(photos, tmp_path / "cache", min_count=15)
    with pytest.raises(UserError, match=r"1 classes with 15 training photos or more"):
        data.load(config, tmp_path)


def test_folders_without_photos_are_refused(tmp_path):
    with pytest.raises(UserError, match="must be a folder that holds a folder"):
        data.load(tiny_config(tmp_path / "no", tmp_path / "cache"), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no photos in folders inside it"):
        data.load(tiny_config(tmp_path / "empty", tmp_path / "cache"), tmp_path)
