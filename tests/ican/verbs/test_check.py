import pathlib
import types

import numpy as np
import pandas as pd
import pytest

from common.reports import data_checks
from common.tables.schema import Attribute, Group, Schema
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
