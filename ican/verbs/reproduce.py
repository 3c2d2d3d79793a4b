"""`--mode=reproduce`: Tables 3 and 4, several seeds, and what becomes of the claims."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.cli import verbs
from common.layers.backbone_sizes import title
from common.parallel import processes
from common.parallel.processes import is_first_process
from common.reports import boosting, paper_rows, result_tables
from common.reports.paper_rows import Results, Row, Runs, figures_of, mean_cell
from common.training.workdirs import RunRecord, Say
from ican import evaluation, train
from ican.config import Config
from ican.data import Examples
from ican.metrics import TOP
from ican.paper import rivals, tables
from ican.run import prepare

BAND = 2.576  # standard errors to either side, which hold 99 % of a normal variable


def reproduce(config: Config, workdir: pathlib.Path, say: Say) -> list[str]:
    """Runs every row with every seed, then writes tables/.

    Args:
      config: of all runs; kind, cells and seed are set by row and run.
      workdir: gets runs/<row>/seed<k> and tables/.
      say: prints a line of progress.

    Returns:
      Names of the tables that were written, in their order.

    Raises:
      UserError: whatever the user can mend.
    """
    processes.start(config.parallel)
    rows = tables.choose_rows(config.reproduce.rows)

    def run(row: Row, changed: Config, record: RunRecord) -> dict[str, Any]:
        if row.rival:
            return evaluate_rival(row, changed, record)
        return train.train_prepared(prepare(changed, record.workdir), record, say)

    results = paper_rows.run_rows(
        rows, config, workdir, system="ican", free=train.FREE, run=run, say=say
    )
    if is_first_process():
        return write_tables(workdir / "tables", config, rows, results)
    return []


def evaluate_rival(row: Row, config: Config, record: RunRecord) -> dict[str, Any]:
    """Metrics of a linear or a boosted rival, under the names that networks have.

    Args:
      row: its `rival` names model and inputs: "boosting attributes photo".
      config: of the run.
      record: of its workdir.
    """
    model, *inputs = row.rival.split()
    # The data as a network of the same inputs reads it.
    kind = "concatenation" if "photo" in inputs else "attributes"
    changed = dataclasses.replace(config.model, kind=kind)
    opened = prepare(dataclasses.replace(config, model=changed), record.workdir)
    examples = opened.examples
    record.add_data(examples.listings.fingerprint)
    if model == "linear":
        words, attributes = "words" in inputs, "attributes" in inputs
        figures = rivals.evaluate_linear(examples, words=words, attributes=attributes)
    else:
        figures = boost(examples, inputs, config.train.seed, record.workdir.parent)
    return evaluation.with_prefix("test", figures)


def boost(
    examples: Examples, inputs: Sequence[str], seed: int, folder: pathlib.Path
) -> dict[str, float]:
    """Figures of gradient boosting; its settings are searched with the first seed.

    Args:
      examples: rows and zones.
      inputs: what it reads: attributes, and words or photo beside.
      seed: of its draws.
      folder: of all seeds, keeps the settings.
    """
    columns = rivals.columns_of(
        examples, words="words" in inputs, photos="photo" in inputs
    )
    found = boosting.keep(folder, lambda: rivals.search(examples, columns))
    return rivals.evaluate(examples, columns, found, seed=seed)


def result_row(row: Row, runs: Runs) -> dict[str, Any]:
    """Mean and standard error over seeds, beside the paper's figures."""
    cells: dict[str, Any] = {"model": row.title}
    for k in TOP:
        cells[f"top-{k}"] = mean_cell(runs, f"test/top{k}")
    cells["MALE"] = mean_cell(runs, "test/male")
    for k, figure in zip(TOP[1:], row.paper, strict=False):
        cells[f"paper top-{k}"] = f"{figure / 100:.3f}"
    return cells


def price_row(row: Row, runs: Runs, level: float) -> dict[str, Any]:
    """How good the price and its interval are: means over seeds, see `BAND`."""
    shares, errors = (
        np.array(figures_of(runs, name))
        for name in ("test/coverage", "test/coverage_error")
    )
    inside = abs(shares - level) <= BAND * errors
    return {
        "model": row.title,
        "MALE": mean_cell(runs, "test/male"),
        "coverage": mean_cell(runs, "test/coverage"),
        "inside the band": f"{inside.sum()} of {len(inside)}",
        "coverage, constant factor": mean_cell(runs, "test/coverage_constant"),
        "width": mean_cell(runs, "test/width"),
        "width, constant factor": mean_cell(runs, "test/width_constant"),
        "price in the likeliest zone": mean_cell(runs, "test/price_in_best"),
        "in the three likeliest": mean_cell(runs, "test/price_in_best3"),
    }


def majority_row(runs: Runs) -> dict[str, Any]:
    """The majority baseline; without an error where all seeds have one split."""
    names = {f"top-{k}": f"test/majority/top{k}" for k in TOP}
    names["MALE"] = "test/majority/male"
    cells: dict[str, Any] = {"model": "majority"}
    for column, name in names.items():
        same = len(np.unique([run[name] for run in runs])) == 1
        cells[column] = f"{runs[0][name]:.3f}" if same else mean_cell(runs, name)
    return cells


def write_tables(
    folder: pathlib.Path, config: Config, rows: Sequence[Row], results: Results
) -> list[str]:
    """Writes results and claims, as Markdown and CSV; returns their names.

    Args:
      folder: for the tables.
      config: of all runs.
      rows: of the table.
      results: metrics of each seed by the row's name.
    """
    table = [result_row(row, results[row.name]) for row in rows]
    runs = results[next(row.name for row in rows if not row.rival)]
    table.append(majority_row(runs))
    notes = describe(config)
    where = " in the first split" if config.reproduce.resplit else ""
    counted = (
        f"{runs[0]['train/n']:,} training, {runs[0]['validation/n']:,} validation and"
        f" {runs[0]['test/n']:,} test rows, {runs[0]['rejected']:,} rejected{where}."
    )
    result_tables.write_table(
        table, folder / "results", title="Tables 3 and 4", notes=f"{counted} {notes}"
    )
    result_tables.write_table(
        [
            price_row(row, results[row.name], config.interval)
            for row in rows
            if not row.rival
        ],
        folder / "prices",
        title="Suggested prices and their intervals",
        notes=f"Intervals meant to hold {config.interval:.0%} of prices. Inside the band:"
        " in how many runs the share differs from that by at most 2.58 standard errors"
        " (99 %), which count groups of near-copies among the test rows and the"
        " validation rows behind the interval. Width: mean log of the upper over the lower"
        f" end. {notes}",
    )
    paper_rows.write_claims(
        folder,
        paper_rows.verdicts(tables.CLAIMS, results),
        "Claims of section 5.5",
        "top-3 accuracy, in MALE (positive: lower), or in the share of hits",
        notes,
    )
    return ["results", "prices", "claims"]


def describe(config: Config) -> str:
    """What a table must say of the runs behind it."""
    backbone = config.backbone
    part = f" up to stage {backbone.stages}" if backbone.stages < 4 else ""
    side = backbone.side(config.photos.crop)
    splits = ", each with its own split" if config.reproduce.resplit else ""
    return (
        f"On the test rows. {paper_rows.describe_mean(config.reproduce.seeds)}{splits};"
        f" the paper's figures come from its own data. Backbone:"
        f" {title(backbone.network)}{part} from {backbone.source},"
        f" {'frozen' if backbone.frozen else 'trained along'},"
        f" {config.photos.summary()}, maps of {side} x {side}; {config.train.steps:,} steps of"
        f" {config.train.batch_size}."
    )


run = verbs.reproduce(reproduce)
