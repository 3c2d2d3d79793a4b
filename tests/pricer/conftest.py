"""A small bazaar on disk, and a pricer trained on it once for all tests."""

import dataclasses
import io
import pathlib
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from common.config import configs
from common.tables import schema as schemas
from pricer import train
from pricer.config import Config
from pricer.generated import bazaar
from pricer.generated.parameters import BazaarConfig

# Prime numbers, so that the last batch of every split is a padded one.
BAZAAR = BazaarConfig(
    train_count=97, validation_count=23, test_count=29, pixels=40, seller_count=7
)

TINY = {
    "labels.min_count": 2,
    "photos.resize": 36,
    "photos.crop": 32,
    "networks.depth": "tiny",
    "networks.steps": 4,
    "networks.batch_size": 8,
    "networks.eval_every": 2,
    "networks.optimizer.learning_rate": 0.05,
    "model.hidden": (8,),
    "statistics.bins": 3,
    "comparables.count": 3,
    "optimizer.learning_rate": 0.01,
    "optimizer.warmup_steps": 0,
    "warm_up.steps": 4,
    "train.steps": 6,
    "train.batch_size": 16,
    "train.log_every": 2,
    "train.eval_every": 2,
    "train.checkpoint_every": 2,
    "train.progress": False,
    "train.tensorboard": False,
    "parallel.devices": 1,
    "rival": "auto",
}


@dataclasses.dataclass(frozen=True)
class Shop:
    """The bazaar as a user's files.

    Attributes:
      folder: holds table.csv, schema.json and photos/.
      table: what stands in the file.
    """

    folder: pathlib.Path
    table: pd.DataFrame

    def config(self, **changes: Any) -> Config:
        """Tiny settings on this shop; changes by dotted name, "." as "__"."""
        files = {
            "data.path": str(self.folder / "table.csv"),
            "data.images": str(self.folder / "photos"),
            "data.schema": str(self.folder / "schema.json"),
            "data.cache": str(self.folder / "cache"),
            "networks.cache": str(self.folder / "features"),
        }
        named = {name.replace("__", "."): value for name, value in changes.items()}
        return configs.replace(Config(), {**files, **TINY, **named})


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run that has ended."""

    config: Config
    workdir: pathlib.Path
    values: dict[str, Any]


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> Shop:
    return open_shop(tmp_path_factory.mktemp("bazaar [a]"))


def open_shop(folder: pathlib.Path) -> Shop:
    """Writes table, schema and photos."""
    (folder / "photos").mkdir()
    rows = []
    for row, (data,) in bazaar.rows(BAZAAR):
        rows.append({k: v for k, v in row.items() if not k.startswith("truth_")})
        Image.open(io.BytesIO(data)).save(
            folder / "photos" / row["photo"], quality="keep"
        )
    table = pd.DataFrame(rows)
    table.to_csv(folder / "table.csv", index=False)
    schemas.save(bazaar.schema(), folder / "schema.json")
    return Shop(folder, table)


@pytest.fixture(scope="session")
def run(shop, tmp_path_factory) -> Run:
    """Four networks and the heads, trained for a few steps."""
    workdir = tmp_path_factory.mktemp("runs [1]") / "bazaar"
    config = shop.config()
    return Run(config, workdir, train.train_and_evaluate(config, workdir))
