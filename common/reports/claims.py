"""What becomes of a claim: a difference over paired seeds, with its interval."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

_ROUNDING = 1e-9  # of means of figures: 0.41 is no more than 0.01 below 0.42


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What becomes of a claim.

    Attributes:
      claim: its text.
      difference: mean over seeds of better minus worse.
      low: lower end of the paired 95 % interval over seeds.
      high: upper end.
      held: whether the interval lies above 0, or, where a margin is given, whether the
        difference is no more than that below 0 and the interval not wholly below.
    """

    claim: str
    difference: float
    low: float
    high: float
    held: bool


def verdict_on(
    claim: str,
    better: npt.ArrayLike,
    worse: npt.ArrayLike,
    margin: float | None = None,
) -> Verdict:
    """Tests a difference by Student's t over paired seeds.

    Args:
      claim: its text.
      better: a figure for each seed, of what is said to be better.
      worse: the figures of the other, the same seeds in the same order.
      margin: where the claim is that `better` is not behind, how far its mean may lie
        below; None where it must be better.
    """
    differences = np.asarray(better, np.float64) - np.asarray(worse, np.float64)
    count = len(differences)
    mean = float(differences.mean())
    if count < 2:
        return Verdict(claim, mean, -math.inf, math.inf, False)
    # The quantile of Student's t; scipy.stats would take a second to import.
    quantile = special.stdtrit(count - 1, 0.975)
    half = float(quantile * differences.std(ddof=1) / math.sqrt(count))
    held = mean - half > 0
    if margin is not None:
        held = mean >= -margin - _ROUNDING and mean + half >= 0
    return Verdict(claim, mean, mean - half, mean + half, held)


def rows_of(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Verdicts as rows of a result table."""
    return [
        {
            "claim": verdict.claim,
            "difference": f"{verdict.difference:+.3f}",
            "95 % interval": f"{verdict.low:+.3f} to {verdict.high:+.3f}",
            "here": "held" if verdict.held else "not held",
        }
        for verdict in verdicts
    ]
