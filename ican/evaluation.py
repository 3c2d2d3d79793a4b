"""From zone scores of many rows to the numbers, tables and figures of a report."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from common.reports import calibration
from common.training.metrics import Pair, label_rank
from ican import metrics
from ican.zones import Zones


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What is fitted on the validation rows after training.

    Attributes:
      temperature: of the softmax over zone scores.
      level: share of prices that an interval is to hold.
      radius: half width of the interval, in log price.
    """

    temperature: float
    level: float
    radius: float

    @classmethod
    def fit(
        cls, scores: np.ndarray, prices: np.ndarray, zones: Zones, level: float
    ) -> "Calibration":
        """Fits temperature and interval.

        Args:
          scores: [N, J] of validation rows.
          prices: [N].
          zones: the price zones.
          level: share of prices that an interval is to hold.
        """
        temperature = calibration.fit_temperature(scores, zones.label(prices))
        residuals = np.log(prices) - log_points(scores, zones, temperature)
        return cls(temperature, level, calibration.conformal_radius(residuals, level))

    def to_dict(self) -> dict[str, float]:
        """JSON form."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a model did on the rows of a split.

    Attributes:
      scalars: {name: number}, see `measure`.
      confusion: [J, J] counts of (right zone, elected zone).
      probabilities: [N, J].
      labels: int [N].
      zone_male: [J] mean absolute log error of the rows of each zone; NaN for none.
      zone_counts: [J] rows of each zone.
      ranks: int [N] place of the right zone among the scores, 0 the best.
      log_points: [N] point estimates of the log price.
    """

    scalars: dict[str, float]
    confusion: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    zone_male: np.ndarray
    zone_counts: np.ndarray
    ranks: np.ndarray
    log_points: np.ndarray


def probabilities_of(scores: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(scores / temperature) over zones, [N, J] in float64."""
    scaled = np.asarray(scores, np.float64) / temperature
    weights = np.exp(scaled - scaled.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def log_points(scores: np.ndarray, zones: Zones, temperature: float) -> np.ndarray:
    """Point estimates of the log price [N]: sum_j p_j * mean log price of zone j."""
    references = np.asarray(zones.reference_log_prices)
    return probabilities_of(scores, temperature) @ references


def measure(
    scores: np.ndarray, prices: np.ndarray, zones: Zones, fitted: Calibration
) -> Outcome:
    """Judges scores against actual prices.

    Scalars: top1, top3, top5, top7 (share with the right zone among the k best);
    zone_distance (zones between right and elected); male (mean absolute error of the
    log price); nll and ece (of calibrated probabilities); coverage and interval_ratio
    (share of prices in the interval, upper over lower end); n (rows).

    Args:
      scores: [N, J].
      prices: [N].
      zones: the price zones.
      fitted: temperature and interval.
    """
    labels = zones.label(prices)
    probabilities = probabilities_of(scores, fitted.temperature)
    # Ranks come from the scores: the softmax may round two of them to a tie.
    pairs = metrics.zone_metrics(
        jnp.asarray(scores, jnp.float32),
        jnp.asarray(labels),
        jnp.asarray(prices, jnp.float32),
        jnp.ones(len(labels)),
        reference_log_prices=jnp.asarray(zones.reference_log_prices),
    )
    ranks = np.asarray(
        label_rank(jnp.asarray(scores, jnp.float32), jnp.asarray(labels))
    )
    points = log_points(scores, zones, fitted.temperature)
    errors = abs(points - np.log(prices))
    low, high = calibration.price_interval(points, fitted.radius)
    counts = np.bincount(labels, minlength=zones.count)
    sums = np.bincount(labels, weights=errors, minlength=zones.count)
    reliability = calibration.reliability(probabilities, labels)
    scalars = {
        **{f"top{k}": float(np.mean(ranks < k)) for k in metrics.TOP},
        "zone_distance": _mean(pairs["zone_distance"]),
        "male": float(errors.mean()),
        "nll": calibration.negative_log_likelihood(scores, labels, fitted.temperature),
        "ece": reliability.expected_calibration_error,
        "coverage": calibration.interval_coverage(low, high, prices),
        "interval_ratio": float(np.exp(2 * fitted.radius)),
        "n": len(labels),
    }
    return Outcome(
        scalars,
        np.asarray(pairs["confusion"][0]),
        probabilities,
        labels,
        np.where(counts > 0, sums / np.maximum(counts, 1), np.nan),
        counts,
        ranks,
        points,
    )


def majority_scores(train_labels: np.ndarray, zones: Zones, rows: int) -> np.ndarray:
    """Scores [rows, J] of the baseline that always ranks zones by how common they are."""
    counts = np.bincount(train_labels, minlength=zones.count)
    return np.tile(np.log(np.maximum(counts, 0.5)), (rows, 1))


def majority(
    train_prices: np.ndarray, prices: np.ndarray, zones: Zones
) -> dict[str, float]:
    """Scalars of the majority baseline: common zones first, the median price.

    Args:
      train_prices: that zone frequencies and median come from.
      prices: [N] to be judged on.
      zones: the price zones.

    Returns:
      top1 … top7 and male.
    """
    scores = majority_scores(zones.label(train_prices), zones, len(prices))
    labels = jnp.asarray(zones.label(prices))
    ranks = np.asarray(label_rank(jnp.asarray(scores, jnp.float32), labels))
    errors = abs(np.log(prices) - np.median(np.log(train_prices)))
    tops = {f"top{k}": float(np.mean(ranks < k)) for k in metrics.TOP}
    return {**tops, "male": float(errors.mean())}


def share_error(share: float, rows: int) -> float:
    """Standard error of a share p over n rows: sqrt(p (1 - p) / n)."""
    return float(np.sqrt(share * (1 - share) / max(rows, 1)))


def paired_difference(hits: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Mean difference of two models on the same rows, with its standard error."""
    difference = hits.astype(np.float64) - other
    return float(difference.mean()), float(
        difference.std(ddof=1) / np.sqrt(len(difference))
    )


def with_prefix(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """{"top3": x} -> {"test/top3": x}."""
    return {f"{prefix}/{name}": value for name, value in values.items()}


def _mean(pair: Pair) -> float:
    return float(pair[0] / pair[1])
