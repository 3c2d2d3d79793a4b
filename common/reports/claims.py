"""What becomes of a claim: a difference over pairs, with its interval.

Pairs are seeds (`verdict_on`), all pairs of a seed and a request of one test split
(`verdict_over_pairs`), or windows of time that follow each other
(`verdict_over_windows`).
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

_ROUNDING = 1e-9  # of means of figures: 0.41 is no more than 0.01 below 0.42
_DRAWS = 10_000  # of the bootstrap over windows


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What becomes of a claim.

    Attributes:
      claim: its text.
      difference: mean over pairs of better minus worse.
      low: lower end of the paired 95 % interval.
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
    return _verdict(claim, mean, differences.var(ddof=1) / count, count - 1, margin)


def verdict_over_pairs(
    claim: str,
    better: npt.ArrayLike,
    worse: npt.ArrayLike,
    margin: float | None = None,
) -> Verdict:
    """Tests a difference over seeds and requests, where seeds share the requests.

    Both count as drawn at random: d[s, r] = mean + seed[s] + request[r] + rest[s, r],
    so that what holds is expected of another seed and of other requests of the kind.
    From the mean squares of the two-way table, MS_s = R var_s(mean_r d),
    MS_r = S var_r(mean_s d) and MS_e = sum(rest^2) / ((S-1)(R-1)),

        variance of the mean = (MS_s + max(MS_r - MS_e, 0)) / (S R)

    which is the two-way cluster-robust one (over seeds, plus over requests, minus over
    single pairs) with its small-sample corrections, and never below that over seeds.
    Degrees of freedom are (a + b)^2 / (a^2 / (S-1) + b^2 / (R-1)) for its two terms a
    and b: never fewer than the fewer of seeds and requests have.

    Sources: Cameron, Gelbach, Miller, "Robust Inference With Multiway Clustering", J.
    Business & Economic Statistics 29 (2011), for the variance; Hillis, "A comparison of
    denominator degrees of freedom methods for multiple observer ROC analysis",
    Statistics in Medicine 26 (2007), for the bound and the first term of the degrees of
    freedom, with readers and cases in the place of seeds and requests.

    Args:
      claim: its text.
      better: figures [S, R] of what is said to be better.
      worse: figures [S, R] of the other, same seeds and requests in the same order.
      margin: as for `verdict_on`.

    Raises:
      ValueError: a figure is not finite, or there is no table of two of the same shape.
    """
    better, worse = np.asarray(better, np.float64), np.asarray(worse, np.float64)
    if better.ndim != 2 or better.shape != worse.shape:
        raise ValueError(f"figures are [S, R] twice, not {better.shape}, {worse.shape}")
    table = better - worse  # [S, R]
    if not np.isfinite(table).all():
        raise ValueError("a figure is not finite: leave that request out of all seeds")
    seeds, requests = table.shape
    mean = float(table.mean())
    if seeds < 2 or requests < 2:
        return Verdict(claim, mean, -math.inf, math.inf, False)
    of_seed = table.mean(axis=1, keepdims=True)  # [S, 1]
    of_request = table.mean(axis=0, keepdims=True)  # [1, R]
    rest = table - of_seed - of_request + mean
    free_s, free_r = seeds - 1, requests - 1
    square_s = requests * of_seed.var(ddof=1)
    square_r = seeds * of_request.var(ddof=1)
    square_e = (rest**2).sum() / (free_s * free_r)
    of_requests = max(square_r - square_e, 0.0)
    square = square_s + of_requests
    terms = square_s**2 / free_s + of_requests**2 / free_r
    freedom = square**2 / terms if terms > 0 else free_s
    return _verdict(claim, mean, square / table.size, freedom, margin)


def verdict_over_windows(
    claim: str,
    better: npt.ArrayLike,
    worse: npt.ArrayLike,
    block: int = 1,
    margin: float | None = None,
    seed: int = 0,
) -> Verdict:
    """Tests a difference over windows of time by a circular block bootstrap.

    Windows that follow each other resemble each other, so blocks of them are resampled:
    their starts are drawn from all W windows alike, the first follows the last, and the
    last block is cut so that W windows are drawn. The interval is that of the 2.5 and
    97.5 percentiles of the mean of the differences in `_DRAWS` samples.

    It is of these models and these windows: another seed of training is not in it, so
    give each window's mean over seeds, and `verdict_on` beside it. Percentiles are
    somewhat narrow where there are few blocks.

    Source: Politis, Romano, "A Circular Block-Resampling Procedure for Stationary
    Data", in: Exploring the Limits of Bootstrap (1992).

    Args:
      claim: its text.
      better: figures [W] of what is said to be better, higher is better: a loss with
        its sign changed.
      worse: figures [W] of the other, same windows in the order of time.
      block: windows in a block; as many as resemble each other, 1 for independent ones.
      margin: as for `verdict_on`.
      seed: of the draws; the same gives the same interval.

    Raises:
      ValueError: a figure is not finite, there are not as many of both, or the block is
        not between 1 and W.
    """
    better, worse = np.asarray(better, np.float64), np.asarray(worse, np.float64)
    if better.ndim != 1 or better.shape != worse.shape or not better.size:
        raise ValueError(f"figures are [W] twice, not {better.shape}, {worse.shape}")
    differences = better - worse
    if not np.isfinite(differences).all():
        raise ValueError("a figure is not finite: leave that window out of both")
    count = len(differences)
    if not 1 <= block <= count:
        raise ValueError(f"a block has 1 to {count} windows, not {block}")
    mean = float(differences.mean())
    if count < 2:
        return Verdict(claim, mean, -math.inf, math.inf, False)
    rng = np.random.default_rng(seed)
    starts = rng.integers(count, size=(_DRAWS, -(-count // block), 1))
    drawn = (starts + np.arange(block)) % count  # [draws, blocks, block]
    means = differences[drawn.reshape(_DRAWS, -1)[:, :count]].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return _judged(claim, mean, float(low), float(high), margin)


def _verdict(
    claim: str, mean: float, variance: float, freedom: float, margin: float | None
) -> Verdict:
    """Of a mean whose variance is estimated with some degrees of freedom."""
    # The quantile of Student's t; scipy.stats would take a second to import.
    half = float(special.stdtrit(freedom, 0.975) * math.sqrt(variance))
    return _judged(claim, mean, mean - half, mean + half, margin)


def _judged(
    claim: str, mean: float, low: float, high: float, margin: float | None
) -> Verdict:
    """Of a mean and its interval."""
    held = low > 0
    if margin is not None:
        held = mean >= -margin - _ROUNDING and high >= 0
    return Verdict(claim, mean, low, high, held)


def rows_of(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Verdicts as rows of a result table; one without an interval is open."""
    rows = []
    for verdict in verdicts:
        interval, here = f"{verdict.low:+.3f} to {verdict.high:+.3f}", "not held"
        if math.isinf(verdict.high - verdict.low):
            interval, here = "none: a single run", "open"
        elif verdict.held:
            here = "held"
        elif verdict.high < 0:
            here = "lost"
        difference = f"{verdict.difference:+.3f}"
        rows.append(
            {
                "claim": verdict.claim,
                "difference": difference,
                "95 % interval": interval,
                "here": here,
            }
        )
    return rows
