"""The rival to beat: gradient boosting on attributes and a pooled photo vector.

LightGBM learns the price zone from the encoded attributes, alone or beside the mean of
a frozen backbone's feature map. Its settings are chosen by random search on the
validation rows; its probabilities go through the same calibration and metrics as the
networks'.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from common.errors import UserError
from ican import evaluation
from ican.data import Examples
from ican.evaluation import Calibration

TRIALS = 30
ROUNDS = 400  # trees of each class at the most
PATIENCE = 25  # rounds without a better validation loss


@dataclasses.dataclass(frozen=True, eq=False)
class Columns:
    """What boosting reads.

    Attributes:
      values: float32 [N, F]; NaN where a number is missing.
      categorical: indices of the columns that hold category numbers.
    """

    values: np.ndarray
    categorical: list[int]


def columns_of(examples: Examples, *, photos: bool) -> Columns:
    """Lays out attributes and, if asked for, pooled feature maps side by side.

    Args:
      examples: with cached feature maps where photos are asked for.
      photos: whether to append the mean over positions [N, C].
    """
    arrays = examples.loader.arrays
    numbers = np.where(arrays["missing"] > 0, np.nan, arrays["continuous"])
    parts = [arrays["categorical"].astype(np.float32), numbers, arrays["sets"]]
    if photos:
        features = examples.loader.features
        if features is None:
            raise UserError(
                "boosting on photos needs feature maps: set --backbone.frozen,"
                " --backbone.weights and --backbone.cache"
            )
        parts.append(pooled(features))
    return Columns(
        np.concatenate(parts, 1).astype(np.float32),
        list(range(arrays["categorical"].shape[1])),
    )


def pooled(features: Any, block: int = 512) -> np.ndarray:
    """Mean over positions of feature maps [N, P, C]: float32 [N, C]."""
    starts = range(0, len(features), block)
    return np.concatenate(
        [
            features.rows(np.arange(start, min(start + block, len(features))))
            .astype(np.float32)
            .mean(1)
            for start in starts
        ]
    )


def draw_settings(rng: np.random.Generator) -> dict[str, Any]:
    """Settings of one trial of the random search."""
    return {
        "learning_rate": float(10 ** rng.uniform(-1.7, -0.7)),
        "num_leaves": int(rng.choice([4, 8, 16, 32])),
        "min_data_in_leaf": int(rng.choice([10, 20, 50, 100])),
        "feature_fraction": float(rng.uniform(0.05, 0.6)),
        "bagging_fraction": float(rng.uniform(0.5, 1.0)),
        "lambda_l2": float(10 ** rng.uniform(-2, 2)),
    }


def search(
    examples: Examples, columns: Columns, *, trials: int = TRIALS, seed: int = 0
) -> dict[str, Any]:
    """Finds the settings with the best validation likelihood.

    Args:
      examples: rows and zones.
      columns: what boosting reads.
      trials: settings drawn.
      seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    best, lowest = {}, math.inf
    for _ in range(trials):
        settings = draw_settings(rng)
        booster = fit(examples, columns, settings, seed)
        loss = booster.best_score["validation"]["multi_logloss"]
        if loss < lowest:
            best, lowest = settings, loss
    return best


def fit(
    examples: Examples, columns: Columns, settings: dict[str, Any], seed: int
) -> Any:
    """Boosts the zone on the training rows, stopped early on validation."""
    lightgbm = _lightgbm()
    zones = examples.ensemble.zones
    labels = zones.label(examples.prices)
    sets: dict[str, Any] = {}
    for split in ("train", "validation"):
        rows = examples.listings.indices(split)
        sets[split] = lightgbm.Dataset(
            columns.values[rows],
            labels[rows],
            categorical_feature=columns.categorical,
            reference=sets.get("train"),
            params={"max_bin": 63, "verbosity": -1},
            free_raw_data=False,
        )
    return lightgbm.train(
        {
            **settings,
            "objective": "multiclass",
            "num_class": zones.count,
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


def evaluate(
    examples: Examples,
    columns: Columns,
    settings: dict[str, Any],
    *,
    seed: int,
    level: float,
) -> dict[str, float]:
    """Fits with one seed and measures the test rows, calibrated on validation.

    Returns:
      {"test/top3": …} as metrics.json of a network has them.
    """
    booster = fit(examples, columns, settings, seed)
    zones, prices = examples.ensemble.zones, examples.prices
    rows = {s: examples.listings.indices(s) for s in ("validation", "test")}
    scores = {
        split: np.log(np.maximum(booster.predict(columns.values[index]), 1e-12))
        for split, index in rows.items()
    }
    calibration = Calibration.fit(
        scores["validation"], prices[rows["validation"]], zones, level
    )
    outcome = evaluation.measure(
        scores["test"], prices[rows["test"]], zones, calibration
    )
    return evaluation.with_prefix("test", outcome.scalars)


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError:
        raise UserError(
            "the rows of gradient boosting need LightGBM: pip install -e '.[rivals]'"
        ) from None
    return lightgbm
