"""An EfficientNet-Lite in the place of the ResNets, of two blocks: it compiles fast."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from common import pretrained
from common.config import configs
from common.data.crops import cut_photos
from common.errors import UserError
from common.layers import backbones, efficientnet_sizes
from common.layers.efficientnet_sizes import Sizes
from common.pretrained.arrangement import shapes_of
from pricer import data, networks, saved_model, timing, train
from pricer.config import Config
from pricer.verbs import export, reproduce
from pricer.verbs.predict import Model
from tests.common.serving.test_export import serve
from tests.pricer.conftest import Run

KIND = "efficientnet-lite0"
SMALL = Sizes((1, 1), widths=(6, 8), stem=8, head=16)


@pytest.fixture(scope="module", autouse=True)
def small():
    """The preset is a small network for as long as these tests last."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(efficientnet_sizes.SIZES, KIND, SMALL)
        yield


@pytest.fixture(scope="module")
def lite_run(shop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lite")
    rng = np.random.default_rng(0)
    start = jax.tree.map(
        lambda s: (0.5 + rng.random(s.shape)).astype(np.float32) / s.shape[0],
        shapes_of(backbones.make(KIND)),
    )
    pretrained.save_backbone(folder / "start.safetensors", KIND, start)
    config = shop.config(
        model__features="single",
        networks__kind=KIND,
        networks__weights=str(folder / "start.safetensors"),
        networks__cache=str(folder / "features"),
        photos__fit="whole",
        comparables__count=0,
    )
    return Run(config, folder, train.train_and_evaluate(config, folder))


def test_the_network_is_saved_and_its_last_map_is_the_feature(lite_run, shop):
    trained = saved_model.load(lite_run.workdir, lite_run.config)
    (variables,) = trained.networks.values()
    found, saved = pretrained.backbone_from_torch(
        lite_run.workdir / "networks" / "price" / networks.WEIGHTS
    )
    assert found == KIND
    jax.tree.map(np.testing.assert_array_equal, saved, variables)
    listings = data.load_listings(lite_run.config)
    photos = lite_run.config.photos
    cut, _ = cut_photos(listings.source[11]["images"], photos, None)
    maps = backbones.make(KIND).apply(variables, (jnp.asarray(cut) - 127.0) / 128)
    (folder,) = Path(lite_run.config.networks.cache).glob("price-*")
    stored = np.fromfile(folder / "features.f16", np.float16).reshape(149, 16)
    assert stored.std() > 0.01
    np.testing.assert_allclose(stored[11], maps.mean((1, 2))[0], rtol=5e-3, atol=2e-3)


def test_the_export_serves_what_the_model_says(lite_run, shop, tmp_path):
    """In an environment of jax, numpy and flatbuffers alone."""
    rows = shop.table.iloc[[0, 20, 40, 120, 140, 148]]
    listings = data.load_listings(lite_run.config)
    photos = [
        cut_photos(listings.source[row]["images"], lite_run.config.photos, None)[0][0]
        for row in rows.index
    ]
    np.save(tmp_path / "photos.npy", np.stack(photos))
    cells = rows[["category", "seller"]].astype(object).where(rows.notna(), None)
    lines = [json.dumps(row) + "\n" for row in cells.to_dict("records")]
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    export.write(saved_model.load(lite_run.workdir, lite_run.config), tmp_path)
    array = f"photo={tmp_path / 'photos.npy'}"
    done = serve(tmp_path, "--records", tmp_path / "rows.jsonl", "--array", array)
    assert done.returncode == 0, done.stderr
    found = pd.DataFrame(map(json.loads, done.stdout.splitlines()))
    table = Model(lite_run.workdir).predict(rows, shop.folder / "photos")
    np.testing.assert_allclose(found["gate"], table["gate"], rtol=1e-5)
    accepted = table["accepted"].to_numpy(bool)
    assert accepted.any()
    np.testing.assert_array_equal(found["accepted"], accepted)
    for name in ("price", "price_low", "price_high"):
        np.testing.assert_allclose(
            found[name][accepted], table[name][accepted], rtol=1e-5
        )


def test_a_name_of_weights_says_the_kind():
    config = configs.replace(Config(), {"networks.weights": "efficientnet-lite1"})
    assert networks.make_network(config, 1, None).sizes == "efficientnet-lite1"
    values = dict.fromkeys(
        ("train/n", "validation/n", "test/n", "train/trimmed", "rejected"), 1
    )
    text = reproduce.describe(config, values)
    assert "EfficientNet-Lite1 from ImageNet" in text
    proposed = {name for changes in timing.smaller(config) for name in changes}
    assert "photos.crop" in proposed and "networks.depth" not in proposed


@pytest.mark.parametrize("kind", ["resnet", "efficientnet-lite1"])
def test_weights_of_another_kind_name_the_flag(kind, lite_run):
    config = configs.replace(lite_run.config, {"networks.kind": kind})
    with pytest.raises(UserError, match=f"set --networks.kind={KIND}"):
        networks.starting_weights(config)
