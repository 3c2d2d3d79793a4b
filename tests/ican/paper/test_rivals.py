import types

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.tables.schema import Attribute, Schema
from ican import ensemble, zones
from ican.paper import rivals

COUNT = 900


class Rows:
    """Stands in for prepared listings: the first two thirds train."""

    def __init__(self, frame, schema):
        self.frame, self.schema = frame, schema

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
    frame = pd.DataFrame(
        {
            "metal": np.array(["tin", "gold"])[category - 2],
            # The title tells what the photo shows.
            "title": [
                f"lot {i} {'big' if shown[i] > 0 else 'tiny'}" for i in range(COUNT)
            ],
        }
    )
    schema = Schema(
        attributes=(
            Attribute("metal", "categorical", ("metal",)),
            Attribute("title", "text", ("title",)),
        )
    )
    built = ensemble.build(ensemble.EnsembleConfig(4, 2.0), cut, prices[:600])
    return types.SimpleNamespace(
        listings=Rows(frame, schema),
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


def test_words_stand_between_attributes_and_photo(examples):
    few = rivals.columns_of(examples, words=True, photos=True).values
    # Four words or pairs are in two titles or more: lot, big, tiny and no pair.
    assert few.shape == (COUNT, 2 + 3 + 3)
    many = types.SimpleNamespace(**vars(examples))
    rng = np.random.default_rng(1)
    titles = [" ".join(f"w{x}" for x in rng.integers(0, 90, 5)) for _ in range(COUNT)]
    frame = examples.listings.frame.assign(title=titles)
    many.listings = Rows(frame, examples.listings.schema)
    words = rivals.columns_of(many, words=True).values[:, 2:]
    assert words.shape == (COUNT, rivals.COMPONENTS)
    assert 0.3 < np.mean(np.linalg.norm(words, axis=1)) <= 1


INPUTS = ({}, {"photos": True}, {"words": True})


def test_boosting_finds_what_the_inputs_tell(examples):
    settings = {"learning_rate": 0.2, "num_leaves": 4, "min_data_in_leaf": 10}
    bare, *told = (
        rivals.evaluate(
            examples,
            rivals.columns_of(examples, **inputs),
            dict.fromkeys(rivals.OBJECTIVES, settings),
            seed=0,
        )
        for inputs in INPUTS
    )
    # The category alone leaves two equally likely factors, photo or words decide.
    assert 0.45 < bare["top1"] < 0.75
    for found in told:
        assert found["top1"] > 0.95
        assert found["male"] < 0.5 * bare["male"]


def test_linear_models_find_what_the_words_tell(examples):
    both = rivals.evaluate_linear(examples)
    assert both["top1"] > 0.95 and both["male"] < 0.05
    for alone in ({"words": False}, {"attributes": False, "words": True}):
        found = rivals.evaluate_linear(examples, **alone)
        assert 0.45 < found["top1"] < 0.75
        # Half of ln 2 is left, whichever of the two factors is not known.
        assert found["male"] == pytest.approx(np.log(2) / 2, abs=0.03)


def test_each_booster_has_settings_of_its_own(examples):
    found = rivals.search(examples, rivals.columns_of(examples), trials=2)
    assert set(found) == {"zone", "price"}


def test_figures_are_counted_by_rank_and_log_error():
    cut = zones.Zones((10.0, 20.0, 30.0))
    scores = np.array([[4, 3, 2, 1], [4, 3, 2, 1.0]])
    found = rivals.measure(scores, np.log([5.0, 50]), np.array([5.0, 25]), cut)
    assert found == pytest.approx(
        {"top1": 0.5, "top3": 1, "top5": 1, "top7": 1, "male": np.log(2) / 2}
    )


def test_photos_need_feature_maps(examples):
    bare = types.SimpleNamespace(
        loader=types.SimpleNamespace(arrays=examples.loader.arrays, features=None)
    )
    with pytest.raises(UserError, match="--backbone.cache"):
        rivals.columns_of(bare, photos=True)
