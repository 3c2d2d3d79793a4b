"""How good suggestions are on the items that the gate accepts.

An error on accepted items says nothing without the share that was accepted: the risk
at every coverage, and its area, are the honest summary (Geifman and El-Yaniv, Selective
Classification for Deep Neural Networks). numpy, float64.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd


@dataclasses.dataclass(frozen=True)
class RiskCoverage:
    """Mean risk of the items that are kept, for every share that is kept.

    Attributes:
      coverage: [n] shares 1/n, 2/n, …, 1.
      risk: [n] mean risk of the k items with the highest scores; where scores tie, the
        expectation over their order.
    """

    coverage: np.ndarray
    risk: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, risks: np.ndarray) -> "RiskCoverage":
        """The curve.

        Args:
          scores: [n], high for items to keep first.
          risks: [n], such as absolute log errors.
        """
        scores, risks = np.asarray(scores, np.float64), np.asarray(risks, np.float64)
        order = np.argsort(-scores, kind="stable")
        _, block, sizes = np.unique(
            -scores[order], return_inverse=True, return_counts=True
        )
        means = np.bincount(block, weights=risks[order]) / sizes
        kept = np.arange(1, len(scores) + 1)
        return cls(kept / max(len(scores), 1), np.cumsum(means[block]) / kept)

    @property
    def area(self) -> float:
        """Mean risk over all coverages (AURC)."""
        return float(np.mean(self.risk)) if len(self.risk) else float("nan")

    def at(self, coverage: float) -> float:
        """Risk where a share of the items is kept, between curve points linear."""
        return float(np.interp(coverage, self.coverage, self.risk))


def accepted_metrics(errors: np.ndarray, accepted: np.ndarray) -> dict[str, float]:
    """Acceptance, MALE and RMSLE of the accepted items (paper, Eq. 5 and 6).

    MALE = mean |log p_hat - log p|, RMSLE = sqrt(mean (log p_hat - log p)^2).

    Args:
      errors: [n] log price minus suggestion.
      accepted: bool [n].

    Returns:
      {"n_accepted", "acceptance", "male", "rmsle"}; the errors are NaN where none is
      accepted.
    """
    errors, accepted = np.asarray(errors, np.float64), np.asarray(accepted, bool)
    kept = errors[accepted]
    some = len(kept) > 0
    return {
        "n_accepted": float(len(kept)),
        "acceptance": float(accepted.mean()) if len(accepted) else float("nan"),
        "male": float(np.abs(kept).mean()) if some else float("nan"),
        "rmsle": float(np.sqrt(np.mean(kept**2))) if some else float("nan"),
    }


def selling_metrics(errors: np.ndarray, band: float) -> dict[str, float]:
    """What a suggestion means for a seller, over the items given.

    Args:
      errors: [n] log sold price minus log suggestion.
      band: half width in log price.

    Returns:
      {"above": share of suggestions above the sold price, "log_gain": mean log of
      suggestion over sold price, "in_band": share within the band}.
    """
    errors = np.asarray(errors, np.float64)
    if not len(errors):
        return {name: float("nan") for name in ("above", "log_gain", "in_band")}
    return {
        "above": float(np.mean(errors < 0)),
        "log_gain": float(np.mean(-errors)),
        "in_band": float(np.mean(np.abs(errors) <= band)),
    }


def by_class(
    errors: np.ndarray, accepted: np.ndarray, classes: np.ndarray
) -> Mapping[str, dict[str, float]]:
    """`accepted_metrics` of each class, and "n", its items: {class: metrics}.

    Args:
      errors: [n].
      accepted: bool [n].
      classes: [n] names.
    """
    names = np.asarray(classes, dtype=str)
    table = {}
    for name in sorted(set(names.tolist())):
        here = names == name
        table[name] = {
            "n": float(here.sum()),
            **accepted_metrics(errors[here], accepted[here]),
        }
    return table


def area_under_roc(scores: np.ndarray, positive: np.ndarray) -> float:
    """P(score of a positive > score of a negative) + P(they tie) / 2.

    Args:
      scores: [n].
      positive: bool [n].

    Returns:
      0 to 1; NaN where there is only one kind.
    """
    positive = np.asarray(positive, bool)
    above, below = int(positive.sum()), int((~positive).sum())
    if not above or not below:
        return float("nan")
    ranks = pd.Series(scores).rank().to_numpy()
    smallest = above * (above + 1) / 2  # sum of the ranks if all were lowest
    return float((ranks[positive].sum() - smallest) / (above * below))
