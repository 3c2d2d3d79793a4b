"""A little shop as a user's files, and models with drawn weights saved as if trained."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pandas as pd

from common.config import configs
from common.training import workdirs
from recsys import data, saved_model, step, train
from recsys.config import Config
from tests.recsys import plain_models as plain

EVERYTHING = "magpie"  # a user who has taken all items
WIDTH = 5  # of the features

TINY = {
    "data.category": ("top", "middle", "leaf"),
    "data.features_row": "row",
    "data.uneven": "repeat",
    "model.width": 12,
    "ranking.lengths": (2, 4),
    "train.best_metric": "ndcg@4",
    "train.progress": False,
    "train.tensorboard": False,
    "parallel.devices": 1,
}


# A closet that is trained in moments.
CLOSET = {
    "closet.subset": "kids",
    "closet.user_count": 60,
    "closet.item_count": 600,
    "closet.interaction_count": 1200,
    "closet.feature_width": 32,
    "model.width": 8,
    "train.steps": 2,
    "train.batch_size": 32,
    "train.eval_every": 2,
    "train.checkpoint_every": 2,
    "train.progress": False,
    "train.tensorboard": False,
    "parallel.devices": 1,
}


@dataclasses.dataclass(frozen=True)
class Shop:
    """Users who have taken items.

    Attributes:
      folder: holds items.csv, interactions.csv and features.npy.
      items: the table of items: item, top, middle, leaf, row.
      pairs: (user, item) of the table of interactions.
      features: [I, F] by row of the file.
    """

    folder: pathlib.Path
    items: pd.DataFrame
    pairs: list[tuple[str, str]]
    features: np.ndarray

    def config(self, **changes: Any) -> Config:
        """Tiny settings on this shop; changes by dotted name, "." as "__"."""
        files = {
            "data.interactions": str(self.folder / "interactions.csv"),
            "data.items": str(self.folder / "items.csv"),
            "data.features": str(self.folder / "features.npy"),
        }
        named = {name.replace("__", "."): value for name, value in changes.items()}
        return configs.replace(Config(), {**files, **TINY, **named})

    def taken(self, user: str) -> set[str]:
        """Items of a user."""
        return {item for one, item in self.pairs if one == user}

    def save(
        self, workdir: pathlib.Path, name: str, seed: int = 0, **changes: Any
    ) -> pathlib.Path:
        """Saves a model with weights from N(0, 1) as a run that has ended."""
        config = self.config(model__name=name, **changes)
        corpus = data.load(config)
        network = step.model_for(config, corpus, "tiles")
        drawn = plain.draw_params(network, seed)
        params = {key: value.astype(np.float32) for key, value in drawn.items()}
        workdirs.start_record(workdir, "recsys", config, train.FREE)
        saved_model.save(workdir, corpus, params)
        return workdir


def open_shop(folder: pathlib.Path, item_count: int = 30, seed: int = 0) -> Shop:
    """Writes the files: ids in no order, rows of the features in another one."""
    rng = np.random.default_rng(seed)
    places = rng.integers(0, len(plain.PATHS), item_count)
    places[: len(plain.PATHS)] = np.arange(len(plain.PATHS))
    paths = [plain.PATHS[place] for place in places]
    names = [f"i{number}" for number in rng.permutation(item_count)]
    items = pd.DataFrame(
        {
            "item": names,
            **{
                column: [path[k] if k < len(path) else None for path in paths]
                for k, column in enumerate(("top", "middle", "leaf"))
            },
            "row": rng.permutation(item_count),
        }
    )
    pairs = [(EVERYTHING, name) for name in names]
    for user in ("wren", "owl", "crow", "dove", "finch", "kite"):
        chosen = rng.choice(names, 8, replace=False)
        pairs += [(user, str(item)) for item in chosen]
    pairs = [pairs[place] for place in rng.permutation(len(pairs))]
    features = rng.normal(size=(item_count, WIDTH)).astype(np.float32)
    return write_shop(folder, items, pairs, features)


def write_shop(
    folder: pathlib.Path,
    items: pd.DataFrame,
    pairs: list[tuple[str, str]],
    features: np.ndarray,
) -> Shop:
    """Writes a shop of one's own making."""
    folder.mkdir(parents=True, exist_ok=True)
    items.to_csv(folder / "items.csv", index=False)
    table = pd.DataFrame(pairs, columns=["user", "item"])
    table.to_csv(folder / "interactions.csv", index=False)
    np.save(folder / "features.npy", features)
    return Shop(folder, items, pairs, features)


def plain_scores(
    network: Any, params: Any, shop: Shop, users: list[int], known: bool = True
) -> pd.DataFrame:
    """Scores by the papers' formulas, one pair at a time; a row for each user.

    Args:
      network: tells the sizes.
      params: {name: array}.
      shop: its items are scored, in their order; its features brought to length 1.
      users: numbers in training, -1 for one who is unknown.
      known: whether training has had the items, in the order of the shop.
    """
    none = np.zeros((1, 1))
    double = {}
    for name, value in params.items():
        rows = np.asarray(value, np.float64)
        if name.startswith("item_") and not known:
            rows = 0 * rows
        elif name.startswith("user_"):
            # The last row, which is also number -1, is of one who is unknown.
            rows = np.concatenate([rows, none.repeat(rows.shape[1], axis=1)])
        double[name] = rows
    leaves = {leaf: number for number, leaf in enumerate(network.tree.leaves)}
    columns = shop.items[["top", "middle", "leaf"]].itertuples(index=False)
    features = shop.features[shop.items["row"]].astype(np.float64)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    items = []
    for number, cells in enumerate(columns):
        path = [cell for cell in cells if isinstance(cell, str)]
        leaf = leaves[tuple(path + path[-1:] * (3 - len(path)))]
        items.append((number if known else -1, leaf, features[number]))
    score = plain.PLAIN[type(network)]
    return pd.DataFrame(
        [[score(network, double, user, *item) for item in items] for user in users],
        columns=shop.items["item"],
    )
