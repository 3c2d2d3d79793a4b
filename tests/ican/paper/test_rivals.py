import types

import numpy as np
import pytest

from common.errors import UserError
from ican import ensemble, zones
from ican.paper import rivals

COUNT = 900


class Rows:
    """Stands in for prepared listings: the first two thirds train."""

    def indices(self, split):
        first = {"train": 0, "validation": 600, "test": 750}[split]
        last = {"train": 600, "validation": 750, "test": COUNT}[split]
        return np.arange(first, last)


class Maps:
    """Stands in for cached feature maps [N, P, C]."""

    def __init__(self, maps):
        self.maps = maps

    def __len__(self):
        return len(self.maps)

    def rows(self, indices):
        return self.maps[indices]


@pytest.fixture(name="examples", scope="module")
def some_examples():
    """The price doubles with a category, and again with what a photo shows."""
    rng = np.random.default_rng(0)
    category = rng.integers(2, 4, COUNT)
    shown = rng.normal(size=COUNT)
    prices = 100.0 * 2.0 ** (category - 2) * 2.0 ** (shown > 0)
    prices *= rng.uniform(0.97, 1.03, COUNT)
    maps = rng.normal(size=(COUNT, 4, 3)).astype(np.float16)
    maps[:, :, 1] += 3 * np.sign(shown)[:, None]
    cut = zones.Zones((130.0, 170.0, 250.0, 350.0))
    arrays = {
        "categorical": category[:, None].astype(np.int32),
        "continuous": np.zeros((COUNT, 1), np.float32),
        "missing": np.ones((COUNT, 1), np.float32),
        "sets": np.zeros((COUNT, 0), np.float32),
    }
    built = ensemble.build(ensemble.EnsembleConfig(4, 2.0), cut, prices[:600])
    return types.SimpleNamespace(
        listings=Rows(),
        halves=(np.arange(0, 150, 2), np.arange(1, 150, 2)),
        prices=prices,
        ensemble=built,
        loader=types.SimpleNamespace(arrays=arrays, features=Maps(maps)),
    )


def test_columns_stand_side_by_side(examples):
    columns = rivals.columns_of(examples, photos=True)
    assert columns.values.shape == (COUNT, 1 + 1 + 0 + 3)
    assert columns.categorical == [0]
    assert np.isnan(columns.values[:, 1]).all()  # missing stays missing
    wanted = examples.loader.features.maps.astype(np.float32).mean(1)
    np.testing.assert_allclose(columns.values[:, 2:], wanted, rtol=1e-5)


def test_boosting_finds_what_the_inputs_tell(examples):
    settings = {"learning_rate": 0.2, "num_leaves": 4, "min_data_in_leaf": 10}
    found = {
        photos: rivals.evaluate(
            examples,
            rivals.columns_of(examples, photos=photos),
            settings,
            seed=0,
            level=0.9,
        )
        for photos in (False, True)
    }
    # The category alone leaves two equally likely factors, the photo decides.
    assert 0.45 < found[False]["test/top1"] < 0.75
    assert found[True]["test/top1"] > 0.95
    assert found[True]["test/male"] < 0.5 * found[False]["test/male"]


def test_photos_need_feature_maps(examples):
    bare = types.SimpleNamespace(
        loader=types.SimpleNamespace(arrays=examples.loader.arrays, features=None)
    )
    with pytest.raises(UserError, match="--backbone.cache"):
        rivals.columns_of(bare, photos=True)
