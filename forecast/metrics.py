"""How good sample paths of many series are: marginal, joint and point scores.

A backtest has W windows of H steps of D series. Each comes as paths [S, H, D], finite,
and targets [H, D], NaN where nothing was observed. A score is a `Table` of numerators
and weights; its mean is a ratio of sums, so that it can be read by step, by series and
by window too. With f_q a quantile of the paths, m their median, a their mean, y the
target, s_d the scale of the seasonal naive forecast in the history:

  crps           2 |(f_q - y) (1[y <= f_q] - q)|, mean of 19 q, over |y|: one ratio of
                 sums, `mean_wQuantileLoss` of the published tables.
  crps_fair      mean |x - y| - sum |x - x'| / (2 S (S - 1)), over |y|: without the bias
                 of few paths. |x - y| where there is one path.
  *_sum          of the sum over series, where both sides leave out what is missing in
                 the target. (GluonTS leaves it out of the target alone.)
  *_total        of the sum over the horizon, likewise, by series; crps_sum_total of
                 both sums.
  wape (= ND)    |m - y| over |y|;  bias: (a - y) over |y|.
  mse            (a - y)^2.
  mase           |m - y| / s_d;  rmsse: root mean square over a window's steps of a - y,
                 by that of the naive forecast.
  msis           width of the 95 % interval + 40 x what it misses y by, over s_d.
  coverage_90    share of targets within the central 90 % of the paths. Between order
                 statistics i < j of S paths, counted from 1, a perfect ensemble covers
                 (j - i) / (S + 1): .881 of S = 100.
  energy         mean ||x - y|| - sum ||x - x'|| / (2 S^2) over the series of a step;
                 energy_path: over all steps and series of a window together.
  variogram      (|y_i - y_j|^p - mean |x_i - x_j|^p)^2, p = 1/2, mean of pairs (i, j)
                 of series at a step; at most 1,000 of them, the same of each seed.

All-zero targets leave a ratio without a denominator: the mean numerator of an observed
value stands instead, in the units of the data, so that a perfect forecast still has 0
and a better one less. What has no observed target at all is NaN in `by_step` and
`by_series`, and has no part in the mean.

Sources: Gneiting, Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation",
JASA 102 (2007), for CRPS and energy; Ferro, "Fair scores for ensemble forecasts", QJRMS
140 (2014); Scheuerer, Hamill, "Variogram-Based Proper Scoring Rules", Monthly Weather
Review 143 (2015); Hyndman, Koehler, "Another look at measures of forecast accuracy",
IJF 22 (2006), for MASE; Makridakis et al., "The M4 Competition", IJF 36 (2020), for
MSIS, "The M5 Accuracy competition", IJF 38 (2022), for RMSSE.
"""

import numpy as np

from forecast.scores import joint, marginal
from forecast.scores.marginal import pit, pit_histogram
from forecast.scores.tables import Column, Table, Windows, summed, tabulate

__all__ = ["Table", "crps", "crps_sum", "energy", "pit", "pit_histogram", "score"]


def score(
    paths: Windows, targets: Windows, history: np.ndarray, season: int, seed: int = 0
) -> dict[str, Table]:
    """All scores as tables.

    Args:
      paths: [W, S, H, D]; or W times [S, H, D] one by one, so that they need not lie in
        memory together.
      targets: [W, H, D], NaN where not observed.
      history: [T, D], rows before the first window.
      season: steps.
      seed: of the pairs of the variogram score.

    Returns:
      {name: table}, names as above.

    Raises:
      ValueError: shapes don't fit, a path is not finite, or no target is observed.
    """
    scale = marginal.naive_scale(history, season)
    pairs = joint.draw_pairs(np.shape(history)[1], seed)

    def columns(path: np.ndarray, target: np.ndarray) -> dict[str, Column]:
        found = marginal.unscaled(path, target) | marginal.scaled(path, target, scale)
        found |= joint.energy(path, target)
        if pairs.size:
            found["variogram"] = joint.variogram(path, target, pairs)
        whole = summed(path, target, 0)
        found |= {
            f"{k}_total": v for k, v in marginal.unscaled(*whole).items() if k != "mse"
        }
        found["crps_sum"] = marginal.crps(*summed(path, target, 1))
        found["crps_sum_total"] = marginal.crps(*summed(*whole, 1))
        return found

    tables = tabulate(columns, paths, targets)
    if not tables["mse"].weights.any():
        raise ValueError("no target is observed: there is nothing to score")
    return tables


def crps(paths: Windows, targets: Windows) -> Table:
    """The table [W, H, D] of crps alone; Args as for `score`."""
    return tabulate(lambda *of: {"crps": marginal.crps(*of)}, paths, targets)["crps"]


def crps_sum(paths: Windows, targets: Windows) -> Table:
    """The table [W, H, 1] of crps_sum alone; Args as for `score`."""
    return tabulate(
        lambda path, target: {"crps": marginal.crps(*summed(path, target, 1))},
        paths,
        targets,
    )["crps"]


def energy(paths: Windows, targets: Windows) -> Table:
    """The table [W, H, 1] of energy alone; Args as for `score`."""
    return tabulate(joint.energy, paths, targets)["energy"]
