"""From what is said of many prices to the numbers, tables and figures of a report."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from common.reports import calibration
from common.reports.price_distribution import Pooling, PriceDistribution
from common.training.metrics import Pair, label_rank
from ican import metrics
from ican.step import Outputs
from ican.zones import Zones

ENOUGH = 300  # rows for an interval


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What is fitted on the validation rows after training.

    Attributes:
      pooling: of zones and named prices, fitted on the rows that chose the weights.
      level: share of prices that an interval is to hold.
      radius: the interval is that of the shares 1/2 ± radius of the distribution.
      constant: half width, in log price, of the interval by a constant factor.
      rows: that `radius` and `constant` were fitted on.
    """

    pooling: Pooling
    level: float
    radius: float
    constant: float
    rows: int

    @classmethod
    def fit(
        cls,
        outputs: Outputs,
        prices: np.ndarray,
        halves: tuple[np.ndarray, np.ndarray],
        zones: Zones,
        level: float,
        *,
        pools_price: bool = True,
    ) -> "Calibration":
        """Fits the distribution on one half of the rows, the interval on the other.

        With u the share of the distribution below the price that was paid, the radius
        is the conformal one of |u - 1/2|: whatever the distribution is worth, the
        interval holds its level of prices like these (Chernozhukov et al.,
        Distributional Conformal Prediction).

        Args:
          outputs: of the N validation rows.
          prices: [N].
          halves: (rows that chose the weights, rows that nothing was fitted on).
          zones: the price zones.
          level: share of prices that an interval is to hold.
          pools_price: whether `outputs.centres` say something of each row.
        """
        first, second = halves
        pooling = Pooling.fit(
            outputs.scores[first],
            outputs.centres[first],
            prices[first],
            zones.edges,
            pools_price=pools_price,
        )
        known = pooling.distribution(outputs.scores, outputs.centres, zones.edges)
        known = known.rows(second)
        shares = known.cdf(prices[second])
        errors = np.log(prices[second] / known.price(0.5))
        return cls(
            pooling,
            level,
            calibration.conformal_radius(shares - 0.5, level),
            calibration.conformal_radius(errors, level),
            len(second),
        )

    def distribution(
        self, outputs: Outputs, zones: Zones, xp: Any = np
    ) -> PriceDistribution:
        """The distribution of the price of each row, with the arrays of `xp`."""
        return self.pooling.distribution(
            outputs.scores, outputs.centres, zones.edges, xp
        )

    def warning(self) -> str:
        """A line where the interval rests on too few rows; else ""."""
        if self.rows >= ENOUGH:
            return ""
        none = "" if math.isfinite(self.constant) else ", too few for any interval"
        return (
            f"the price interval is fitted on {self.rows:,} validation rows{none}, the"
            f" half that did not choose the weights; below {ENOUGH} its share of prices"
            " is uncertain: give more validation rows"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Calibration":
        """Reads the JSON form."""
        return cls(**{**record, "pooling": Pooling(**record["pooling"])})


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a model did on the rows of a split.

    Attributes:
      scalars: {name: number}, see `measure`.
      confusion: [J, J] counts of (right zone, likeliest zone).
      probabilities: [N, J].
      labels: int [N].
      zone_male: [J] mean absolute log error of the rows of each zone; NaN for none.
      zone_counts: [J] rows of each zone.
      ranks: int [N] place of the right zone among the likeliest, 0 the best.
      log_points: [N] natural logs of the suggested prices.
      interval: (low, high) prices [N] each.
    """

    scalars: dict[str, float]
    confusion: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    zone_male: np.ndarray
    zone_counts: np.ndarray
    ranks: np.ndarray
    log_points: np.ndarray
    interval: tuple[np.ndarray, np.ndarray]


def measure(
    outputs: Outputs, prices: np.ndarray, zones: Zones, fitted: Calibration
) -> Outcome:
    """Judges what is said of prices by the actual ones.

    Scalars: top1, top3, top5, top7 (share with the right zone among the k likeliest;
    top1_votes … by the votes alone); zone_distance (zones between right and likeliest);
    male (mean absolute error of the log price); nll and ece (of the zones'
    probabilities); price_in_best and price_in_best3 (share of suggested prices that lie
    in the likeliest zone, in one of the three likeliest); see `_interval_scalars` for
    the interval; n (rows).

    Args:
      outputs: of the N rows.
      prices: [N].
      zones: the price zones.
      fitted: distribution and interval.
    """
    labels = zones.label(prices)
    known = fitted.distribution(outputs, zones)
    logits, probabilities = known.log_probabilities, known.probabilities
    suggested = known.price(0.5)
    points = np.log(suggested)
    # Ranks come from logarithms: probabilities may round to a tie.
    pairs = metrics.zone_metrics(
        jnp.asarray(logits, jnp.float32),
        jnp.asarray(labels),
        jnp.asarray(points, jnp.float32),
        jnp.asarray(prices, jnp.float32),
        jnp.ones(len(labels)),
    )
    ranks, votes = (rank_of(labels, scores) for scores in (logits, outputs.scores))
    errors = abs(points - np.log(prices))
    counts = np.bincount(labels, minlength=zones.count)
    sums = np.bincount(labels, weights=errors, minlength=zones.count)
    reliability = calibration.reliability(probabilities, labels)
    interval = known.interval(fitted.radius)
    own = rank_of(zones.label(suggested), logits)
    scalars = {
        **{f"top{k}": float(np.mean(ranks < k)) for k in metrics.TOP},
        **{f"top{k}_votes": float(np.mean(votes < k)) for k in metrics.TOP},
        "zone_distance": _mean(pairs["zone_distance"]),
        "male": float(errors.mean()),
        "nll": calibration.negative_log_likelihood(logits, labels),
        "ece": reliability.expected_calibration_error,
        "price_in_best": float(np.mean(own < 1)),
        "price_in_best3": float(np.mean(own < 3)),
        **_interval_scalars(interval, prices, errors, fitted),
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
        interval,
    )


def _interval_scalars(
    interval: tuple[np.ndarray, np.ndarray],
    prices: np.ndarray,
    errors: np.ndarray,
    fitted: Calibration,
) -> dict[str, float]:
    """coverage and width (mean log of upper over lower end) of the interval.

    Beside them coverage_constant and width_constant of the price times and by one and
    the same factor, fitted on the same rows.
    """
    low, high = interval
    with np.errstate(divide="ignore"):
        widths = np.log(high) - np.log(low)
    return {
        "coverage": calibration.interval_coverage(low, high, prices),
        "width": float(widths.mean()),
        "coverage_constant": float(np.mean(errors <= fitted.constant)),
        "width_constant": 2 * fitted.constant,
    }


def rank_of(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Place int [N] of the labels [N] among the scores [N, J], 0 the best."""
    ranks = label_rank(jnp.asarray(scores, jnp.float32), jnp.asarray(labels))
    return np.asarray(ranks)


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
    ranks = rank_of(zones.label(prices), scores)
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
