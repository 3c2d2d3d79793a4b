"""The report page of a training run."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from common.reports import figures, page
from common.reports.claims import Verdict, rows_of
from common.training import activity, metric_writer
from forecast import data
from forecast.evaluation import NETWORK, REPORTED, Evaluated, beats
from forecast.figures import draw_fans, draw_pit, draw_steps
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
_CURVES = {"training": "train/loss", "validation": "validation/loss"}
_WORST = 10  # series


def short_table(values: Mapping[str, Any], model: str) -> list[dict[str, Any]]:
    """Scores of the network and of the baselines, the best CRPS first."""
    rows = []
    for name in (NETWORK, *REPORTED):
        prefix = "test/" if name == NETWORK else f"test/{name}/"
        if f"{prefix}crps" in values:
            title = model if name == NETWORK else name.replace("_", " ")
            cells = {t: values.get(prefix + key, "") for key, t in COLUMNS.items()}
            rows.append({"forecast": title, **cells})
    return sorted(rows, key=lambda row: row["CRPS"])


def compare(evaluated: Evaluated) -> list[Verdict]:
    """Whether the network's CRPS beats each baseline's; nothing of a single window."""
    own = evaluated.tables[NETWORK]["crps"].by_window
    if len(own) < 2:
        return []
    return [
        beats(
            f"CRPS below that of {name.replace('_', ' ')}",
            own,
            evaluated.tables[name]["crps"].by_window,
        )
        for name in REPORTED
    ]


@activity.doing("writing the report")
def write(run: Run, workdir: pathlib.Path, evaluated: Evaluated) -> pathlib.Path:
    """Writes report.html and its figures; returns the path of the page."""
    values, folder = evaluated.values, workdir / "figures"
    model = run.config.model.name
    pictures = {
        "fans": (draw_fans(run, evaluated), _FANS),
        "steps": (draw_steps(evaluated), "CRPS by step of the horizon"),
        "pit": (draw_pit(run, evaluated), _PIT),
        "curves": (figures.learning_curves(_curves(workdir)), "Loss a value"),
    }
    saved = {
        name: page.save_picture(figure, folder / f"{name}.png", caption)
        for name, (figure, caption) in pictures.items()
    }
    claims = page.Table(rows_of(compare(evaluated)), caption=_CLAIMS)
    broken = f"{values['test/broken_paths']:,} of the sample paths were not finite."
    return page.write_page(
        workdir / FILE,
        f"forecast: {model}",
        "; ".join(data.describe(run.config, run.backtest)) + ".",
        page.Table(short_table(values, model), caption=_NOTE, digits=4),
        [
            page.Section("Forecasts", [saved["fans"], page.Text(broken)]),
            page.Section("Against the baselines", [claims]),
            page.Section("Step by step", [saved["steps"]]),
            page.Section("Is the spread honest?", [saved["pit"]]),
            page.Section("Worst series", [page.Table(_worst(run, evaluated))]),
            page.Section("Training", [saved["curves"]]),
        ],
        run.config,
    )


_NOTE = (
    "Test windows. CRPS and WAPE are errors over the size of what is forecast; of the sum"
    " over all series, and of the sum over a window, the same. Energy and variogram see"
    " how series go together. Lower is better, but for the interval, which should hold"
    " 90 %"
)
_FANS = (
    "The last test window: the sum, and series from the largest to the smallest; median,"
    " 50 % and 90 %"
)
_PIT = "Where the truth falls among the paths; flat is honest, a hill too wide"
_CLAIMS = (
    "Baseline minus network, as a share of the baseline's, paired over the test windows by"
    " a block bootstrap"
)


def _worst(run: Run, evaluated: Evaluated) -> list[dict[str, Any]]:
    """Series with the largest CRPS over their size."""
    scores = evaluated.tables[NETWORK]["crps"].by_series
    order = np.argsort(-np.nan_to_num(scores, nan=-1.0))[:_WORST]
    return [
        {"series": run.backtest.panel.ids[d], "CRPS": float(scores[d])} for d in order
    ]


def _curves(workdir: pathlib.Path) -> dict[str, dict[str, Any]]:
    curves = metric_writer.read_curves(workdir, "train")
    return {
        "loss": {
            title: curves[name] for title, name in _CURVES.items() if name in curves
        }
    }
