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
_NAMED = 5  # series of a note


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
    values = panel.values
    there = np.isfinite(values)
    rows, observed = len(values), there.sum(0)
    any_there = observed > 0
    first = np.where(any_there, there.argmax(0), -1)
    last = np.where(any_there, rows - 1 - there[::-1].argmax(0), -1)
    sold = there & (values != 0)
    before = np.where(sold.any(0), sold.argmax(0), rows)
    places = np.arange(rows)[:, None]
    zeros = there & ~sold
    low = np.where(there, values, np.inf).min(0)
    high = np.where(there, values, -np.inf).max(0)
    inside = ~there & (places > first) & (places < last)
    starts = inside & ~np.pad(inside, ((1, 0), (0, 0)))[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        interval = observed / sold.sum(0)
    return pd.DataFrame(
        {
            "first": first,
            "last": last,
            "observed": observed,
            "missing": inside.sum(0),
            "gaps": starts.sum(0),
            "longest": _longest(inside),
            "zeros": zeros.sum(0),
            "leading": (zeros & (places < before[None])).sum(0),
            "interval": np.where(any_there, interval, np.inf),
            "constant": any_there & (low == high),
        },
        index=pd.Index(panel.ids, name="series"),
    )


def _longest(bits: np.ndarray) -> np.ndarray:
    """The longest run of True in each column of bits [T, D]."""
    rows = np.arange(1, len(bits) + 1)[:, None]
    return (rows - np.maximum.accumulate(np.where(bits, 0, rows), axis=0)).max(0)


def count_series(table: pd.DataFrame, rows: int) -> dict[str, Any]:
    """How many series are of which kind.

    Args:
      table: of `describe_series`.
      rows: T of the panel.
    """
    zeros = table["zeros"].sum() / max(table["observed"].sum(), 1)
    return {
        "series": len(table),
        "of these, constant": int(table["constant"].sum()),
        "of these, 0 throughout": int(_all_zero(table).sum()),
        "of these, begin later": int((table["first"] > 0).sum()),
        "of these, end earlier": int((table["last"] < rows - 1).sum()),
        "of these, with gaps": int((table["gaps"] > 0).sum()),
        "longest gap, steps": int(table["longest"].max()),
        "of these, begin with zeros": int((table["leading"] > 0).sum()),
        "zeros among the values": f"{zeros:.1%}",
        f"intermittent (a sale every {INTERMITTENT} steps or less often)": int(
            (table["interval"] >= INTERMITTENT).sum()
        ),
    }


def _all_zero(table: pd.DataFrame) -> pd.Series:
    return (table["observed"] > 0) & (table["zeros"] == table["observed"])


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
        f"{int(bits.sum()):,} series {what} ({_name(table.index[bits])})"
        for what, bits in kinds.items()
        if bits.any()
    ]


def note_values(config: Config, panel: Panel) -> list[str]:
    """Lines on values that --window.support does not allow, or allows without need."""
    values, support = panel.values, config.window.support
    with np.errstate(invalid="ignore"):
        below = (values < 0).any(0)
        broken = np.isfinite(values) & (values != np.round(values))
    ids = np.array(panel.ids, object)
    flag = f"--window.support={support}"
    lines = []
    if support != "real" and below.any():
        lines.append(
            f"{flag}, but {int(below.sum()):,} series have values below 0"
            f" ({_name(ids[below])}): correct them or set --window.support=real"
        )
    if support == "count" and broken.any():
        bits = broken.any(0)
        lines.append(
            f"{flag}, but {int(bits.sum()):,} series have values that are not whole"
            f" ({_name(ids[bits])}): set --window.support=non_negative"
        )
    if support == "real" and not below.any():
        fitting = "non_negative" if broken.any() else "count"
        what = "0 or more" if broken.any() else "whole and 0 or more"
        lines.append(
            f"all values are {what}: --window.support={fitting} keeps forecasts so"
        )
    return lines


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
    lack = (rows - table["observed"] + table["zeros"]).sort_values(
        ascending=False, kind="stable"
    )
    return [
        {
            "series": name,
            "values": int(row["observed"]),
            "first": int(row["first"]),
            "last": int(row["last"]),
            "gaps": int(row["gaps"]),
            "longest gap": int(row["longest"]),
            "zeros": int(row["zeros"]),
            "at the start": int(row["leading"]),
            "steps from sale to sale": float(row["interval"]),
        }
        for name, row in table.loc[lack.index[lack > 0][:_LISTED]].iterrows()
    ]


def _name(ids: Any) -> str:
    """The first few ids, and how many more there are."""
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    return ", ".join(map(quoted, ids[:_NAMED])) + more


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
