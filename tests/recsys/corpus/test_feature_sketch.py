import types

import numpy as np
import pytest

from recsys.corpus.feature_files import ArrayFeatures, StoredFeatures, write_features
from recsys.corpus.feature_sketch import FeatureSketch

COUNT, WIDTH = 1500, 64


def catalogue_of(features):
    return types.SimpleNamespace(item_count=features.count, take_stored=features.take)


@pytest.fixture(scope="module")
def rows():
    """As a network makes them: none below 0, most near it, all much alike."""
    rng = np.random.default_rng(3)
    common = rng.gamma(0.5, 1.0, WIDTH)
    rows = (common + 0.5 * rng.gamma(0.5, 1.0, (COUNT, WIDTH))).astype(np.float32)
    rows[::10] = 0  # without a photo
    return rows


@pytest.fixture(scope="module")
def sketch(rows):
    return FeatureSketch.of(catalogue_of(ArrayFeatures(rows)))


@pytest.mark.parametrize("kind", ["float64", "float16", "int8"])
def test_the_same_rows_are_the_same_however_they_are_kept(rows, sketch, kind, tmp_path):
    if kind == "int8":
        write_features(tmp_path / "f", [rows], COUNT, WIDTH, "int8")
        features = StoredFeatures(tmp_path / "f")
    else:
        features = ArrayFeatures(rows.astype(kind))
    found = sketch.count_changed(catalogue_of(features), np.arange(COUNT))
    assert found == (0, 1000)


def test_other_rows_are_told_from_them(rows, sketch):
    for other in (rows[::-1], np.roll(rows, 1, axis=0), 2 * rows):
        kept = catalogue_of(ArrayFeatures(np.ascontiguousarray(other)))
        changed, compared = sketch.count_changed(kept, np.arange(COUNT))
        assert compared == 1000 and changed > 0.85 * compared
    # Of items that have moved or are gone only those that are there are compared.
    number = np.full(COUNT, -1)
    number[sketch.items[:20]] = np.arange(20)
    moved = rows[sketch.items[:20]]
    moved[3] += 1
    kept = catalogue_of(ArrayFeatures(moved))
    assert sketch.count_changed(kept, number) == (1, 20)
    assert sketch.count_changed(kept, np.full(COUNT, -1)) == (0, 0)
