"""When a phase has nothing more to gain, and what to say of one that went on."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

Curves = Mapping[str, tuple[list[int], list[float]]]


@dataclasses.dataclass
class Patience:
    """Counts the evaluations since the best one.

    Attributes:
      limit: evaluations without improvement after which a phase ends; 0 = never.
      mode: "min" or "max", what is an improvement; an equal value is none.
      best: value so far; None before the first that is a number.
      waited: evaluations since.
    """

    limit: int
    mode: str
    best: float | None = None
    waited: int = 0

    def add(self, value: float) -> None:
        """Takes the value of one more evaluation."""
        sign = 1.0 if self.mode == "max" else -1.0
        if self.best is None:
            better = not math.isnan(value)
        else:
            better = sign * value > sign * self.best
        self.waited = 0 if better else self.waited + 1
        self.best = value if better else self.best

    @property
    def over(self) -> bool:
        """Whether the phase shall end."""
        return 0 < self.limit <= self.waited

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"best": self.best, "waited": self.waited, "over": self.over}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Goes on from what `to_json` gave; {} where a checkpoint has none."""
        self.best = saved.get("best")
        self.waited = saved.get("waited", 0)


def describe_rise(curves: Curves, metric: str, mode: str, best_step: int) -> str | None:
    """One sentence where validation got worse after the best step; else None.

    Args:
      curves: of the phase.
      metric: that chose the best step; the loss is looked at where there is one.
      mode: of the metric.
      best_step: steps that the best state has seen.
    """
    if "validation/loss" in curves:
        metric, mode = "loss", "min"
    steps, values = curves[f"validation/{metric}"]
    best = dict(zip(steps, values, strict=True)).get(best_step, math.nan)
    last = values[-1]
    if not (last > best if mode == "min" else last < best):
        return None
    went = "rose" if mode == "min" else "fell"
    return (
        f"validation {metric} {went} from {best:.4g} at step {best_step} to {last:.4g}"
        f" at step {steps[-1]}: fewer steps or --train.patience would do"
    )
