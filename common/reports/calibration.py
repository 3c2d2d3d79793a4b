"""What makes a prediction honest: likelihood, reliability and conformal intervals.

All of it is fitted on validation data, on the host, in numpy float64.
"""

import dataclasses
import math

import numpy as np


def negative_log_likelihood(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log softmax(scores)_label.

    Args:
      scores: [N, J].
      labels: int [N].
    """
    scores = np.asarray(scores, np.float64)
    below = scores - scores.max(1, keepdims=True)
    log_sums = np.log(np.exp(below).sum(1))
    return float(np.mean(log_sums - below[np.arange(len(below)), labels]))


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, over bins of equal width.

    Attributes:
      edges: [bins + 1] of the confidence, from 0 to 1.
      counts: [bins] items in each bin.
      confidence: [bins] mean confidence, NaN for an empty bin.
      accuracy: [bins] share of right predictions, NaN for an empty bin.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def expected_calibration_error(self) -> float:
        """ECE = sum over bins of counts / N * |accuracy - confidence|; 0 for N = 0."""
        filled = self.counts > 0
        gaps = abs(self.accuracy[filled] - self.confidence[filled])
        return float(gaps @ self.counts[filled] / max(self.counts.sum(), 1))


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> Reliability:
    """Sorts items into bins (low, high] by the probability of their likeliest label.

    Args:
      probabilities: [N, J].
      labels: int [N].
      bins: number of bins.
    """
    probabilities = np.asarray(probabilities, np.float64)
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)

    def means(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(index, weights=values, minlength=bins)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    return Reliability(edges, counts, means(confidence), means(right))


def conformal_radius(residuals: np.ndarray, coverage: float) -> float:
    """Split-conformal radius: point ± radius holds a new value with >= `coverage`.

    The k-th smallest absolute residual of held-out items with k = ceil((n + 1)
    coverage). The guarantee needs only that the items are exchangeable (Vovk et al.;
    Lei et al., Distribution-Free Predictive Inference for Regression).

    Args:
      residuals: [n] of items that the model was not fitted on; the sign is ignored.
      coverage: between 0 and 1.

    Returns:
      The radius; infinite where n is too small for the coverage.

    Raises:
      ValueError: for a coverage outside (0, 1).
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1, not {coverage}")
    residuals = np.sort(abs(np.asarray(residuals, np.float64)))
    # The subtraction keeps 0.9 * 10 from becoming 10 by rounding.
    rank = math.ceil((len(residuals) + 1) * coverage - 1e-9)
    return float(residuals[rank - 1]) if rank <= len(residuals) else math.inf


def interval_coverage(low: np.ndarray, high: np.ndarray, values: np.ndarray) -> float:
    """Share of values [N] that lie within [low, high]."""
    return float(np.mean((low <= values) & (values <= high)))


def grouped_share_error(hits: np.ndarray, groups: np.ndarray) -> float:
    """Standard error of a share whose rows come in groups that go together.

    sqrt(G / (G - 1) sum_g (sum_{i in g} (h_i - p))^2) / N with p the mean of the hits
    (Liang and Zeger 1986): sqrt(p (1 - p) / (N - 1)) where each row is a group.

    Args:
      hits: [N] of 0 and 1.
      groups: [N] names of the G groups.

    Returns:
      The error; NaN for fewer than two groups.
    """
    names, members = np.unique(groups, return_inverse=True)
    count = len(names)
    if count < 2:
        return math.nan
    sums = np.bincount(members, weights=hits - np.mean(hits))
    return float(np.sqrt(count / (count - 1) * np.sum(sums**2)) / len(hits))
