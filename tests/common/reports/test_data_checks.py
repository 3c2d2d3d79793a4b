import dataclasses
import io
import shutil
import types
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.data.configs import PhotosConfig
from common.reports import data_checks
from common.tables.schema import Group, Schema


def test_free_space_is_that_of_the_next_folder_that_is_there(tmp_path, monkeypatch):
    asked = []

    def usage(path):
        asked.append(path)
        return types.SimpleNamespace(free=7)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert data_checks.free_bytes(str(tmp_path / "not" / "yet")) == 7
    assert data_checks.free_bytes(str(tmp_path)) == 7
    assert asked == [tmp_path, tmp_path]


def test_leaks_are_counted_by_id_text_and_photo_and_large_groups_named():
    """Relistings: rows 4 and 5 are rows 0 and 1 with another title and photo."""
    titles = ["gold ring with one ruby", "lamp", "vase", "chair"]
    titles += ["gold ring with two rubies", "red lamp", "gold ring with one opal"]
    frame = pd.DataFrame(
        {
            "listing_id": ["7", "8", "9", "10", "7", "8", "11"],
            "title": titles,
            "split": ["train"] * 4 + ["test"] * 3,
        }
    )
    listings = types.SimpleNamespace(
        frame=frame,
        schema=Schema((), group=Group(("title", "listing_id")), id="listing_id"),
        source=[{"images": [bytes([row])]} for row in (0, 1, 2, 3, 4, 5, 3)],
    )
    hashes = data_checks.hash_photos(listings)
    assert data_checks.count_leaks(listings, hashes)[1] == {
        "split": "test",
        "rows": 3,
        "id in training": 2,
        "text in training": 0,
        "photo in training": 1,
        "any of these": 3,
        "text nearly in training": 1,
    }
    assert set(data_checks.LEAKS.values()) < set(
        data_checks.count_leaks(listings, hashes)[1]
    )
    assert data_checks.find_large_groups(listings, hashes) == []
    frame["listing_id"] = "7"
    assert data_checks.find_large_groups(listings, hashes) == [
        "4 of 4 train rows (100%) are one group: 7 have listing_id '7'",
        "3 of 3 test rows (100%) are one group: 7 have listing_id '7'",
    ]


class State(NamedTuple):
    params: dict


class Clock:
    """An execution whose first call takes 50 seconds and each other one 2."""

    def __init__(self):
        self.seconds, self.calls, self.slow = 0.0, 0, 2.0

    def monotonic(self):
        return self.seconds

    def call(self, result):
        self.seconds += self.slow if self.calls else 50.0
        self.calls += 1
        return result

    def compile_step(self, step):
        return lambda *arguments: self.call(step(*arguments))

    def compile_predict(self, look):
        return lambda *arguments: self.call(look(*arguments))

    def init(self, function, *arguments):
        return function(*arguments)


def test_the_step_that_compiles_is_not_timed(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(data_checks, "time", clock)
    cost = data_checks.measure_steps(
        clock,
        lambda start: State({"a": start, "b": jnp.zeros(5)}),
        lambda state, batch, key: (None, batch),
        np.zeros((2, 3)),
        iter([1, 2, 3, 4]),
    )
    assert (cost.parameters, cost.seconds, cost.compiling) == (11, 2.0, 48.0)


def test_a_prediction_is_timed_by_the_row(monkeypatch):
    clock, seen = Clock(), []
    monkeypatch.setattr(data_checks, "time", clock)
    seconds = data_checks.measure_prediction(
        clock,
        lambda variables, batch: seen.extend(batch["row"].tolist()),
        None,
        [{"row": 0, "images": []}, {"row": 1, "images": []}, {"row": 2, "images": []}],
        lambda record: {"row": np.int64(record["row"])},
        4,
    )
    # Three batches of four rows, two seconds each.
    assert seconds == 0.5
    assert seen == [0, 1, 2] * 5 + [0]


def test_the_share_of_a_photo_that_is_seen():
    """Photos of 60 x 20: the crop of 8 of 10 pixels leaves 64 % of a third."""
    file = io.BytesIO()
    Image.new("RGB", (60, 20)).save(file, "PNG")
    source = [{"row": 0, "images": [file.getvalue()]}, {"row": 1, "images": []}]
    listings = types.SimpleNamespace(frame=range(2), source=source)
    photos = PhotosConfig(resize=10, crop=8)
    assert data_checks.describe_view(listings, photos) == "21%"
    squeezed = dataclasses.replace(photos, fit="squeeze")
    assert data_checks.describe_view(listings, squeezed) == "64%"
    listings = types.SimpleNamespace(frame=range(2), source=source[1:] * 2)
    assert data_checks.describe_view(listings, photos) == ""


def test_a_slow_step_is_timed_once(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(data_checks, "time", clock)
    clock.slow = 66.0
    cost = data_checks.measure_steps(
        clock,
        lambda start: State({}),
        lambda state, batch, key: (None, batch),
        None,
        iter([1, 2]),
    )
    assert (cost.seconds, clock.calls) == (66.0, 2)


@pytest.mark.parametrize(
    ("devices", "side", "batch", "size"),
    [
        (1, 448, 64, 8),
        (1, 224, 64, 16),
        (1, 112, 64, 64),
        (1, 448, 5, 5),
        (8, 224, 64, 16),
        (3, 448, 96, 24),
    ],
)
def test_the_batch_that_is_measured_is_small(devices, side, batch, size):
    execution = types.SimpleNamespace(data_size=devices)
    assert data_checks.small_batch(execution, batch, side**2) == size


def test_large_and_small_values_are_described_in_full():
    def typical(values):
        return data_checks._typical(pd.Series(values, dtype=float))

    assert typical([949_000] * 50 + [1_450_000] * 51) == (
        "1,450,000 (949,000 to 1,450,000)"
    )
    assert typical([0.01]) == "0.01 (0.01 to 0.01)"
