"""Photos of two colours, and a backbone trained to tell them apart."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.backbone import train
from common.backbone.config import Config
from common.config import configs

COUNTS = {"blue": 24, "red": 41, "rare": 3}


def draw(colour: str, rng: np.random.Generator) -> np.ndarray:
    """Noise that leans towards a colour: uint8 [32, 32, 3]."""
    pixels = rng.integers(0, 200, (32, 32, 3))
    pixels[..., {"red": 0, "rare": 1, "blue": 2}[colour]] += 55
    return pixels.astype(np.uint8)


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> pathlib.Path:
    """A folder with a folder of photos for each class."""
    root = tmp_path_factory.mktemp("photos [1]")
    rng = np.random.default_rng(0)
    for colour, count in COUNTS.items():
        (root / colour / "deeper").mkdir(parents=True)
        for number in range(count):
            folder = root / colour / ("deeper" if number % 2 else "")
            Image.fromarray(draw(colour, rng)).save(folder / f"{number}.png")
    (root / "red" / "notes.txt").write_text("no photo")
    return root


def tiny_config(photos: pathlib.Path, cache: pathlib.Path, **changes: Any) -> Config:
    """Tiny settings on the photos; changes by dotted name, "." as "__"."""
    settings = {
        "data.images": str(photos),
        "data.cache": str(cache),
        "data.split_fractions": (0.5, 0.25, 0.25),
        "min_count": 5,
        "depth": "tiny",
        "photos.resize": 32,
        "photos.crop": 32,
        "optimizer.learning_rate": 0.05,
        "train.steps": 32,
        "train.batch_size": 16,
        "train.log_every": 8,
        "train.eval_every": 8,
        "train.checkpoint_every": 8,
        "train.progress": False,
        "train.tensorboard": False,
        "parallel.devices": 1,
    }
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return configs.replace(Config(), {**settings, **named})


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run that has ended."""

    config: Config
    workdir: pathlib.Path
    values: dict[str, Any]


@pytest.fixture(scope="session")
def run(photos, tmp_path_factory) -> Run:
    workdir = tmp_path_factory.mktemp("backbone [1]")
    config = tiny_config(photos, workdir / "cache")
    train.train_and_save(config, workdir)
    values = json.loads((workdir / "metrics.json").read_text())
    return Run(config, workdir, values)
