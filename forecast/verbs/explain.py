"""`--mode=explain`: what sample paths say that quantiles do not.

correlations.png    which series go together in a forecast, step by step
simulations.png     the mean of all paths of two series, beside single ones
what_if.png         the sum, had a covariate that is known ahead been another one
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from common.cli import verbs
from common.cli.app import Command
from common.errors import UserError
from common.reports import figures
from common.tables.cells import quoted
from common.tables.schema import did_you_mean
from forecast import data
from forecast.config import Config, ExplainConfig
from forecast.panel.hierarchy import TOTAL, sum_groups
from forecast.panel.panel import Panel
from forecast.scores.joint import correlate
from forecast.verbs.predict import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST = 30  # series of the map
SINGLE = 3  # simulations
_BEFORE = 2  # horizons of history in a picture
_LONGEST = 20  # letters of a name


class Shown(NamedTuple):
    """What is drawn.

    Attributes:
      panel: T rows, after which the horizon starts.
      truth: [H, D] of the horizon, NaN where not known.
      paths: [S, H, D].
    """

    panel: Panel
    truth: np.ndarray
    paths: np.ndarray


def run(config: Config, command: Command) -> None:
    """Draws the steps after the end of --input, or the last window of the test."""
    model = Model(command.workdir, config)
    horizon = config.window.horizon
    if command.input is not None:
        _, panel = model.read(command.input)
        truth = np.full((horizon, len(panel.ids)), np.nan)
    else:
        backtest = data.load(config, command.say)
        panel = model.arrange(backtest.panel)
        start = backtest.starts[-1]
        truth = panel.values[start : start + horizon]
        panel = panel.prefix(start)
    other = change_known(panel, config.explain, horizon)
    shown = Shown(panel, truth, model.sample_after(panel))
    folder = verbs.drawing_folder(command)
    for line in write(shown, folder):
        command.say(f"note: {line}")
    if other is not None:
        changed = model.sample_after(other)
        title = f"{config.explain.covariate} = {config.explain.value:g}"
        figure = draw_what_if(shown, changed, config.explain.group, title)
        figures.save(figure, folder / "what_if.png")
        command.show(compare(shown.paths, changed, title))
    elif panel.known_names:
        command.say(
            "note: to see what a covariate does, name one as --explain.covariate:"
            f" {', '.join(panel.known_names)}"
        )
    command.show(f"drawn: {folder}")


def write(shown: Shown, folder: pathlib.Path) -> list[str]:
    """Draws correlations and simulations; says what can't be drawn."""
    paths, series = len(shown.paths), len(shown.panel.ids)
    if paths < 2:
        return ["simulations need two paths or more: set --backtest.paths"]
    chosen = find_largest(shown.panel)
    notes, found = [], correlate(shown.paths[..., chosen])
    if series < 2:
        notes.append("one series alone has no correlations")
    else:
        figure = draw_correlations(shown.panel.select(chosen), found)
        figures.save(figure, folder / "correlations.png")
    figure = draw_simulations(shown, chosen[list(choose_pair(found))])
    figures.save(figure, folder / "simulations.png")
    return notes


def find_largest(panel: Panel, count: int = LARGEST) -> np.ndarray:
    """Numbers of the series with the largest mean absolute value, these first."""
    size = np.nan_to_num(np.abs(panel.values)).mean(0)
    return np.argsort(-size, kind="stable")[:count]


def choose_pair(correlations: np.ndarray) -> tuple[int, ...]:
    """The first series and the one that is most like or unlike it; 0 alone of one."""
    others = np.abs(correlations[0, 1:])
    return (0, 1 + int(others.argmax())) if len(others) else (0,)


def order_series(panel: Panel, correlations: np.ndarray) -> np.ndarray:
    """Places of series that belong together side by side.

    By the first level of the hierarchy that has groups, in the order of their largest
    series; else by average-linkage clustering with the distance 1 - r.
    """
    if names := _groups(panel):
        return np.argsort(pd.factorize(np.array(names, object))[0], kind="stable")
    distances = 1 - (correlations + correlations.T) / 2
    np.fill_diagonal(distances, 0)
    tree = hierarchy.average(squareform(distances.clip(0), checks=False))
    return hierarchy.leaves_list(tree)


def _groups(panel: Panel) -> tuple[str, ...]:
    """Of each series, at the first level that parts them; () where none does."""
    return next((names for names in panel.groups.values() if len(set(names)) > 1), ())


def draw_correlations(panel: Panel, correlations: np.ndarray) -> Figure:
    """A map of correlations; lines part the groups of the hierarchy."""
    order, names = order_series(panel, correlations), _groups(panel)
    shown = correlations[np.ix_(order, order)].copy()
    np.fill_diagonal(shown, np.nan)
    count = len(order)
    side = float(np.clip(2.4 + 0.2 * count, 3.6, 8.4))
    figure = figures.new_figure(side + 1, side)
    axes = figure.add_subplot()
    reach = max(float(np.nanmax(np.abs(shown))), 0.1)
    import matplotlib

    colours = matplotlib.colormaps["RdBu_r"].with_extremes(bad="#d9d9d9")
    image = axes.imshow(shown, cmap=colours, vmin=-reach, vmax=reach)
    labels = [_label(panel.ids[place]) for place in order]
    axes.set_xticks(range(count), labels, rotation=90)
    axes.set_yticks(range(count), labels)
    axes.tick_params(length=0, labelsize=7, colors=figures.INK)
    axes.spines[:].set_visible(False)
    for place in range(1, count if names else 0):
        if names[order[place]] != names[order[place - 1]]:
            for line in (axes.axhline, axes.axvline):
                line(place - 0.5, color=figures.INK, linewidth=0.8)
    bar = figure.colorbar(image, ax=axes, shrink=0.75)
    bar.set_label("correlation over the paths of a step, mean over steps", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    first = f"{panel.times_ahead(1)[0]:%Y-%m-%d %H:%M}".removesuffix(" 00:00")
    axes.set_title(f"forecast from {first}: the {count} largest series", fontsize=9)
    return figure


def draw_simulations(shown: Shown, pair: np.ndarray) -> Figure:
    """Two series on one axis: the mean of all simulations, and single ones.

    The mean is smooth and hides what a single run has: steps up and down, and series
    that move together.
    """
    paths, panel = shown.paths[..., pair], shown.panel
    parts = [(f"mean of {len(paths):,} simulations", paths.mean(0))]
    parts += [(f"simulation {n + 1}", path) for n, path in enumerate(paths[:SINGLE])]
    rows, before = -(-len(parts) // 2), -_BEFORE * len(shown.truth)
    figure = figures.new_figure(10.0, 2.5 * rows)
    grid = figure.subplots(rows, 2, sharex=True, sharey=True).flat
    ahead = panel.times_ahead(len(shown.truth))
    for axes, (title, values) in zip(grid, parts, strict=False):
        figures.style(axes)
        for place, drawn, colour in zip(pair, values.T, figures.COLOURS, strict=False):
            known = panel.times[before:], panel.values[before:, place]
            axes.plot(*known, color=colour, linewidth=0.7, alpha=0.6)
            label = _label(panel.ids[place])
            axes.plot(ahead, drawn, color=colour, linewidth=1.5, label=label)
        axes.axvline(panel.times[-1], color="#999999", linewidth=0.8, linestyle=":")
        axes.set_title(title, loc="left", fontsize=9)
    for axes in grid[len(parts) :]:
        axes.set_visible(False)
    figures.place_legend_above(grid[0], 7)
    _fit_dates(figure)
    return figure


def change_known(panel: Panel, options: ExplainConfig, horizon: int) -> Panel | None:
    """The panel with a known covariate changed over the horizon; None if none is named.

    Raises:
      UserError: no such covariate, or no such group.
    """
    name = options.covariate
    if not name:
        return None
    if name not in panel.known_names:
        hint = did_you_mean(name, panel.known_names)
        words = f"must be one of {', '.join(panel.known_names)}{hint}"
        if not panel.known_names:
            words = "no covariate is known ahead"
        raise UserError(f"--explain.covariate={name}: {words}")
    members, rows = find_group(panel, options.group), len(panel.values)
    known = panel.known[: rows + horizon]
    # What is not known ahead stays as it last was, as the network reads it.
    known = np.pad(known, ((0, rows + horizon - len(known)), (0, 0), (0, 0)), "edge")
    column = panel.known_names.index(name)
    known[rows:, members, column] = options.value
    return dataclasses.replace(panel, known=known)


def find_group(panel: Panel, group: str) -> np.ndarray:
    """Numbers of the series of a group at any level, or of one series; all for "".

    Raises:
      UserError: no group and no series of that name.
    """
    if not group:
        return np.arange(len(panel.ids))
    for names in (*panel.groups.values(), panel.ids):
        if group in names:
            return np.flatnonzero([name == group for name in names])
    everything = {name for names in panel.groups.values() for name in names}
    hint = did_you_mean(group, sorted(everything | set(panel.ids)))
    raise UserError(
        f"--explain.group={group}: no group of the hierarchy and no series{hint};"
        f" groups: {', '.join(map(quoted, sorted(everything)[:5])) or 'none'}"
    )


def draw_what_if(shown: Shown, changed: np.ndarray, group: str, title: str) -> Figure:
    """The sum of all series, as it is known and with the change; median and 90 %.

    Of a group also the sum of its series, and of the others, which may lose by it.

    Args:
      shown: as it is known.
      changed: paths [S, H, D] with the change.
      group: whose covariate is changed; "" for all.
      title: what was changed.
    """
    members, count = find_group(shown.panel, group), len(shown.panel.ids)
    parts = [("sum of all series", np.arange(count))]
    if len(members) < count:
        others = np.setdiff1d(np.arange(count), members)
        parts += [(_label(group), members), ("the others", others)]
    figure = figures.new_figure(8.0, 2.4 * len(parts))
    before, panel = -_BEFORE * len(shown.truth), shown.panel
    ahead = panel.times_ahead(len(shown.truth))
    grid = figure.subplots(len(parts), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (name, chosen) in zip(grid, parts, strict=True):
        figures.style(axes)
        known, truth, *drawn = (
            sum_groups(values[..., chosen], {})[TOTAL].values[..., 0]
            for values in (panel.values[before:], shown.truth, shown.paths, changed)
        )
        axes.plot(panel.times[before:], known, color="black", linewidth=0.9)
        axes.plot(ahead, truth, color="black", linewidth=0.9, label="observed")
        labels = "as it is known", title
        for paths, label, colour in zip(drawn, labels, figures.COLOURS, strict=False):
            low, middle, high = np.quantile(paths, (0.05, 0.5, 0.95), axis=0)
            axes.fill_between(ahead, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(ahead, middle, color=colour, label=figures.plain(label))
        axes.set_title(name, loc="left", fontsize=9)
    figures.place_legend_above(grid[0], 7)
    _fit_dates(figure)
    return figure


def compare(paths: np.ndarray, changed: np.ndarray, title: str) -> str:
    """What the change does to the sum over series and horizon, in words."""
    before, after = (each.sum((1, 2), dtype=np.float64) for each in (paths, changed))
    low, high = np.quantile(after - before, (0.05, 0.95))
    return (
        f"sum over the horizon: {before.mean():,.6g} as it is known, {after.mean():,.6g}"
        f" with {title}; the difference on the same draws: {low:,.6g} to {high:,.6g} (90 %)"
    )


def _label(name: str) -> str:
    short = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    return figures.plain(short)


def _fit_dates(figure: Figure) -> None:
    """Dates that do not run into each other."""
    import matplotlib.dates

    for axes in figure.axes:
        locator = matplotlib.dates.AutoDateLocator(maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(locator))
