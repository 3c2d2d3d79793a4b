"""What a trained pricer is worth on a split, and how it is calibrated before that."""

import dataclasses
from typing import Any

import numpy as np

from common.reports import calibration
from pricer import metrics
from pricer.gate import SHORTFALL, Threshold
from pricer.metrics import RiskCoverage
from pricer.model import Suggestion

COVERAGES = (30, 50, 70)  # percent, at which rivals are compared
COLLAPSED = 0.01  # share below which a gate has closed for good


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Fitted on validation rows.

    Attributes:
      threshold: of the gate; the paper's 0.5 where no share was asked for.
      radius: half width of the price interval of accepted items, in log price.
      level: share of accepted prices that the interval is to hold.
    """

    threshold: Threshold
    radius: float
    level: float

    @classmethod
    def fit(
        cls,
        suggestion: Suggestion,
        log_prices: np.ndarray,
        share: float | None,
        level: float,
    ) -> "Calibration":
        """Fits threshold and radius.

        Args:
          suggestion: of the validation rows.
          log_prices: [n].
          share: of items to accept; None to leave the threshold at 0.5.
          level: of the interval.
        """
        threshold = (
            Threshold()
            if share is None
            else Threshold.fit(suggestion.gate_logit, share)
        )
        accepted = threshold.accepts(suggestion.gate_logit)
        residuals = (log_prices - suggestion.log_price)[accepted]
        radius = calibration.conformal_radius(residuals, level)
        return cls(threshold, radius, level)

    def to_json(self) -> dict[str, float]:
        """A JSON value that `from_json` turns back."""
        return {
            "threshold": self.threshold.logit,
            "radius": self.radius,
            "level": self.level,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Calibration":
        """Inverse of `to_json`."""
        return cls(
            Threshold(float(value["threshold"])),
            float(value["radius"]),
            float(value["level"]),
        )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came out on the whole test split.

    Attributes:
      suggestion: for each of its rows.
      calibration: fitted on validation.
    """

    suggestion: Suggestion
    calibration: Calibration


def measure(
    suggestion: Suggestion, log_prices: np.ndarray, fitted: Calibration, band: float
) -> dict[str, float]:
    """Flat metrics of some rows.

    "male", "rmsle", "acceptance" and so on are at the calibrated threshold, with the
    suffix "_at_half" at the paper's f_cls >= 0.5, with "_all" over all items, and
    "male_at_30" is that of the 30 % with the highest scores.

    Args:
      suggestion: of the rows.
      log_prices: [n].
      fitted: on validation.
      band: half width in log price of what counts as a good suggestion.
    """
    errors = np.asarray(log_prices, np.float64) - suggestion.log_price
    accepted = fitted.threshold.accepts(suggestion.gate_logit)
    values = {"n": float(len(errors))}
    values |= metrics.accepted_metrics(errors, accepted)
    at_half = metrics.accepted_metrics(
        errors, Threshold().accepts(suggestion.gate_logit)
    )
    whole = metrics.accepted_metrics(errors, np.ones(len(errors), bool))
    values |= {f"{name}_at_half": value for name, value in at_half.items()}
    values |= {f"{name}_all": whole[name] for name in ("male", "rmsle")}
    curve = RiskCoverage.of(suggestion.gate_logit, np.abs(errors))
    best = RiskCoverage.of(-np.abs(errors), np.abs(errors))
    values |= {"aurc": curve.area, "aurc_best": best.area}
    # At equal coverage, for rivals whose thresholds accept other shares.
    values |= {f"male_at_{share}": curve.at(share / 100) for share in COVERAGES}
    values |= metrics.selling_metrics(errors[accepted], band)
    inside = np.abs(errors[accepted]) <= fitted.radius
    values["coverage"] = float(inside.mean()) if len(inside) else float("nan")
    values["interval_ratio"] = float(np.exp(2 * fitted.radius))
    return values


def warning(share: float, acceptance: float) -> str:
    """A line where the gate itself accepts too little of what it was told; else ""."""
    if acceptance >= share - SHORTFALL:
        return ""
    if acceptance < COLLAPSED:
        return (
            f"the gate accepts {acceptance:.1%} of the validation rows, so the regression"
            " has nothing left to learn from: raise --optimizer.warmup_steps or lower"
            " --optimizer.learning_rate"
        )
    return (
        f"the gate accepts {acceptance:.1%} of the validation rows at 0.5, told were"
        f" {share:.0%}: raise --gate.beta or train longer; the calibrated threshold"
        " makes up for it"
    )
