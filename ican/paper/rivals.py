"""The rival to beat: gradient boosting on attributes and a pooled photo vector.

LightGBM learns the price zone from the encoded attributes, alone or beside the mean of
a frozen backbone's feature map. Its settings are chosen by random search on the
validation rows that choose a network's weights too; its probabilities go through the
same calibration and metrics as the networks'.
"""

import dataclasses
from typing import Any

import numpy as np

from common.errors import UserError
from common.reports import boosting
from ican import evaluation
from ican.data import Examples
from ican.evaluation import Calibration
from ican.step import Outputs

TRIALS = 30


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


def search(
    examples: Examples, columns: Columns, *, trials: int = TRIALS, seed: int = 0
) -> boosting.Settings:
    """Finds the settings with the best validation likelihood.

    Args:
      examples: rows and zones.
      columns: what boosting reads.
      trials: settings drawn.
      seed: of the draws.
    """

    def loss_of(settings: boosting.Settings) -> float:
        return boosting.validation_loss(fit(examples, columns, settings, seed))

    return boosting.search(loss_of, trials, seed)


def fit(
    examples: Examples, columns: Columns, settings: boosting.Settings, seed: int
) -> Any:
    """Boosts the zone on the training rows, stopped early on validation."""
    zones = examples.ensemble.zones
    return boosting.fit(
        columns.values,
        zones.label(examples.prices),
        {
            "train": examples.listings.indices("train"),
            "validation": examples.listings.indices("validation")[examples.halves[0]],
        },
        {**settings, "objective": "multiclass", "num_class": zones.count},
        seed,
        categorical=columns.categorical,
    )


def evaluate(
    examples: Examples,
    columns: Columns,
    settings: boosting.Settings,
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
    mean = np.log(prices[examples.listings.indices("train")]).mean()
    outputs = {s: Outputs(x, np.full(len(x), mean)) for s, x in scores.items()}
    calibration = Calibration.fit(
        outputs["validation"],
        prices[rows["validation"]],
        examples.halves,
        zones,
        level,
        pools_price=False,
    )
    outcome = evaluation.measure(
        outputs["test"], prices[rows["test"]], zones, calibration
    )
    return evaluation.with_prefix("test", outcome.scalars)
