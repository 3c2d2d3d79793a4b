"""A small shop of rings, and networks trained on it once for all tests."""

import csv
import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from common import pretrained
from common.config import configs
from common.layers import backbones
from common.layers.backbone_sizes import Sizes
from common.tables import schema as schemas
from ican import train
from ican.config import Config

# Prime numbers, so that the last batch of every split is a padded one.
# Half of the validation rows are just enough for an interval at 0.9.
COUNTS = {"train": 37, "validation": 23, "test": 13}
METALS = ("gold", "silver", "steel")

SCHEMA = schemas.Schema(
    attributes=(
        schemas.Attribute("metal", "categorical", ("metal",)),
        schemas.Attribute("weight", "continuous", ("grams", "carats")),
        schemas.Attribute("stones", "set", ("stones",), separator="|"),
    ),
    images=schemas.Images(("photo",)),
    target=schemas.Target("price", "USD"),
    split="split",
    id="id",
)

# Photos of 36 pixels make maps of 2 x 2 positions.
TINY = {
    "attributes.unseen_rate": 0.2,
    "photos.resize": 40,
    "photos.crop": 36,
    "zones.kind": "quantile",
    "zones.count": 9,
    "ensemble.classifiers": 4,
    "ensemble.band": 2.0,
    "backbone.depth": "tiny",
    "model.attributes.width": 8,
    "model.concatenation_mlp.hidden": (6,),
    "model.concatenation_mlp.output": 5,
    "model.mfb.factors": 2,
    "model.mfb.features": 4,
    "model.mfh.factors": 2,
    "model.mfh.features": 4,
    "model.mutan.features": 6,
    "model.mutan.rank": 2,
    "model.block.count": 2,
    "model.block.size": 3,
    "model.block.output": 5,
    "model.ican.cells": 2,
    "model.ican.attribute_features": 6,
    "model.ican.mfb_factors": 2,
    "model.ican.mfb_features": 4,
    "model.ican.hidden": 5,
    "model.ican.block_count": 2,
    "model.ican.block_size": 3,
    "model.ican.output": 5,
    "optimizer.learning_rate": 0.05,
    "train.steps": 4,
    "train.batch_size": 8,
    "train.log_every": 2,
    "train.eval_every": 2,
    "train.checkpoint_every": 2,
    "train.progress": False,
    "train.tensorboard": False,
    "parallel.devices": 1,
    "rival": "none",
}


@dataclasses.dataclass(frozen=True)
class Shop:
    """A table with photos on disk.

    Attributes:
      folder: holds table.csv, schema.json and photos/.
      rows: of the table, as written.
      backbone: weights of a tiny ResNet.
    """

    folder: pathlib.Path
    rows: list[dict[str, Any]]
    backbone: pathlib.Path

    def config(self, **changes: Any) -> Config:
        """Tiny settings on this shop; changes by dotted name, "." as "__"."""
        files = {
            "data.path": str(self.folder / "table.csv"),
            "data.images": str(self.folder / "photos"),
            "data.schema": str(self.folder / "schema.json"),
            "data.cache": str(self.folder / "cache"),
        }
        named = {name.replace("__", "."): value for name, value in changes.items()}
        return configs.replace(Config(), {**files, **TINY, **named})

    def cached_config(self, **changes: Any) -> Config:
        """Tiny settings on feature maps of the frozen backbone."""
        frozen = {
            "backbone__weights": str(self.backbone),
            "backbone__frozen": True,
            "backbone__cache": str(self.folder / "features"),
        }
        return self.config(**(frozen | changes))

    def positions(self, split: str) -> list[int]:
        """Rows of a split."""
        return [i for i, row in enumerate(self.rows) if row["split"] == split]


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run that has ended."""

    config: Config
    workdir: pathlib.Path
    values: dict[str, Any]


def _make_rows() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    splits = [split for split, count in COUNTS.items() for _ in range(count)]
    rows = []
    for number, split in enumerate(rng.permutation(splits)):
        metal = int(rng.integers(len(METALS)))
        grams = round(float(rng.uniform(1, 9)), 2)
        rows.append(
            {
                "id": f"ring{number}",
                "photo": f"{number}.png",
                "metal": METALS[metal],
                "grams": "" if number % 10 == 3 else grams,
                "carats": round(float(rng.uniform(0, 2)), 2),
                "stones": ("ruby|opal", "opal", "")[number % 3],
                "price": round(100 * (3 - metal) + 20 * grams + number / 7, 2),
                "split": str(split),
            }
        )
    return rows


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> Shop:
    return open_shop(tmp_path_factory.mktemp("shop [a]"))


def open_shop(folder: pathlib.Path) -> Shop:
    """Writes table, schema, photos and backbone."""
    rows = _make_rows()
    with open(folder / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    schemas.save(SCHEMA, folder / "schema.json")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(1)
    for number, row in enumerate(rows):
        pixels = rng.integers(0, 256, (40, 44 + number % 5, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / row["photo"])
    backbone = folder / "backbone.safetensors"
    pretrained.save_backbone(backbone, "tiny", random_backbone())
    return Shop(folder, rows, backbone)


def random_backbone(sizes: str | Sizes = "tiny") -> dict[str, Any]:
    """Weights of a backbone, drawn without compiling anything."""
    network = backbones.make(sizes)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    rng = np.random.default_rng(2)

    def draw(path, leaf):
        name = str(path[-1].key)
        if name in ("scale", "var"):
            return np.ones(leaf.shape, np.float32)
        if name == "kernel":
            scale = np.sqrt(2 / np.prod(leaf.shape[:-1]))
            return (scale * rng.normal(size=leaf.shape)).astype(np.float32)
        return np.zeros(leaf.shape, np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def run_of(config: Config, workdir: pathlib.Path) -> Run:
    """Trains."""
    return Run(config, workdir, train.train_and_evaluate(config, workdir))


@pytest.fixture(scope="session")
def photo_run(shop, tmp_path_factory) -> Run:
    """The kind ican, trained from photos end to end."""
    return run_of(shop.config(), tmp_path_factory.mktemp("runs [1]") / "photos")


@pytest.fixture(scope="session")
def cached_run(shop, tmp_path_factory) -> Run:
    """The kind ican, trained on feature maps of a frozen backbone."""
    return run_of(shop.cached_config(), tmp_path_factory.mktemp("runs [1]") / "cached")


@pytest.fixture(scope="session")
def attributes_run(shop, tmp_path_factory) -> Run:
    """Attributes alone, with the linear rival beside."""
    config = shop.config(model__kind="attributes", rival="auto")
    return run_of(config, tmp_path_factory.mktemp("runs [1]") / "attributes")
