"""The rivals of the gate: gradient boosting on the features that the heads have.

LightGBM learns the log price from features and statistics. A second booster learns how
far the first one errs: the absolute errors of training rows, each priced by boosters
that have not seen it. An item is as sure as its predicted error is small. That is what
somebody would build without a gate; the other rival, predicted variance, is
`--gate.constraint=variance`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from common.reports import boosting
from pricer import evaluation
from pricer.evaluation import Calibration
from pricer.heads import Heads
from pricer.model import Suggestion

TRIALS = 8
FOLDS = 3  # of the training rows, for errors on rows that were not seen


@dataclasses.dataclass(frozen=True, eq=False)
class Columns:
    """What boosting reads and learns, row for row.

    Attributes:
      values: float32 [n, D], what the heads see of each row.
      log_prices: [n].
      rows: positions in these arrays of the "train", "validation" and "test" rows.
    """

    values: np.ndarray
    log_prices: np.ndarray
    rows: Mapping[str, np.ndarray]


def columns_of(heads: Heads, test: np.ndarray) -> Columns:
    """Lays out what the heads see of the rows that they read.

    Args:
      heads: with features, statistics and rows.
      test: rows to measure.
    """
    splits = {**heads.rows.splits, "test": test}
    ends = np.cumsum([0, *map(len, splits.values())])
    source = heads.rows
    width = source.features.width if heads.config.model.inputs == "all" else 0
    values = np.empty((ends[-1], width + source.statistics.shape[1]), np.float32)
    positions = {}
    for start, end, (split, rows) in zip(ends, ends[1:], splits.items(), strict=False):
        if width:
            values[start:end, :width] = source.features.rows(rows)
        values[start:end, width:] = source.statistics[rows]
        positions[split] = np.arange(start, end)
    log_prices = source.log_prices[np.concatenate(list(splits.values()))]
    return Columns(values, log_prices, positions)


def search(
    columns: Columns, *, trials: int = TRIALS, seed: int = 0
) -> boosting.Settings:
    """Finds the settings with the lowest squared error on validation.

    Args:
      columns: what boosting reads.
      trials: settings drawn.
      seed: of the draws.
    """

    def loss_of(settings: boosting.Settings) -> float:
        booster = _fit(columns, columns.log_prices, columns.rows, settings, seed)
        return boosting.validation_loss(booster)

    return boosting.search(loss_of, trials, seed)


def evaluate(
    columns: Columns,
    settings: boosting.Settings,
    *,
    seed: int,
    share: float,
    level: float,
    band: float,
) -> dict[str, float]:
    """Boosts price and error with one seed, and measures the test rows.

    Args:
      columns: what boosting reads.
      settings: of `search`.
      seed: of all draws.
      share: of items to accept, for the calibrated threshold.
      level: of the price interval.
      band: half width in log price of what counts as a good suggestion.

    Returns:
      {"test/male": …} as metrics.json of the heads has them.
    """
    rows, prices = columns.rows, columns.log_prices
    price = _fit(columns, prices, rows, settings, seed)
    errors = np.abs(prices - _unseen_predictions(columns, settings, seed))
    known = {split: rows[split] for split in ("train", "validation")}
    errors[rows["validation"]] = np.abs(
        prices[rows["validation"]] - price.predict(columns.values[rows["validation"]])
    )
    doubt = _fit(columns, errors, known, settings, seed)

    def suggest(split: str) -> Suggestion:
        values = columns.values[rows[split]]
        return Suggestion(price.predict(values), -doubt.predict(values))

    fitted = Calibration.fit(
        suggest("validation"), prices[rows["validation"]], share, level
    )
    measured = evaluation.measure(suggest("test"), prices[rows["test"]], fitted, band)
    # The paper's threshold means nothing here.
    return {
        f"test/{name}": value
        for name, value in measured.items()
        if not name.endswith("_at_half")
    }


def _unseen_predictions(
    columns: Columns, settings: boosting.Settings, seed: int
) -> np.ndarray:
    """Log prices [n] of training rows by boosters without them; 0 for other rows."""
    train = columns.rows["train"]
    fold = np.random.default_rng(seed).permutation(len(train)) % FOLDS
    predictions = np.zeros(len(columns.log_prices))
    for number in range(FOLDS):
        rows = {**columns.rows, "train": train[fold != number]}
        booster = _fit(columns, columns.log_prices, rows, settings, seed)
        out = train[fold == number]
        predictions[out] = booster.predict(columns.values[out])
    return predictions


def _fit(
    columns: Columns,
    labels: np.ndarray,
    rows: Mapping[str, np.ndarray],
    settings: boosting.Settings,
    seed: int,
) -> Any:
    settings = {**settings, "objective": "regression"}
    return boosting.fit(columns.values, labels, rows, settings, seed)
