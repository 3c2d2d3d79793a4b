import jax.numpy as jnp
import numpy as np
import pytest

from common.config import configs
from common.data.crops import cut_photos
from common.data.feature_cache import FeatureCache
from common.data.images import decode
from common.errors import UserError
from common.layers import resnet
from common.parallel.execution import make_execution
from pricer import data, features, networks
from pricer.run import train_networks


def make_features(folder, widths=(2, 3), rows=7):
    rng = np.random.default_rng(0)
    stores = []
    for number, width in enumerate(widths):
        store = FeatureCache(folder / str(number), {"k": "v"}, (rows, width))
        store.append(rng.normal(size=(rows, width)).astype(np.float16))
        stores.append(store)
    return features.Features(stores)


def test_rows_come_in_the_order_asked_for_side_by_side(tmp_path):
    found = make_features(tmp_path)
    expected = np.array([5, 0, 5, 3])
    left, right = (store.rows(expected) for store in found.stores)
    np.testing.assert_array_equal(found.rows(expected), np.hstack([left, right]))
    assert found.width == 5


def test_moments_are_those_of_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_CHUNK", 2)
    found = make_features(tmp_path)
    rows = np.array([1, 2, 6])
    values = found.rows(rows).astype(np.float64)
    mean, scale = found.moments(rows)
    np.testing.assert_allclose(mean, values.mean(0), rtol=1e-6)
    np.testing.assert_allclose(scale, values.std(0), rtol=1e-6)


def test_a_constant_feature_is_not_blown_up(tmp_path):
    store = FeatureCache(tmp_path / "c", {"k": "v"}, (4, 2))
    store.append(np.array([[3.0, 1], [3, 2], [3, 3], [3, 4]]))
    _, scale = features.Features([store]).moments(np.arange(4))
    assert scale[0] == 1 and scale[1] == pytest.approx(np.std([1, 2, 3, 4]))


def prepared(run):
    """The run's data and its networks, read back."""
    listings = data.load_listings(run.config)
    examples = data.make_examples(run.config, listings)
    execution = make_execution(run.config.parallel)
    folder = run.workdir / "networks"
    trained = train_networks(run.config, examples, execution, folder, lambda text: None)
    return listings, execution, trained


def test_stored_features_are_the_mean_of_the_last_map(run):
    listings, execution, trained = prepared(run)
    stored = features.extract(run.config, trained, listings, execution)
    assert stored.width == 4 * 128 and len(stored.stores[0]) == 149
    assert all(store.complete for store in stored.stores)
    photo = decode(listings.source[11]["images"][0])
    assert photo.shape == (40, 40, 3)
    # Scaled to 36 pixels, of which the middle 32 are cut out.
    cut = cut_photos(listings.source[11]["images"], run.config.photos, None)[0]
    variables = trained[1].variables
    maps = resnet.ResNet("tiny").apply(variables, resnet.normalise(jnp.asarray(cut)))
    np.testing.assert_allclose(
        stored.rows(np.array([11]))[0, 128:256],
        np.asarray(maps).mean((1, 2))[0],
        rtol=5e-3,
        atol=2e-3,
    )


def test_a_store_that_was_cut_off_is_continued(run, tmp_path, monkeypatch):
    listings, execution, trained = prepared(run)
    whole = features.extract(run.config, trained[:1], listings, execution)
    config = configs.replace(run.config, {"networks.cache": str(tmp_path)})
    seen = []
    append = FeatureCache.append

    def cut_off(self, rows):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(len(rows))
        append(self, rows)

    monkeypatch.setattr(FeatureCache, "append", cut_off)
    with pytest.raises(KeyboardInterrupt):
        features.extract(config, trained[:1], listings, execution)
    seen.clear()
    monkeypatch.setattr(
        FeatureCache,
        "append",
        lambda self, rows: (seen.append(len(rows)), append(self, rows)),
    )
    again = features.extract(config, trained[:1], listings, execution)
    assert sum(seen) == 149 - 3 * run.config.networks.batch_size
    rows = np.arange(149)
    np.testing.assert_array_equal(again.rows(rows), whole.rows(rows))


def test_other_weights_have_a_store_of_their_own_and_are_refused_in_another(run):
    listings, execution, trained = prepared(run)
    stored = features.extract(run.config, trained[:2], listings, execution)
    first, second = stored.stores
    assert first.directory != second.directory
    with pytest.raises(UserError, match="features of another weights"):
        FeatureCache(first.directory, second.key, first.shape)


def test_networks_are_not_trained_again(run, monkeypatch):
    def refuse(*args):
        raise AssertionError("a network was trained")

    monkeypatch.setattr(networks.PhotoLearner, "step", refuse)
    _, _, trained = prepared(run)
    assert [network.task for network in trained] == [
        "category",
        "brand",
        "attribute",
        "specification",
    ]
