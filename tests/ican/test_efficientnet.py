"""An EfficientNet-Lite in the place of the ResNet, up to its first stage: it compiles
in seconds."""

import json

import jax
import numpy as np
import pandas as pd
import pytest

from common import pretrained
from common.config import configs
from common.data.crops import cut_photos
from common.errors import UserError
from common.layers import backbones
from common.layers.efficientnet_sizes import SIZES
from common.serving.standalone import Predictor
from common.training import checkpointing
from ican import saved_model
from ican.config import Config
from ican.run import prepare
from ican.verbs import check, export, reproduce
from ican.verbs.predict import Model
from tests.common.serving.test_export import serve
from tests.ican.conftest import random_backbone, run_of
from tests.ican.test_features import make_examples, stored

KIND = "efficientnet-lite0"
STAGE = SIZES[KIND].up_to(1)


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    path = tmp_path_factory.mktemp("lite") / "lite.safetensors"
    pretrained.save_backbone(path, STAGE, random_backbone(STAGE))
    return path


@pytest.fixture(scope="module")
def lite_config(shop, lite, tmp_path_factory):
    return shop.cached_config(
        backbone__kind=KIND,
        backbone__weights=str(lite),
        backbone__cache=str(tmp_path_factory.mktemp("maps")),
        backbone__stages=1,
        backbone__pool=3,
        photos__fit="whole",
        train__steps=2,
        model__kind="concatenation",
    )


@pytest.fixture(scope="module")
def lite_run(lite_config, tmp_path_factory):
    return run_of(lite_config, tmp_path_factory.mktemp("runs") / "lite")


def test_cached_maps_are_those_of_whole_photos_from_minus_one_to_one(lite_run):
    source = make_examples(lite_run.config).listings.source
    rows = [0, 17, 60]
    photos = [
        cut_photos(source[row]["images"], lite_run.config.photos, None)[0][0]
        for row in rows
    ]
    images = (np.stack(photos).astype(np.float32) - 127) / 128
    maps = jax.jit(backbones.make(STAGE).apply)(random_backbone(STAGE), images)
    assert maps.shape == (3, 9, 9, 24)
    pooled = maps.reshape(3, 3, 3, 3, 3, 24).mean((2, 4)).reshape(3, 9, 24)
    found = stored(lite_run.config)
    assert found.shape == (73, 9, 24) and found.std() > 0.01
    np.testing.assert_allclose(found[rows], pooled, rtol=2e-3, atol=2e-3)


def assert_predicts_as_measured(run, shop):
    """The model in the workdir against the prices of the test rows in training."""
    table = Model(run.workdir).predict(
        shop.folder / "table.csv", shop.folder / "photos"
    )
    measured = pd.read_csv(run.workdir / "predictions_test.csv")
    assert measured["predicted_price"].std() > 1e-3
    np.testing.assert_allclose(
        np.log(table["price"].astype(float)[shop.positions("test")]),
        np.log(measured["predicted_price"]),
        atol=2e-3,
    )


def test_trained_on_features_it_predicts_the_same_from_photos(lite_run, shop):
    found = saved_model.load(lite_run.workdir, lite_run.config).state.params["backbone"]
    wanted = random_backbone(STAGE)["params"]
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
    assert_predicts_as_measured(lite_run, shop)


def test_it_is_trained_along(lite, shop, tmp_path):
    config = shop.config(
        backbone__kind=KIND,
        backbone__weights=str(lite),
        backbone__stages=1,
        train__steps=2,
        model__kind="visual",
    )
    run = run_of(config, tmp_path)
    assert_predicts_as_measured(run, shop)
    trained, start = checkpointing.load_arrays(tmp_path), random_backbone(STAGE)
    for name, collection in (
        ("depthwise/convolution/kernel", "params"),
        ("expand/norm/mean", "batch_stats"),
    ):
        unit, part, leaf = name.split("/")
        before = start[collection]["block1"][unit][part][leaf]
        after = trained[f"{collection}/backbone/block1/{name}"]
        assert after.shape == before.shape and (after != before).mean() > 0.9


def test_the_export_serves_what_the_model_predicts(lite_run, shop, tmp_path):
    """In an environment of jax, numpy and flatbuffers alone."""
    export.write(saved_model.load(lite_run.workdir, lite_run.config), tmp_path)
    rows = shop.rows[:7]
    source = make_examples(lite_run.config).listings.source
    photos = [
        cut_photos(source[row]["images"], lite_run.config.photos, None)[0][0]
        for row in range(len(rows))
    ]
    np.save(tmp_path / "photos.npy", np.stack(photos))
    columns = ("metal", "grams", "carats", "stones")
    cells = [{name: row[name] or None for name in columns} for row in rows]
    lines = [json.dumps(row) + "\n" for row in cells]
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    array = f"photo={tmp_path / 'photos.npy'}"
    done = serve(tmp_path, "--records", tmp_path / "rows.jsonl", "--array", array)
    assert done.returncode == 0, done.stderr
    found = pd.DataFrame(map(json.loads, done.stdout.splitlines()))
    table = Model(lite_run.workdir).predict(rows, shop.folder / "photos")
    for name in ("price", "price_low", "price_high"):
        np.testing.assert_allclose(
            found[name].astype(float), table[name].astype(float), rtol=1e-5
        )
    about = Predictor(tmp_path).metadata
    assert about["platforms"] == ["cpu", "cuda", "tpu"]
    assert "grey 127" in about["inputs"]["photo"]["about"]


def test_a_name_of_weights_says_the_kind():
    config = configs.replace(
        Config(),
        {"backbone.weights": "efficientnet-lite2", "photos.resize": 260}
        | {"photos.crop": 260},
    )
    assert config.backbone.network == "efficientnet-lite2"
    assert config.backbone.side(260) == 9
    assert "EfficientNet-Lite2 from ImageNet, trained along" in reproduce.describe(
        config
    )
    for stages, side in ((1, 40), (2, 20), (3, 10), (4, 5)):
        changed = configs.replace(config, {"backbone.stages": stages})
        assert changed.backbone.side(160) == side


def test_a_check_leaves_the_kind_as_it_is(lite):
    config = configs.replace(Config(), {"backbone.kind": KIND})
    proposed = [name for changes in check.smaller(config) for name in changes]
    assert "photos.crop" in proposed and "backbone.depth" not in proposed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone__kind": "resnet"}, f"set --backbone.kind={KIND}"),
        ({"backbone__kind": "efficientnet-lite1"}, f"set --backbone.kind={KIND}"),
        ({"backbone__stages": 2}, "block3"),
        ({"backbone__kind": "efficientnet"}, "efficientnet-lite0, efficientnet-lite1"),
    ],
)
def test_what_can_not_work_is_refused(changes, message, lite, shop, tmp_path):
    settings = {
        "backbone__kind": KIND,
        "backbone__weights": str(lite),
        "backbone__stages": 1,
    }
    with pytest.raises(UserError, match=message):
        prepare(shop.config(**(settings | changes)), tmp_path)
