import html
import pathlib
import types

import numpy as np
import pandas as pd
import pytest

from common.config import configs
from common.reports import data_checks
from common.reports.data_checks import Cost
from common.tables.schema import Attribute, Group, Schema
from ican.config import Config
from ican.run import prepare
from ican.verbs import check


class Shop:
    """Four listings; the test row shares its photo and its title with training."""

    directory = pathlib.Path()

    schema = Schema(
        (
            Attribute("metal", "categorical", ("metal",)),
            Attribute("stone", "continuous", ("carat", "inch")),
        ),
        group=Group(("title",)),
    )
    frame = pd.DataFrame(
        {
            "title": ["Ring 1", "ring, 2", "brooch", "bead"],
            "metal": ["gold", "gold", None, "silver"],
            "carat": [1.0, 3.0, np.nan, 2.0],
            "inch": [0.5, 0.5, 0.5, 0.5],
            "split": ["train", "test", "train", "validation"],
        }
    )
    photos = (b"a", b"b", b"b", b"c")
    rejected = 0

    @property
    def source(self):
        return [{"row": i, "images": [p]} for i, p in enumerate(self.photos)]


def test_leaks_of_text_and_photo_are_counted():
    leak = data_checks.find_leaks(Shop())
    assert (leak.rows, leak.text, leak.photo, leak.either) == (1, 1, 1, 1)


def test_attributes_are_described_column_by_column():
    metal, carat, inch = check.describe_attributes(Shop())
    assert metal["missing"] == "25.0%" and metal["different"] == 2
    assert metal["typical"] == "gold (67%)"
    assert carat["attribute"] == "stone" and carat["typical"] == "2 (1.1 to 2.9)"
    assert inch["missing"] == "0.0%" and inch["different"] == 1


def test_rejections_are_counted_by_reason(tmp_path):
    pd.DataFrame(
        {
            "file": "t.csv",
            "line": [2, 5, 9],
            "column": ["price", "price", "photo"],
            "reason": ["not a number", "not a number", "truncated"],
        }
    ).to_csv(tmp_path / "rejected.csv", index=False)
    listings = types.SimpleNamespace(rejected=3, directory=tmp_path)
    table, text = check.rejected_blocks(listings)
    assert table.rows == [
        {"column": "price", "reason": "not a number", "rows": 2},
        {"column": "photo", "reason": "truncated", "rows": 1},
    ]
    assert str(tmp_path) in text.text
    assert check.rejected_blocks(Shop())[0].text == "None."


def test_peak_memory_is_plausible():
    assert check.peak_memory() == pytest.approx(4.0, abs=3.98)


def test_flags_that_end_in_time_are_proposed(shop, tmp_path, capsys):
    config = shop.config(
        model__kind="attributes", train__steps=10**8, check__minutes=1.0
    )
    path, summary = check.write(config, tmp_path, lambda text: None)
    (line,) = (x for x in summary.splitlines() if x.startswith("training takes"))
    told, _, flags = line.partition(": --")
    assert "more than --check.minutes=1. In about 1 minutes" in told
    changes = dict(word.split("=") for word in f"--{flags}".split())
    steps, every = int(changes["--train.steps"]), int(changes["--train.eval_every"])
    assert 300 <= steps < 10**8 and 4 <= steps / every <= 5
    assert html.escape(line) in path.read_text()


def test_steps_of_photos_are_measured_with_a_small_batch(shop, tmp_path, monkeypatch):
    sizes = []

    def measure(execution, init, step, start, batches):
        sizes.append(len(next(batches)["price"]))
        return Cost(1, 2.0, 30.0)

    monkeypatch.setattr(check.data_checks, "measure_steps", measure)
    monkeypatch.setattr(check.data_checks, "PIXELS", 8 * 36**2)
    config = shop.config(train__batch_size=32)
    cost = check.measure_steps(prepare(config, tmp_path))
    assert (sizes, cost.seconds) == ([8], 2.0 * 32 / 8)
    # 12 of 23 rows of validation choose, 13 are of test; each a third of its part.
    pace = check.pace_of(prepare(config, tmp_path), cost)
    assert pace.evaluation == pytest.approx(12 * 8 / 32 / 3)
    assert pace.once == pytest.approx(2 * 30 + 36 * 8 / 32 / 3)


def test_what_is_tried_gets_cheaper_and_keeps_given_weights():
    first, head, tiny = check.smaller(Config())
    assert first == {
        "photos.resize": 72,
        "photos.crop": 64,
        "backbone.depth": "18",
    }
    assert head.items() > first.items() and head["model.ican.block_size"] == 16
    assert tiny["backbone.depth"] == "tiny"
    given = configs.replace(Config(), {"backbone.weights": "resnet.safetensors"})
    assert all("backbone.depth" not in changes for changes in check.smaller(given))
    for changes in check.smaller(Config()):
        configs.replace(Config(), changes)
