"""Pictures of forecasts: fans, the PIT, scores by step."""

from typing import TYPE_CHECKING

import numpy as np

from common.reports import figures
from forecast import metrics
from forecast.evaluation import NETWORK, Evaluated
from forecast.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BANDS = ((0.05, 0.95), (0.25, 0.75))
_BEFORE = 3  # horizons of history in a fan


def draw_fans(run: Run, evaluated: Evaluated, count: int = 4) -> "Figure":
    """The last test window of series and of their sum: median, 50 % and 90 %.

    The series are the largest, the smallest, and those between.
    """
    backtest, paths = run.backtest, evaluated.paths[-1]  # [S, H, D]
    start, horizon = backtest.starts[-1], backtest.horizon
    first = max(start - _BEFORE * horizon, 0)
    rows = slice(first, start + horizon)
    values, times = backtest.panel.values[rows], backtest.panel.times[rows]
    size = np.nan_to_num(np.abs(backtest.panel.values[:start])).mean(0)
    order = np.argsort(-size)
    chosen = order[np.linspace(0, len(order) - 1, min(count, len(order))).astype(int)]
    panels = [(backtest.panel.ids[d], values[:, d], paths[..., d]) for d in chosen]
    if len(order) > 1:
        whole = np.where(np.isnan(values).all(1), np.nan, np.nansum(values, axis=1))
        panels.insert(0, ("sum of all series", whole, paths.sum(-1)))
    figure = figures.new_figure(8.0, 1.9 * len(panels))
    axes = figure.subplots(len(panels), squeeze=False)[:, 0]
    for axis, (title, known, drawn) in zip(axes, panels, strict=True):
        figures.style(axis)
        axis.plot(times, known, color="black", linewidth=0.9, label="observed")
        ahead = times[start - first :]
        for low, high in _BANDS:
            ends = np.quantile(drawn, (low, high), axis=0)
            axis.fill_between(ahead, *ends, color="tab:blue", alpha=0.25, linewidth=0)
        axis.plot(ahead, np.median(drawn, 0), color="tab:blue", label="median")
        axis.set_title(figures.plain(title))
    axes[0].legend(fontsize=8, loc="upper left")
    return figure


def draw_pit(run: Run, evaluated: Evaluated) -> "Figure":
    """How often the truth falls where among the paths: flat where they are honest."""
    values = metrics.pit(evaluated.paths, run.backtest.targets, 0)
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
        own = name == NETWORK
        axis.plot(
            np.arange(1, len(steps) + 1),
            steps,
            label=name.replace("_", " "),
            linewidth=2.0 if own else 0.9,
            color="black" if own else None,
        )
    axis.set_xlabel("step of the horizon")
    axis.set_ylabel("CRPS")
    axis.set_yscale("log")  # a baseline may be very wrong
    axis.legend(fontsize=7)
    return figure
