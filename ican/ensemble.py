"""Multiple Classifier Ensemble: shifted coarse classifiers that vote for a zone.

N_c classifiers see the price line in K coarse classes each, bands of width b with
both ends open, and every classifier's bands are shifted by b / N_c against the one
before (paper, section 4.4). With e_first the lowest edge of the zones,

    B_k[j] = e_first - b + (k + 1) b / N_c + j b        k < N_c,  j < K - 1

are the boundaries of classifier k, and a value is of class c where c boundaries are
at or below it. K is the least count for which every shifted grid spans the edges:
K = ceil((e_last - e_first) / b + 1 - 1 / N_c) + 2, which is the paper's 7 for its
edges, b = 180 dollars and N_c = 20.

Class c of classifier k gives zone j the vote w_k[c, j] = min(1, overlap / step), with
the overlap of band and zone, the end zones and end bands unbounded. Perfect
classifiers then always elect the right zone, provided that b / N_c divides the step;
this is checked at construction. It holds for even zones only, so an ensemble is built
in the zone coordinate (`ican.zones`), where all steps are 1 and the paper's b is 4.

The config imports this module, so JAX is imported only where it is needed.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from common.config.configs import check_bounds, knob
from common.errors import UserError
from ican.zones import Zones, ZonesConfig, even_edges

if TYPE_CHECKING:
    import jax

_QUICK = 20_000  # edges x classifiers that are checked in milliseconds
_SNAP = 1e-9  # relative to the step: a boundary this close to an edge is meant to be it


@dataclasses.dataclass(frozen=True)
class EnsembleConfig:
    """The coarse classifiers; the defaults are the paper's (section 4.4)."""

    classifiers: int = knob(20, "coarse classifiers, each shifted", low=1, high=1000)
    band: float = knob(
        4.0, "width of a coarse class, in zones (paper: 180 of 45 dollars)", low=0.0
    )
    vote: Literal["soft", "hard"] = knob(
        "soft", "votes by class probability, or one vote for the likeliest class"
    )

    def __post_init__(self):
        check_bounds(self)


def class_boundaries(edges: np.ndarray, band: float, classifiers: int) -> np.ndarray:
    """Boundaries of the coarse classes, on the scale of evenly spaced edges.

    Args:
      edges: J - 1 evenly spaced values.
      band: b, width of a coarse class on the same scale.
      classifiers: N_c.

    Returns:
      float64 [N_c, K - 1], rising along the last axis.
    """
    if band <= 0:
        raise UserError(f"the band of the coarse classes must be positive, not {band}")
    first, last = edges[0], edges[-1]
    span = (last - first) / band + 1 - 1 / classifiers
    classes = math.ceil(span - _SNAP) + 2
    shift = np.arange(1, classifiers + 1) * band / classifiers
    boundaries = first - band + shift[:, None] + np.arange(classes - 1) * band
    step = _step(edges)
    nearest = first + np.round((boundaries - first) / step) * step
    return np.where(abs(boundaries - nearest) < _SNAP * step, nearest, boundaries)


def _step(edges: np.ndarray) -> float:
    return (edges[-1] - edges[0]) / (len(edges) - 1)


def vote_weights(boundaries: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Votes of every coarse class: min(1, overlap of band and zone / step).

    Args:
      boundaries: [N_c, K - 1].
      edges: J - 1 evenly spaced values on the same scale.

    Returns:
      float64 [N_c, K, J].
    """
    step = _step(edges)
    open_end = np.full((len(boundaries), 1), np.inf)
    band_low = np.concatenate([-open_end, boundaries], 1)[..., None]  # [N_c, K, 1]
    band_high = np.concatenate([boundaries, open_end], 1)[..., None]  # [N_c, K, 1]
    zone_low, zone_high = np.array([-np.inf, *edges]), np.array([*edges, np.inf])
    overlap = np.minimum(band_high, zone_high) - np.maximum(band_low, zone_low)
    return np.clip(overlap / step, 0.0, 1.0)


def coarse_classes(boundaries: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Classes int32 [..., N_c] of values [...]: the number of boundaries <= value."""
    values = np.asarray(values, np.float64)[..., None]  # [..., 1]
    classes = np.zeros((*values.shape[:-1], len(boundaries)), np.int32)
    for boundary in boundaries.T:  # one at a time: N is the whole training set
        classes += boundary <= values
    return classes  # [..., N_c]


def perfect_votes(
    boundaries: np.ndarray, weights: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Zone scores [N, J] of classifiers that all name the true class of values [N]."""
    classes = coarse_classes(boundaries, values)  # [N, N_c]
    return weights[np.arange(len(boundaries)), classes].sum(1)  # [N, J]


def check_recovery(
    boundaries: np.ndarray, weights: np.ndarray, edges: np.ndarray
) -> None:
    """Checks that perfect classifiers elect the right zone at every value.

    Votes and labels change only at boundaries and edges, so one value inside each
    interval between them decides about all.

    Raises:
      UserError: with the share of the price line that is lost.
    """
    marks = np.unique(np.concatenate([boundaries.ravel(), edges]))
    marks = np.concatenate([[marks[0] - 1], marks, [marks[-1] + 1]])
    values, lengths = (marks[1:] + marks[:-1]) / 2, np.diff(marks)
    elected = perfect_votes(boundaries, weights, values).argmax(1)
    right = elected == np.searchsorted(edges, values, side="right")
    if not right.all():
        lost = 100 * lengths[~right].sum() / lengths.sum()
        raise UserError(
            f"even perfect coarse classifiers would name a wrong zone on {lost:.1f} %"
            " of the price line: choose ensemble.band and ensemble.classifiers so that"
            " band / classifiers divides one zone (band 4 and 20 classifiers do)"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """The classifiers over a fitted set of zones.

    Attributes:
      zones: the J price zones.
      config: N_c, band and kind of vote.
      boundaries: float64 [N_c, K - 1] in zone coordinates.
      weights: float64 [N_c, K, J] votes of each class.
      present: bool [N_c, K], False for a class that no training item has; it is
        taken out of the softmax.
    """

    zones: Zones
    config: EnsembleConfig
    boundaries: np.ndarray
    weights: np.ndarray
    present: np.ndarray

    @property
    def classifiers(self) -> int:
        """Number of classifiers N_c."""
        return self.present.shape[0]

    @property
    def classes(self) -> int:
        """Number of coarse classes K of each classifier."""
        return self.present.shape[1]

    def targets(self, prices: np.ndarray) -> np.ndarray:
        """Coarse classes int32 [N, N_c] of actual prices [N].

        With labels alone, give the centres of the zones.
        """
        return coarse_classes(self.boundaries, self.zones.coordinate(prices))

    def class_counts(self, prices: np.ndarray) -> np.ndarray:
        """How many of the prices [N] fall into each class: int64 [N_c, K]."""
        return np.stack(
            [
                np.bincount(column, minlength=self.classes)
                for column in self.targets(prices).T
            ]
        )

    def class_probabilities(self, logits: jax.Array) -> jax.Array:
        """Softmax over the present classes of each classifier, in float32 or more.

        Args:
          logits: [B, N_c, K].

        Returns:
          [B, N_c, K]; exactly 0 for classes without a training item.
        """
        import jax
        import jax.numpy as jnp

        logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
        return jax.nn.softmax(logits, where=jnp.asarray(self.present)[None])

    def scores(self, logits: jax.Array) -> jax.Array:
        """Zone scores: votes of all classifiers, summed.

        score_j = sum over k, c of softmax(logits_k)_c w_k[c, j]; hard votes put one
        at the likeliest class instead.

        Args:
          logits: [B, N_c, K].

        Returns:
          [B, J], between 0 and N_c.
        """
        import jax
        import jax.numpy as jnp

        votes = self.class_probabilities(logits)
        if self.config.vote == "hard":
            votes = jax.nn.one_hot(votes.argmax(-1), self.classes, dtype=votes.dtype)
        weights = jnp.asarray(self.weights, votes.dtype)
        return jnp.einsum("bkc,kcj->bj", votes, weights)

    def to_dict(self) -> dict[str, Any]:
        """JSON form; boundaries and weights follow from it."""
        return {
            "zones": self.zones.to_dict(),
            "config": dataclasses.asdict(self.config),
            "present": self.present.astype(int).tolist(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Ensemble:
        """Reads the JSON form."""
        ensemble = _all_present(
            EnsembleConfig(**record["config"]), Zones.from_dict(record["zones"])
        )
        present = np.asarray(record["present"], bool)
        return dataclasses.replace(ensemble, present=present)


def build(config: EnsembleConfig, zones: Zones, train_prices: np.ndarray) -> Ensemble:
    """Builds the ensemble over fitted zones.

    Args:
      config: N_c, band and kind of vote.
      zones: the price zones.
      train_prices: [N]; classes that none of them has leave the softmax.

    Raises:
      UserError: where perfect classifiers would not recover every zone.
    """
    ensemble = _all_present(config, zones)
    present = ensemble.class_counts(train_prices) > 0
    return dataclasses.replace(ensemble, present=present)


def _all_present(config: EnsembleConfig, zones: Zones) -> Ensemble:
    edges = np.arange(len(zones.edges), dtype=np.float64)
    boundaries = class_boundaries(edges, config.band, config.classifiers)
    weights = vote_weights(boundaries, edges)
    check_recovery(boundaries, weights, edges)
    present = np.ones(weights.shape[:2], bool)
    return Ensemble(zones, config, boundaries, weights, present)


@functools.cache
def check_fit(config: EnsembleConfig, zones: ZonesConfig) -> None:
    """Refuses zones and classifiers that no prices could bring together.

    Args:
      config: N_c and band.
      zones: how the price line is to be cut; where the edges of quantile zones will lie
        does not matter, for the classifiers see the zone coordinate.

    Raises:
      UserError: even edges that can't be had, or perfect classifiers would not recover
        every zone.
    """
    if zones.kind == "even":
        edges = even_edges(zones.first, zones.last, zones.step)
    else:
        edges = tuple(np.arange(1.0, zones.count).tolist())
    if len(edges) * config.classifiers <= _QUICK:
        _all_present(config, Zones(edges, zones.log_inside))
