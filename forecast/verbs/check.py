"""`--mode=check`: what to know of the series and the network before training."""

from __future__ import annotations

import contextlib
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from common.cli import verbs
from common.parallel import processes
from common.reports import data_checks, figures, page, proposals, result_tables
from common.reports.data_checks import Cost
from common.reports.page import Picture, Section, Table
from common.reports.proposals import Changes, Pace
from common.tables.cells import quoted
from common.training import workdirs
from common.training.workdirs import Say
from forecast import data
from forecast.config import Config, Sizes
from forecast.panel.backtest import Backtest
from forecast.panel.panel import Panel
from forecast.run import Run, prepare

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = "check.html"
INTERMITTENT = 1.32  # steps from sale to sale, on average; see `describe_series`
_LISTED = 20  # series
# Of these, what of `describe_series` under which name.
_LIST = {"observed": "values", "first": "first", "last": "last", "gaps": "gaps"}
_LIST |= {"longest": "longest gap", "zeros": "zeros", "leading": "at the start"}
_LIST["interval"] = "steps from sale to sale"


def write(config: Config, workdir: pathlib.Path, say: Say) -> tuple[pathlib.Path, str]:
    """Reads the series, runs a few steps, writes check.html and rejected.csv.

    Returns:
      (path of the page, the summary as Markdown).

    Raises:
      UserError: whatever the user can mend.
    """
    processes.start(config.parallel)
    workdirs.make_folder(workdir)
    rejected_file = workdir / data.REJECTED
    backtest = data.load(config, say, rejected_file)
    panel, rejected = backtest.panel, count_rejected(rejected_file, config)
    run = prepare(config, backtest)
    say("measuring a few steps")
    cost = measure_steps(run)
    table = describe_series(panel)
    sizes = run.learner.sizes
    notes = [
        *note_series(table, panel, sizes),
        *note_values(config, panel),
        *note_covariates(panel, sizes.horizon),
        *proposals.propose(
            config,
            config.check.minutes,
            pace_of(run, cost),
            smaller(config),
            lambda changed: measure_pace(changed, backtest, say),
        ).lines(),
    ]
    facts = {
        "frequency": panel.frequency,
        "steps of a season": panel.season,
        "steps back that are read": ", ".join(map(str, sizes.lags)),
        "rejected rows": rejected,
        **count_series(table, len(panel.values)),
        "parameters": cost.parameters,
        "seconds a step": cost.seconds,
        "minutes for all steps": cost.seconds * config.train.steps / 60,
        "peak memory, GiB": data_checks.peak_memory(),
    }
    summary = [{"": name, "found": value} for name, value in facts.items()]
    about = "Sum of all series; the windows of the test are shaded"
    path = page.write_page(
        workdir / FILE,
        "forecast: before training",
        "; ".join(data.describe(config, backtest)) + ".",
        Table(summary),
        [
            *([Section("To look at", [*map(page.Text, notes)])] if notes else []),
            Section("All series", [Picture(draw_sum(backtest), about, about)]),
            Section(
                "Series with most zeros or gaps",
                [Table(list_series(table, len(panel.values)))],
            ),
            Section(
                "Rejected rows",
                data_checks.count_reasons(rejected_file, rejected, "rows"),
            ),
        ],
    )
    return path, "\n".join([result_tables.to_markdown(summary), *notes]).rstrip()


def count_rejected(path: pathlib.Path, config: Config) -> int:
    """Rows in the list of rejections; 0 where nothing was read from a table."""
    if not config.data.path or not path.exists():
        return 0
    return len(pd.read_csv(path))


def describe_series(panel: Panel) -> pd.DataFrame:
    """What each series is like, by its id.

    Returns:
      Columns: "first" and "last" observed row (-1 for none); "observed" values;
      "missing" between first and last, "gaps" that these make, the "longest" of them;
      "zeros" among the observed, those "leading" before the first other value;
      "interval", mean steps from one value that is not 0 to the next, infinite where
      there is none (ADI: Syntetos, Boylan and Croston 2005, "On the Categorization of
      Demand Patterns", call 1.32 or more intermittent); "constant", a single value.
    """
    described = [_describe(values) for values in panel.values.T]
    return pd.DataFrame(described, index=pd.Index(panel.ids, name="series"))


def _describe(values: np.ndarray) -> dict[str, Any]:
    """A row of `describe_series`, of values [T]."""
    rows = np.flatnonzero(np.isfinite(values))
    seen = values[rows]
    missing = np.diff(rows) - 1
    sold = np.flatnonzero(seen)
    return {
        "first": rows[0] if len(rows) else -1,
        "last": rows[-1] if len(rows) else -1,
        "observed": len(rows),
        "missing": missing.sum(),
        "gaps": np.count_nonzero(missing),
        "longest": missing.max(initial=0),
        "zeros": len(seen) - len(sold),
        "leading": sold[0] if len(sold) else len(seen),
        "interval": len(seen) / len(sold) if len(sold) else np.inf,
        "constant": len(seen) > 0 and np.ptp(seen) == 0,
    }


def count_series(table: pd.DataFrame, rows: int) -> dict[str, Any]:
    """How many series are of which kind.

    Args:
      table: of `describe_series`.
      rows: T of the panel.
    """
    zeros = table["zeros"].sum() / max(table["observed"].sum(), 1)
    return {
        "series": len(table),
        "of these, constant": sum(table["constant"]),
        "of these, 0 throughout": sum(table["constant"] & (table["zeros"] > 0)),
        "of these, begin later": sum(table["first"] > 0),
        "of these, end earlier": sum(table["last"] < rows - 1),
        "of these, with gaps": sum(table["gaps"] > 0),
        "longest gap, steps": int(table["longest"].max()),
        "of these, begin with zeros": sum(table["leading"] > 0),
        "zeros among the values": f"{zeros:.1%}",
        f"intermittent (a sale every {INTERMITTENT} steps or less often)": sum(
            table["interval"] >= INTERMITTENT
        ),
    }


def note_series(table: pd.DataFrame, panel: Panel, sizes: Sizes) -> list[str]:
    """Lines on series that a network learns little from, with their names."""
    rows = len(panel.values)
    short = table["observed"] < sizes.past + sizes.horizon
    over = rows - 1 - table["last"] >= sizes.horizon
    ends = f"ended {sizes.horizon} steps or more before the end: leave them out"
    kinds = {
        f"have fewer values than a window of {sizes.past} + {sizes.horizon} steps": short,
        "are constant: any forecast of the same value is right": table["constant"],
        ends: over & ~short,
    }
    return [
        f"{int(bits.sum()):,} series {what} ({data.name_some(panel.ids, bits)})"
        for what, bits in kinds.items()
        if bits.any()
    ]


def note_values(config: Config, panel: Panel) -> list[str]:
    """Lines on values that --window.support does not allow, or allows without need.

    (Counts below 0 end a run: see `data.load`.)
    """
    values, support = panel.values, config.window.support
    below = (values < 0).any(0)
    broken = (np.isfinite(values) & (values != np.round(values))).any(0)
    line = ""
    if support == "real" and not below.any():
        line = "all values are whole and 0 or more: --window.support=count keeps"
        if broken.any():
            line = "all values are 0 or more: --window.support=non_negative keeps"
        line += " forecasts so"
    elif support == "non_negative" and below.any():
        line = (
            f"--window.support={support}, but {below.sum():,} series have values below 0"
            f" ({data.name_some(panel.ids, below)}): correct them or set"
            " --window.support=real"
        )
    elif support == "count" and broken.any():
        line = (
            f"--window.support={support}, but {broken.sum():,} series have values that"
            f" are not whole ({data.name_some(panel.ids, broken)}): set"
            " --window.support=non_negative"
        )
    return [line] if line else []


def note_covariates(panel: Panel, horizon: int) -> list[str]:
    """Lines on covariates that tell nothing, or end before the horizon does."""
    lines = []
    parts = ((panel.known_names, panel.known), (panel.past_names, panel.past))
    for names, values in parts:
        for number, name in enumerate(names):
            numbers = values[..., number]
            if (numbers == numbers[:1]).all():
                lines.append(
                    f"covariate {quoted(name)} never changes: it tells nothing"
                )
    if panel.known_names and panel.future < horizon:
        lines.append(
            f"known covariates end {panel.future} steps after the last value, the horizon"
            f" {horizon}: a forecast of what comes takes them to stay as they last were"
        )
    return lines


def list_series(table: pd.DataFrame, rows: int) -> list[dict[str, Any]]:
    """Series with the most zeros and missing values, at most 20."""
    lack = rows - table["observed"] + table["zeros"]
    lack = lack[lack > 0].sort_values(ascending=False, kind="stable")
    chosen = table.loc[lack.index[:_LISTED], list(_LIST)]
    return chosen.rename(columns=_LIST).reset_index().to_dict("records")


def draw_sum(backtest: Backtest) -> Figure:
    """The sum of all series over time, the windows of the test shaded."""
    panel = backtest.panel
    empty = np.isnan(panel.values).all(1)
    total = np.where(empty, np.nan, np.nansum(panel.values, axis=1, dtype=np.float64))
    figure = figures.new_figure(8.0, 2.6)
    axes = figures.style(figure.add_subplot())
    axes.plot(panel.times, total, color=figures.COLOURS[0], linewidth=0.9)
    for start in backtest.starts:
        ends = panel.times[[start, start + backtest.horizon - 1]]
        axes.axvspan(*ends, color=figures.COLOURS[1], alpha=0.15, linewidth=0)
    return figure


def measure_steps(run: Run) -> Cost:
    """What a step costs, by running a few."""
    with contextlib.closing(run.train_batches(run.config.train, 0)) as batches:  # type: ignore[type-var]
        return data_checks.measure_steps(
            run.execution, run.learner.init, run.learner.step, None, batches
        )


def pace_of(run: Run, cost: Cost) -> Pace:
    """What a run takes.

    A look at a window costs a third of a step of it, and sampling compiles too.
    """
    look = cost.seconds / run.config.train.batch_size / 3
    return Pace(cost.seconds, look * len(run.starts["validation"]), 3 * cost.compiling)


def measure_pace(config: Config, backtest: Backtest, say: Say) -> Pace:
    """What a run of another config takes on the same series."""
    say(f"trying batches of {config.train.batch_size}, {config.model.cells} cells")
    run = prepare(config, backtest)
    return pace_of(run, measure_steps(run))


def smaller(config: Config) -> list[Changes]:
    """What makes a step cheaper, from a little to a lot."""
    batch = proposals.lower(config, {"train.batch_size": 16})
    narrow = {"model.condition": 32, "model.flow_hidden": 32, "model.flow_layers": 2}
    net = proposals.lower(config, {**narrow, "model.blocks": 2, "model.cells": 20})
    return [batch, {**batch, **net}]


run = verbs.check(write)
