"""Pictures of forecasts: fans, the PIT, scores by step."""

from typing import TYPE_CHECKING

import numpy as np

from common.reports import figures
from forecast import metrics
from forecast.evaluation import NETWORK, Evaluated
from forecast.panel.hierarchy import sum_groups
from forecast.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BANDS = ((0.05, 0.95), (0.25, 0.75))
_BEFORE = 3  # horizons of history in a fan
_ALL = "sum of all series"
_GROUPS, _SERIES = 3, 4  # of a level, and of series, that are drawn


def draw_fans(run: Run, evaluated: Evaluated) -> "Figure":
    """The last test window of sums and of series: median, 50 % and 90 %.

    All series together, the largest groups of each level of the hierarchy; then series:
    the largest, the smallest, and those between.
    """
    backtest = run.backtest
    start, horizon = backtest.starts[-1], backtest.horizon
    first, panel = max(start - _BEFORE * horizon, 0), backtest.panel
    values, paths = panel.values[: start + horizon], evaluated.paths[-1]  # [S, H, D]
    count = len(panel.ids)
    levels, drawn = (sum_groups(part, panel.groups) for part in (values, paths))
    fans = []  # (title, known [T], paths [S, H])
    for level in reversed(levels) if count > 1 else ():
        names, _, known = levels[level]
        for g in _by_size(known[:start])[:_GROUPS]:
            title = f"{level}: {names[g]}" if level in panel.groups else _ALL
            fans.append((title, known[:, g], drawn[level].values[..., g]))
    places = np.linspace(0, count - 1, min(count, _SERIES)).astype(int)
    for d in _by_size(values[:start])[places]:
        fans.append((panel.ids[d], values[:, d], paths[..., d]))
    figure = figures.new_figure(8.0, 1.9 * len(fans))
    grid = figure.subplots(len(fans), squeeze=False)[:, 0]
    times, ahead = panel.times[first : start + horizon], panel.times[start:][:horizon]
    for axis, (title, known, path) in zip(grid, fans, strict=True):
        figures.style(axis)
        axis.plot(times, known[first:], color="black", linewidth=0.9, label="observed")
        for low, high in _BANDS:
            ends = np.quantile(path, (low, high), axis=0)
            axis.fill_between(ahead, *ends, color="tab:blue", alpha=0.25, linewidth=0)
        axis.plot(ahead, np.median(path, 0), color="tab:blue", label="median")
        axis.set_title(figures.plain(title))
    figures.place_legend_above(grid[0])
    return figure


def _by_size(values: np.ndarray) -> np.ndarray:
    """Numbers of the columns [T, D], the largest mean absolute value first."""
    return np.argsort(-np.nan_to_num(np.abs(values)).mean(0), kind="stable")


def draw_pit(run: Run, evaluated: Evaluated) -> "Figure":
    """How often the truth falls where among the paths: flat where they are honest."""
    values = metrics.pit(evaluated.paths, run.backtest.targets)
    shares = metrics.pit_histogram(values)
    figure = figures.new_figure(6.0, 2.5)
    axis = figures.style(figure.subplots())
    axis.bar((np.arange(len(shares)) + 0.5) / len(shares), shares, 0.9 / len(shares))
    axis.axhline(1 / len(shares), color="black", linewidth=0.8)
    axis.set_xlabel("share of the paths below the truth")
    return figure


def draw_steps(evaluated: Evaluated) -> "Figure":
    """CRPS by step of the horizon, of the network and of each baseline."""
    figure = figures.new_figure(8.0, 3.2)
    axis = figures.style(figure.subplots())
    for name, tables in evaluated.tables.items():
        steps = tables["crps"].by_step
        style = {"color": "black", "lw": 2.0} if name == NETWORK else {"lw": 0.9}
        places = np.arange(1, len(steps) + 1)
        axis.plot(places, steps, label=name.replace("_", " "), **style)
    axis.set_xlabel("step of the horizon")
    axis.set_ylabel("CRPS")
    axis.set_yscale("log")  # a baseline may be very wrong
    axis.legend(fontsize=7)
    return figure
