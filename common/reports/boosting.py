"""Gradient boosting with LightGBM, the rival of networks on features and tables."""

import json
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import UserError

Settings = dict[str, Any]

ROUNDS = 400  # trees (of each class) at the most
PATIENCE = 25  # rounds without a better validation loss


def draw_settings(rng: np.random.Generator) -> Settings:
    """Settings of one trial of the random search."""
    return {
        "learning_rate": float(10 ** rng.uniform(-1.7, -0.7)),
        "num_leaves": int(rng.choice([4, 8, 16, 32])),
        "min_data_in_leaf": int(rng.choice([10, 20, 50, 100])),
        "feature_fraction": float(rng.uniform(0.05, 0.6)),
        "bagging_fraction": float(rng.uniform(0.5, 1.0)),
        "lambda_l2": float(10 ** rng.uniform(-2, 2)),
    }


def search(loss_of: Callable[[Settings], float], trials: int, seed: int) -> Settings:
    """Finds the settings with the lowest loss among some drawn at random.

    Args:
      loss_of: fits with some settings and returns the validation loss.
      trials: settings drawn.
      seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    best, lowest = {}, math.inf
    for _ in range(trials):
        settings = draw_settings(rng)
        loss = loss_of(settings)
        if loss < lowest:
            best, lowest = settings, loss
    return best


def keep(folder: pathlib.Path, search_for: Callable[[], Any]) -> Any:
    """What a search has found, kept in a folder: it is searched for once.

    Args:
      folder: of all seeds of a row; gets boosters.json.
      search_for: () -> settings, or what JSON can hold of them.
    """
    path = folder / "boosters.json"
    if not path.exists():
        path.write_text(json.dumps(search_for(), indent=1), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def fit(
    values: np.ndarray,
    labels: np.ndarray,
    rows: Mapping[str, np.ndarray],
    settings: Settings,
    seed: int,
    *,
    categorical: Sequence[int] = (),
    groups: Mapping[str, np.ndarray] | None = None,
    positions: np.ndarray | None = None,
) -> Any:
    """Boosts on the training rows, stopped early on validation.

    Args:
      values: float32 [N, F]; NaN where missing.
      labels: [N].
      rows: positions of the "train" and the "validation" rows.
      settings: of LightGBM, the objective among them.
      seed: of its draws.
      categorical: columns that hold category numbers.
      groups: sizes of the lists of "train" and "validation", for ranking objectives.
      positions: [N] places at which training rows were shown, for an unbiased one.

    Returns:
      A booster; `validation_loss` tells how good it is.

    Raises:
      UserError: LightGBM is not installed.
    """
    lightgbm = _lightgbm()
    sets: dict[str, Any] = {}
    for split in ("train", "validation"):
        sets[split] = lightgbm.Dataset(
            values[rows[split]],
            labels[rows[split]],
            categorical_feature=list(categorical),
            group=None if groups is None else groups[split],
            position=(
                positions[rows[split]]
                if positions is not None and split == "train"
                else None
            ),
            reference=sets.get("train"),
            params={"max_bin": 63, "verbosity": -1},
            free_raw_data=False,
        )
    return lightgbm.train(
        {
            **settings,
            "bagging_freq": 1,
            "verbosity": -1,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
        },
        sets["train"],
        num_boost_round=ROUNDS,
        valid_sets=[sets["validation"]],
        valid_names=["validation"],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )


def validation_loss(booster: Any) -> float:
    """The lowest loss of a booster on its validation rows."""
    (loss,) = booster.best_score["validation"].values()
    return float(loss)


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError:
        raise UserError(
            "the rows of gradient boosting need LightGBM: pip install -e '.[rivals]'"
        ) from None
    return lightgbm
