"""The report page of a training run."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from common.reports import figures, page
from common.reports.claims import Verdict, rows_of
from common.training import activity, metric_writer
from forecast import data
from forecast.evaluation import NETWORK, OF_SUMS, REPORTED, Evaluated, beats
from forecast.figures import draw_fans, draw_pit, draw_steps
from forecast.panel.hierarchy import TOTAL
from forecast.panel.panel import Panel
from forecast.run import Run

FILE = "report.html"
COLUMNS = {
    "crps": "CRPS",
    "crps_sum": "CRPS of the sum",
    "crps_total": "CRPS of a window's total",
    "energy": "energy",
    "variogram": "variogram",
    "wape": "WAPE",
    "mase": "MASE",
    "coverage_90": "in the 90 % interval",
    "bias": "bias",
}
_WORST = 10  # series


def short_table(
    values: Mapping[str, Any],
    model: str,
    split: str = "test",
    columns: Mapping[str, str] = COLUMNS,
) -> list[dict[str, Any]]:
    """Scores of the network and of the baselines, the best CRPS first.

    Args:
      values: contents of metrics.json.
      model: name of the network.
      split: of the windows.
      columns: {score: title}, with one titled CRPS.
    """
    rows = []
    for name in (NETWORK, *REPORTED):
        prefix = f"{split}/" if name == NETWORK else f"{split}/{name}/"
        cells = {t: values.get(prefix + key, "") for key, t in columns.items()}
        if cells["CRPS"] != "":
            title = model if name == NETWORK else name.replace("_", " ")
            rows.append({"forecast": title, **cells})
    return sorted(rows, key=lambda row: row["CRPS"])


def sums_table(
    values: Mapping[str, Any], model: str, panel: Panel, split: str = "test"
) -> list[dict[str, Any]]:
    """Scores of the sums of each level and of all series; nothing of a single series."""
    rows = []
    for level in dict.fromkeys([*panel.groups, TOTAL]) if len(panel.ids) > 1 else ():
        names = [f"level/{level}/{name}" for name in OF_SUMS]
        if level not in panel.groups:
            names[0] = "crps_sum"
        titles = dict(zip(names, map(COLUMNS.__getitem__, OF_SUMS), strict=True))
        found = short_table(values, model, split, titles)
        rows += [{"sums of": level, **row} for row in found]
    return rows


def compare(evaluated: Evaluated) -> list[Verdict]:
    """Whether the network's CRPS beats each baseline's; nothing of a single window."""
    crps = {name: of["crps"].by_window for name, of in evaluated.tables.items()}
    own = crps.pop(NETWORK)
    return [
        beats(f"CRPS below that of {name.replace('_', ' ')}", own, other)
        for name, other in crps.items()
        if len(own) > 1
    ]


@activity.doing("writing the report")
def write(run: Run, workdir: pathlib.Path, evaluated: Evaluated) -> pathlib.Path:
    """Writes report.html and its figures; returns the path of the page."""
    values, panel, model = evaluated.values, run.backtest.panel, run.config.model.name
    curves = metric_writer.read_curves(workdir, "train")
    losses = {
        split: curves[f"{split}/loss"]
        for split in ("train", "validation")
        if f"{split}/loss" in curves
    }
    pictures = {
        "fans": (draw_fans(run, evaluated), _FANS),
        "steps": (draw_steps(evaluated), "CRPS by step of the horizon"),
        "pit": (draw_pit(run, evaluated), _PIT),
        "curves": (figures.learning_curves({"loss": losses}), "Loss a value"),
    }
    saved = {
        name: page.save_picture(figure, workdir / "figures" / f"{name}.png", caption)
        for name, (figure, caption) in pictures.items()
    }
    broken = f"{values['test/broken_paths']:,} of the sample paths were not finite."
    claims = page.Table(rows_of(compare(evaluated)), caption=_CLAIMS)
    sums = page.Table(sums_table(values, model, panel), caption=_SUMS)
    sections: dict[str, list[page.Block]] = {
        "Forecasts": [saved["fans"], page.Text(broken)],
        "Against the baselines": [claims],
        "Sums": [sums],
        "Step by step": [saved["steps"]],
        "Is the spread honest?": [saved["pit"]],
        "Worst series": [page.Table(_worst(panel, evaluated))],
        "Training": [saved["curves"]],
    }
    if not sums.rows:
        del sections["Sums"]
    return page.write_page(
        workdir / FILE,
        f"forecast: {model}",
        "; ".join(data.describe(run.config, run.backtest)) + ".",
        page.Table(short_table(values, model), caption=_NOTE, digits=4),
        [page.Section(title, blocks) for title, blocks in sections.items()],
        run.config,
    )


_NOTE = (
    "Test windows. CRPS and WAPE are errors over the size of what is forecast; of the sum"
    " over all series, and of the sum over a window, the same. Energy and variogram see"
    " how series go together. Lower is better, but for the interval, which should hold"
    " 90 %"
)
_FANS = (
    "The last test window: all series together, the largest groups of each level, and"
    " series from the largest to the smallest; median, 50 % and 90 %"
)
_SUMS = "Of the same paths, which are added up series by series"
_PIT = "Where the truth falls among the paths; flat is honest, a hill too wide"
_CLAIMS = (
    "Baseline minus network, as a share of the baseline's, paired over the test windows by"
    " a block bootstrap"
)


def _worst(panel: Panel, evaluated: Evaluated) -> list[dict[str, Any]]:
    """Series with the largest CRPS over their size."""
    scores = evaluated.tables[NETWORK]["crps"].by_series
    order = np.argsort(-np.nan_to_num(scores, nan=-1.0))[:_WORST]
    return [{"series": panel.ids[d], "CRPS": float(scores[d])} for d in order]
