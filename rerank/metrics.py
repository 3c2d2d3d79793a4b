"""How good orders of lists are, request by request.

R lists lie in arrays [R, L] with a boolean mask. A metric of single requests comes as a
`Column`: a value and a weight a request, value NaN and weight 0 where the request says
nothing, so that two models can be compared request by request. The rules:

  empty lists      say nothing in any metric.
  no positives     AUC, NDCG, MAP and MRR say nothing (allRank counts NDCG as 1, rax
                   and TF-Ranking as 0); `coverage` tells which share of lists counts.
  equal labels     AUC says nothing of a list of positives alone; NDCG and MAP are 1.
  ties of scores   broken by a random draw from `seed`, the same for every model: else
                   a constant scorer would inherit the order of the log. AUC: a half.
  not finite       scores raise ValueError, as they would give a number all the same.

With y the labels in the new order, place k from 1, n places and P positives:

  ndcg@k     DCG / best DCG, DCG = sum_{i <= k} gain_i / log2(1 + i); gains are taken as
             they are (2^y - 1 where one wants that).
  map@k      sum_{i <= k} y_i precision@i / P, as rax has it: P counts the positives
             below k too (LibRerank divides by those within k).
  mrr        1 / place of the first positive.
  click@k    clicks within the first k; revenue@k: purchases times prices there.
  auc, gauc  share of pairs (positive above negative), by the scores at the logged
             order; gauc is its mean weighted by n, auc that of all places together.
  log_loss   binary cross-entropy, mean over places.

numpy, float64, on the host.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import special, stats

KS = (1, 3, 5, 10)
CLIP = 100.0  # largest weight of a place in SNIPS
FEWEST = 50.0  # effective places below which SNIPS says nothing
BINS = 15  # of the calibration error


class Column(NamedTuple):
    """A metric of R requests.

    Attributes:
      values: float64 [R], NaN where a request says nothing.
      weights: float64 [R] in the mean, 0 there.
    """

    values: np.ndarray
    weights: np.ndarray

    @property
    def mean(self) -> float:
        """Weighted mean; NaN where no request says anything."""
        total = self.weights.sum()
        if not total:
            return float("nan")
        return float(np.sum(np.nan_to_num(self.values) * self.weights) / total)

    @property
    def coverage(self) -> float:
        """Share of the requests that say something."""
        return float(np.mean(self.weights > 0)) if len(self.weights) else float("nan")


def sort_places(scores: np.ndarray, mask: np.ndarray, seed: int = 0) -> np.ndarray:
    """Places of the lists by falling score, padding last.

    Args:
      scores: [R, L].
      mask: bool [R, L], False for padding.
      seed: of the draw that breaks ties.

    Returns:
      int64 [R, L].

    Raises:
      ValueError: a score that is not finite.
    """
    scores, mask = np.asarray(scores, np.float64), np.asarray(mask, bool)
    check_finite(scores, mask)
    ties = np.random.default_rng(seed).random(scores.shape)
    return np.lexsort((ties, -np.where(mask, scores, 0.0), ~mask), axis=-1)


def check_finite(scores: np.ndarray, mask: np.ndarray) -> None:
    """Refuses scores [R, L] that are not finite where mask [R, L] holds."""
    bad = ~np.isfinite(scores) & mask
    if bad.any():
        row, place = np.argwhere(bad)[0]
        raise ValueError(
            f"{bad.sum()} scores are not finite, the first in list {row} at place"
            f" {place}"
        )


def in_order(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Values [R, L] of the shown places, put in a new order [R, L]."""
    return np.take_along_axis(np.asarray(values, np.float64), order, axis=1)


def ndcg(gains: np.ndarray, k: int) -> Column:
    """NDCG@k of gains [R, L] in the new order, 0 in padding."""
    discounts = _discounts(gains, k)
    return _ratio(gains[:, : len(discounts)] @ discounts, _best(gains, discounts))


def ndcg_of_chance(gains: np.ndarray, mask: np.ndarray, k: int) -> Column:
    """NDCG@k of a random order on average: every place holds the mean gain of its list.

    Args:
      gains: [R, L], 0 in padding.
      mask: bool [R, L], padding last.
      k: places that count.
    """
    discounts = _discounts(gains, k)
    mean = np.sum(gains, axis=1, dtype=np.float64) / np.maximum(mask.sum(1), 1)
    places = mask[:, : len(discounts)] @ discounts
    return _ratio(mean * places, _best(gains, discounts))


def _discounts(gains: np.ndarray, k: int) -> np.ndarray:
    """1 / log2(1 + place) of the places up to k: [min(k, L)]."""
    places = np.arange(1, min(k, gains.shape[1]) + 1)
    discounts: np.ndarray = 1 / np.log2(1 + places)
    return discounts


def _best(gains: np.ndarray, discounts: np.ndarray) -> np.ndarray:
    """The largest DCG [R] that an order of gains [R, L] has."""
    ordered = -np.sort(-np.asarray(gains, np.float64), axis=1)
    best: np.ndarray = ordered[:, : len(discounts)] @ discounts
    return best


def average_precision(labels: np.ndarray, k: int) -> Column:
    """MAP@k of labels [R, L] in the new order, 0 in padding; above 0 is positive."""
    hits = np.greater(labels, 0)  # [R, L]
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return _ratio((precision * hits)[:, :k].sum(1), hits.sum(1))


def reciprocal_rank(labels: np.ndarray) -> Column:
    """MRR of labels [R, L] in the new order, 0 in padding; above 0 is positive."""
    hits = np.greater(labels, 0)  # [R, L]
    if not hits.shape[1]:
        return _where(np.zeros(len(hits)), np.zeros(len(hits), bool))
    return _where(1 / (1.0 + hits.argmax(1)), np.any(hits, axis=1))


def total_at(values: np.ndarray, mask: np.ndarray, k: int) -> Column:
    """Sum of the first k of values [R, L] in the new order, 0 in padding."""
    return _where(np.asarray(values)[:, :k].sum(1), np.any(mask, axis=1))


def list_auc(scores: np.ndarray, labels: np.ndarray, mask: np.ndarray) -> Column:
    """AUC of each list by itself, weighted by its places: the mean is GAUC.

    Args:
      scores: [R, L].
      labels: [R, L], above 0 is positive.
      mask: bool [R, L].
    """
    mask = np.asarray(mask, bool)
    scores = np.asarray(scores, np.float64)
    check_finite(scores, mask)
    # Padding shares the lowest ranks, one for each of its places.
    ranks = stats.rankdata(np.where(mask, scores, -np.inf), axis=1)
    ranks = ranks - (~mask).sum(1, keepdims=True)
    positive = mask & (np.asarray(labels) > 0)
    count, places = positive.sum(1), mask.sum(1)
    above = (ranks * positive).sum(1) - count * (count + 1) / 2
    auc = _ratio(above, count * (places - count))
    return Column(auc.values, places * auc.weights)


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """AUC of all places [N] together; NaN where all labels are equal."""
    everything = np.ones((1, len(scores)), bool)
    return list_auc(np.asarray(scores)[None], np.asarray(labels)[None], everything).mean


def log_loss(logits: np.ndarray, labels: np.ndarray, mask: np.ndarray) -> Column:
    """Binary cross-entropy, by list and weighted by its places.

    Args:
      logits: [R, L] of the probability.
      labels: [R, L] in [0, 1].
      mask: bool [R, L].
    """
    logits, mask = np.asarray(logits, np.float64), np.asarray(mask, bool)
    check_finite(logits, mask)
    logits = np.where(mask, logits, 0.0)
    losses = np.logaddexp(0, logits) - np.asarray(labels) * logits
    places = mask.sum(1)
    mean = _ratio(np.where(mask, losses, 0).sum(1), places)
    return Column(mean.values, places.astype(np.float64))


def calibration_error(logits: np.ndarray, labels: np.ndarray) -> float:
    """ECE: |mean probability - mean label| in bins of equal count, by their share.

    Bins of equal width would put nearly all scarce purchases into one.

    Args:
      logits: [N] of all places.
      labels: [N] in [0, 1].
    """
    if not len(logits):
        return float("nan")
    p = special.expit(np.asarray(logits, np.float64))
    gaps = np.asarray(labels, np.float64)[np.argsort(p, kind="stable")] - np.sort(p)
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, BINS)) / len(p))


@dataclasses.dataclass(frozen=True)
class Snips:
    """An off-policy estimate.

    Attributes:
      value: mean reward of a place under the new policy; NaN where too few places
        agree for a number to be told.
      effective_size: (sum w)^2 / sum w^2.
      clipped: share of the agreeing places whose weight was clipped.
    """

    value: float
    effective_size: float
    clipped: float


def snips(
    agrees: np.ndarray,
    rewards: np.ndarray,
    propensities: np.ndarray,
    clip: float = CLIP,
) -> Snips:
    """Self-normalised inverse propensity score: sum w r / sum w, w = agrees / p clipped.

    Swaminathan and Joachims, "The Self-Normalized Estimator for Counterfactual
    Learning", NIPS 2015. Clipping trades bias for variance.

    Args:
      agrees: bool [N], where the new policy puts the item that was logged there; or its
        probability of doing so.
      rewards: [N].
      propensities: p [N] of the logging policy.
      clip: largest weight.

    Raises:
      ValueError: a propensity outside (0, 1].
    """
    agrees, p = np.asarray(agrees, np.float64), np.asarray(propensities, np.float64)
    if not ((p > 0) & (p <= 1)).all():
        raise ValueError("propensities must lie in (0, 1]")
    weights = np.minimum(agrees / p, clip)
    total, used = weights.sum(), agrees > 0
    size = float(total**2 / np.sum(weights**2)) if total else 0.0
    clipped = float(np.mean(agrees[used] / p[used] > clip)) if used.any() else 0.0
    value = float(weights @ rewards / total) if size >= FEWEST else float("nan")
    return Snips(value, size, clipped)


def order_metrics(
    order: np.ndarray, mask: np.ndarray, labels: Mapping[str, np.ndarray]
) -> dict[str, Column]:
    """All metrics of an order.

    Args:
      order: int [R, L], the shown places in the new order, padding last.
      mask: bool [R, L] of the shown places.
      labels: [R, L] at the shown places: "target" for MAP and MRR, "gains" for NDCG,
        "clicks", and "revenue" where prices are known.

    Returns:
      {"ndcg@1", .., "map@10", "mrr", "click@1", .., "revenue@1", ..: column}, k of `KS`.
    """
    placed = in_order(mask, order) > 0
    ranked = {
        name: np.where(placed, in_order(values, order), 0.0)
        for name, values in labels.items()
    }
    columns = {"mrr": reciprocal_rank(ranked["target"])}
    for k in KS:
        columns[f"ndcg@{k}"] = ndcg(ranked["gains"], k)
        columns[f"map@{k}"] = average_precision(ranked["target"], k)
        columns[f"click@{k}"] = total_at(ranked["clicks"], placed, k)
        if "revenue" in ranked:
            columns[f"revenue@{k}"] = total_at(ranked["revenue"], placed, k)
    return columns


def _ratio(above: np.ndarray, below: np.ndarray) -> Column:
    """above / below [R]; nothing where below is 0."""
    known = below > 0
    return _where(np.divide(above, below, out=np.zeros(len(below)), where=known), known)


def _where(values: np.ndarray, known: np.ndarray) -> Column:
    """Values [R] of weight 1 where known, else nothing."""
    return Column(np.where(known, values, np.nan), known.astype(np.float64))
