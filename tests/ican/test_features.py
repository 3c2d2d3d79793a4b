import json
import pathlib

import jax
import numpy as np
import pandas as pd
import pytest

from common import pretrained
from common.backbone import extraction
from common.data import transforms
from common.data.feature_cache import FeatureCache
from common.layers import resnet
from common.parallel.execution import make_execution
from ican import data, features, saved_model, train
from ican.verbs.predict import Model
from tests.ican.conftest import random_backbone


def make_examples(config):
    return data.make_examples(config, data.load_listings(config))


def fill(config, workdir):
    """Caches the feature maps of all rows."""
    _, variables = pretrained.backbone_from_torch(config.backbone.weights)
    start = {name: {"backbone": tree} for name, tree in variables.items()}
    execution = make_execution(config.parallel)
    return features.cache(config, make_examples(config), execution, start, workdir)


def stored(config):
    """What lies in the only cache of a folder: float16 [N, P, C]."""
    (folder,) = (p.parent for p in _folder(config).glob("features-*/meta.json"))
    meta = json.loads((folder / "meta.json").read_text())
    return np.fromfile(folder / "features.f16", np.float16).reshape(meta["shape"])


def _folder(config):
    return pathlib.Path(config.backbone.cache)


def test_maps_are_those_of_the_centre_crops(cached_run, shop):
    examples = make_examples(cached_run.config)
    maps = stored(cached_run.config)
    assert maps.shape == (73, 4, 128)
    rows = [0, 17, 60]
    photos = []
    for row in rows:
        record = examples.listings.source[row]
        photo = examples.loader.load(record)["photos"][0]
        photos.append(transforms.centre_crop(photo, (36, 36)))
    look = jax.jit(resnet.ResNet("tiny").apply)
    wanted = look(random_backbone(), resnet.normalise(np.stack(photos)))
    np.testing.assert_allclose(
        maps[rows], wanted.reshape(3, 4, 128), rtol=2e-3, atol=1e-3
    )


def test_averaged_maps_are_cached(cached_run, shop, tmp_path):
    config = shop.cached_config(backbone__cache=str(tmp_path / "c"), backbone__pool=2)
    _, shape = fill(config, tmp_path)
    assert shape == (1, 128)
    wanted = stored(cached_run.config).astype(np.float32).mean(1, keepdims=True)
    np.testing.assert_allclose(stored(config), wanted, rtol=2e-3, atol=1e-3)


def test_maps_of_the_first_stages_are_finer(cached_run, shop, tmp_path):
    config = shop.cached_config(
        backbone__cache=str(tmp_path / "cache"), backbone__stages=2, train__steps=2
    )
    train.train_and_evaluate(config, tmp_path / "run")
    assert stored(config).shape == (73, 25, 32)  # 36 pixels over 8, rounded up
    model = Model(tmp_path / "run")
    table = model.predict(shop.folder / "table.csv", shop.folder / "photos")
    judged = pd.read_csv(tmp_path / "run" / "predictions_test.csv")
    np.testing.assert_allclose(
        np.log(table["price"].astype(float)[shop.positions("test")]),
        np.log(judged["predicted_price"]),
        atol=2e-3,
    )


def test_trained_on_features_it_predicts_the_same_from_photos(cached_run, shop):
    """Metrics came from cached maps; the model in the workdir looks at photos."""
    model = Model(cached_run.workdir)
    assert "backbone" in model.trained.state.params
    table = model.predict(shop.folder / "table.csv", shop.folder / "photos")
    rows = shop.positions("test")
    judged = pd.read_csv(cached_run.workdir / "predictions_test.csv")
    assert judged["row"].tolist() == rows
    assert judged["predicted_price"].std() > 1e-3
    np.testing.assert_allclose(
        np.log(table["price"].astype(float)[rows]),
        np.log(judged["predicted_price"]),
        atol=2e-3,
    )
    assert table["zone_1"][rows].tolist() == judged["predicted_zone"].tolist()


def test_backbone_in_the_workdir_is_the_one_that_was_given(cached_run):
    depth, variables = pretrained.backbone_from_torch(
        cached_run.workdir / saved_model.BACKBONE
    )
    assert depth == "tiny"
    assert extraction.hash_weights(variables) == extraction.hash_weights(
        random_backbone()
    )


def test_a_cache_that_was_cut_off_is_completed(cached_run, shop, tmp_path, monkeypatch):
    config = shop.cached_config(backbone__cache=str(tmp_path / "cache"))
    append = FeatureCache.append

    def append_and_die(self, maps):
        append(self, maps)
        if self.done >= 16:
            raise KeyboardInterrupt

    monkeypatch.setattr(FeatureCache, "append", append_and_die)
    with pytest.raises(KeyboardInterrupt):
        fill(config, tmp_path)
    assert not stored(config)[16:].any()
    written = []

    def append_and_note(self, maps):
        written.append(len(maps))
        append(self, maps)

    monkeypatch.setattr(FeatureCache, "append", append_and_note)
    examples, shape = fill(config, tmp_path)
    assert sum(written) == 73 - 16
    assert shape == (4, 128)
    np.testing.assert_array_equal(stored(config), stored(cached_run.config))
    item = examples.loader.load(examples.source[30])
    np.testing.assert_array_equal(item["features"], stored(config)[30])
    written.clear()
    fill(config, tmp_path)
    assert not written


def test_other_crops_get_a_cache_of_their_own(cached_run, shop, tmp_path, monkeypatch):
    config = shop.cached_config(backbone__cache=str(tmp_path / "cache"))
    monkeypatch.setattr(extraction, "_fill", lambda *args: None)
    folders = set()
    for changed in (
        config,
        shop.cached_config(backbone__cache=config.backbone.cache, photos__crop=34),
        shop.cached_config(backbone__cache=config.backbone.cache, precision="bfloat16"),
    ):
        fill(changed, tmp_path)
        found = set(_folder(config).iterdir())
        assert len(found - folders) == 1
        folders = found


def test_the_hash_sees_one_bit(shop):
    variables = random_backbone()
    before = extraction.hash_weights(variables)
    assert extraction.hash_weights(random_backbone()) == before
    kernel = variables["params"]["stem"]["convolution"]["kernel"]
    kernel[0, 0, 0, 0] = np.nextafter(kernel[0, 0, 0, 0], np.float32(1))
    assert extraction.hash_weights(variables) != before
