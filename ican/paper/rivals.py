"""The rivals to beat: boosting and linear models on attributes, words and photo vector.

LightGBM learns the price zone and, apart, the log price from the encoded attributes,
the words of the texts and the mean of a frozen backbone's feature map. Its settings are
chosen by random search on the validation rows. The linear models also stand beside a
network in its report.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from common.errors import UserError
from common.reports import boosting, linear_rival
from common.tables.splits import SPLITS
from common.training import activity
from ican import evaluation
from ican.config import Config
from ican.data import Examples
from ican.metrics import TOP
from ican.zones import Zones

LINEAR = "test/rival"  # prefix of the linear rival's figures in metrics.json

TRIALS = 10
COMPONENTS = 64  # of the words; trees find little in thousands of sparse columns

# What is boosted, each with its own settings: the objective of LightGBM. The median of
# the log price is what MALE asks for.
OBJECTIVES = {"zone": "multiclass", "price": "regression_l1"}


@dataclasses.dataclass(frozen=True, eq=False)
class Columns:
    """What boosting reads.

    Attributes:
      values: float32 [N, F]; NaN where a number is missing.
      categorical: indices of the columns that hold category numbers.
    """

    values: np.ndarray
    categorical: list[int]


def columns_of(
    examples: Examples, *, words: bool = False, photos: bool = False
) -> Columns:
    """Lays out attributes and, if asked for, words and feature maps side by side.

    Args:
      examples: with cached feature maps where photos are asked for.
      words: whether to append the 64 first components of the words' TF-IDF.
      photos: whether to append the mean over positions [N, C].

    Raises:
      UserError: there are no texts or no feature maps.
    """
    arrays = examples.loader.arrays
    numbers = np.where(arrays["missing"] > 0, np.nan, arrays["continuous"])
    parts = [arrays["categorical"].astype(np.float32), numbers, arrays["sets"]]
    if words:
        parts.append(word_components(examples))
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


def word_components(examples: Examples) -> np.ndarray:
    """Coordinates float32 [N, 64 or fewer] of texts: latent semantic analysis."""
    from sklearn.decomposition import TruncatedSVD

    listings = examples.listings
    train = listings.indices("train")
    words = linear_rival.features(
        listings.frame, listings.schema, train, words=True, attributes=False
    )
    if words.shape[1] <= COMPONENTS:
        return words.toarray().astype(np.float32)
    fitted = TruncatedSVD(COMPONENTS, random_state=0).fit(words[train])
    return fitted.transform(words).astype(np.float32)


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
) -> dict[str, boosting.Settings]:
    """Finds the settings with the best validation loss.

    Args:
      examples: rows and zones.
      columns: what boosting reads.
      trials: settings drawn.
      seed: of the draws.

    Returns:
      {"zone": settings, "price": settings}.
    """

    def best(what: str) -> boosting.Settings:
        def loss_of(settings: boosting.Settings) -> float:
            booster = fit(examples, columns, what, settings, seed)
            return boosting.validation_loss(booster)

        return boosting.search(loss_of, trials, seed)

    return {what: best(what) for what in OBJECTIVES}


def fit(
    examples: Examples,
    columns: Columns,
    what: str,
    settings: boosting.Settings,
    seed: int,
) -> Any:
    """Boosts "zone" or "price" on the training rows, stopped early on validation."""
    zones, prices = examples.ensemble.zones, examples.prices
    settings = {**settings, "objective": OBJECTIVES[what]}
    if what == "zone":
        settings["num_class"] = zones.count
    return boosting.fit(
        columns.values,
        zones.label(prices) if what == "zone" else np.log(prices),
        {split: examples.listings.indices(split) for split in ("train", "validation")},
        settings,
        seed,
        categorical=columns.categorical,
    )


def evaluate(
    examples: Examples,
    columns: Columns,
    settings: Mapping[str, boosting.Settings],
    *,
    seed: int,
) -> dict[str, float]:
    """Fits with one seed and measures the test rows.

    Args:
      examples: rows and zones.
      columns: what boosting reads.
      settings: of `search`.
      seed: of LightGBM's draws.

    Returns:
      top1 … top7 and male.
    """
    rows = examples.listings.indices("test")
    scores, log_prices = (
        fit(examples, columns, what, settings[what], seed).predict(columns.values[rows])
        for what in OBJECTIVES
    )
    return measure(scores, log_prices, examples.prices[rows], examples.ensemble.zones)


def wants_linear(config: Config, examples: Examples) -> bool:
    """Whether a rival is to be fitted, and there is something for it to read."""
    return config.rival != "none" and bool(examples.listings.schema.attributes)


@activity.doing("fitting the linear rival")
def evaluate_linear(
    examples: Examples, *, words: bool | None = None, attributes: bool = True
) -> dict[str, float]:
    """Fits logistic and ridge regression on the training rows, and measures test.

    Args:
      examples: rows and zones.
      words: whether the rival reads texts; None: where there are any.
      attributes: whether it reads the other attributes.

    Returns:
      top1 … top7 and male.

    Raises:
      UserError: there is nothing to read; scikit-learn is not installed.
    """
    listings, zones = examples.listings, examples.ensemble.zones
    rows = {split: listings.indices(split) for split in SPLITS}
    if words is None:
        words = bool(linear_rival.text_columns(listings.schema))
    values = linear_rival.features(
        listings.frame,
        listings.schema,
        rows["train"],
        words=words,
        attributes=attributes,
        classes=zones.count,
    )
    labels = zones.label(examples.prices)
    scores = linear_rival.class_scores(values, labels, rows, zones.count)
    points = linear_rival.log_prices(values, np.log(examples.prices), rows)
    return measure(scores, points, examples.prices[rows["test"]], zones)


def measure(
    scores: np.ndarray, log_points: np.ndarray, prices: np.ndarray, zones: Zones
) -> dict[str, float]:
    """Figures of any model that scores zones and tells a price.

    Args:
      scores: [N, J].
      log_points: [N] natural logs of the prices told.
      prices: [N] actual ones.
      zones: the price zones.

    Returns:
      top1 … top7 (share with the right zone among the k best) and male.
    """
    ranks = evaluation.rank_of(zones.label(prices), scores)
    tops = {f"top{k}": float(np.mean(ranks < k)) for k in TOP}
    return {**tops, "male": float(np.abs(log_points - np.log(prices)).mean())}


def describe_linear(kind: str, values: Mapping[str, Any]) -> str:
    """One line on the rival of a run; "" where it has none.

    Args:
      kind: of the network.
      values: contents of metrics.json.
    """
    if f"{LINEAR}/male" not in values:
        return ""
    told = {"top-3": ("top3", True), "MALE": ("male", False)}
    return linear_rival.describe(
        kind,
        {
            title: (values[f"test/{name}"], values[f"{LINEAR}/{name}"], high)
            for title, (name, high) in told.items()
        },
    )
