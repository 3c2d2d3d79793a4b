"""`--mode=reproduce`: Tables 2 to 5, several seeds, and what becomes of the claims."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from common.cli import verbs
from common.layers import backbone_sizes
from common.parallel import processes
from common.parallel.processes import is_first_process
from common.reports import paper_rows, result_tables
from common.reports.paper_rows import Results, Row, Runs, mean_cell
from common.training.workdirs import RunRecord, Say
from pricer import train
from pricer.config import Config
from pricer.evaluation import COVERAGES
from pricer.paper import rivals, tables
from pricer.run import Run, prepare

COLUMNS = {
    "accepted": "test/acceptance",
    "accepted at 0.5": "test/acceptance_at_half",
    "MALE": "test/male",
    "RMSLE": "test/rmsle",
    "MALE of all": "test/male_all",
    "area": "test/aurc",
    "gate AUC": "test/gate_auc",  # where the truth is known
}


def reproduce(config: Config, workdir: pathlib.Path, say: Say) -> list[str]:
    """Runs the heads of every row with every seed, then writes tables/.

    The networks are trained once, and their features extracted once, for all rows.

    Args:
      config: of all runs; constraint, features, warm-up and seed are set by row and
        run.
      workdir: gets networks/, runs/<row>/seed<k> and tables/. The runs keep figures,
        predictions and checkpoints, but no model to predict with: `train` makes that.
      say: prints a line of progress.

    Returns:
      Names of the tables that were written, in their order.

    Raises:
      UserError: whatever the user can mend.
    """
    processes.start(config.parallel)
    rows = tables.choose_rows(config.reproduce.rows, config)
    prepared: dict[Any, Run] = {}

    def run(row: Row, changed: Config, record: RunRecord) -> dict[str, Any]:
        key = changed.model.features, changed.labels, changed.comparables
        if key not in prepared:
            prepared[key] = prepare(changed, workdir / "networks", say)
        opened = with_config(prepared[key], changed)
        if row.rival:
            return boost(opened, record)
        _, values, _ = train.train_heads(opened, record, say)
        return values

    results = paper_rows.run_rows(
        rows, config, workdir, system="pricer", free=train.FREE, run=run, say=say
    )
    if is_first_process():
        return write_tables(workdir / "tables", config, rows, results)
    return []


def with_config(run: Run, config: Config) -> Run:
    """A prepared run with other heads: the same rows, networks and features."""
    heads = dataclasses.replace(run.heads, config=config)
    return dataclasses.replace(run, config=config, heads=heads)


def boost(run: Run, record: RunRecord) -> dict[str, Any]:
    """Metrics of gradient boosting; its settings are searched with the first seed."""
    record.add_data(run.examples.listings.fingerprint)
    columns = rivals.columns_of(run.heads, run.examples.rows("test"))
    path = record.workdir.parent / "settings.json"
    if not path.exists():
        settings = rivals.search(columns)
        path.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return rivals.evaluate(
        columns,
        json.loads(path.read_text(encoding="utf-8")),
        seed=run.config.train.seed,
        share=run.config.gate.percentile,
        level=run.config.interval,
        band=run.config.loss.band,
    )


def rival_row(title: str, runs: Runs, names: Sequence[str]) -> dict[str, Any]:
    """Mean and standard error over seeds of the errors at equal coverage.

    Args:
      title: of the row.
      runs: metrics of each seed.
      names: the metric at each of `COVERAGES`.
    """
    cells = {"row": title}
    for share, name in zip(COVERAGES, names, strict=True):
        cells[f"MALE at {share} %"] = mean_cell(runs, name)
    return cells


def rivals_table(rows: Sequence[Row], results: Results) -> list[dict[str, Any]]:
    """One row for each rival, and one for what is accepted at random."""
    names = [f"test/male_at_{share}" for share in COVERAGES]
    table = [rival_row(row.title, results[row.name], names) for row in rows]
    if "variance" in results:
        random = ["test/male_all"] * len(COVERAGES)
        table.append(rival_row("random choice", results["variance"], random))
    return table


def result_row(row: Row, runs: Runs, *, paper: bool) -> dict[str, Any]:
    """Mean and standard error over seeds, beside the paper's figures if asked for."""
    cells = {"row": row.title}
    for column, name in COLUMNS.items():
        if name in runs[0]:
            cells[column] = mean_cell(runs, name)
    if not paper:
        return cells
    accepted, male, rmsle = row.paper
    return cells | {
        "paper accepted": f"{accepted / 100:.3f}",
        "paper MALE": f"{male:.3f}",
        "paper RMSLE": f"{rmsle:.3f}",
    }


def write_tables(
    folder: pathlib.Path, config: Config, rows: Sequence[Row], results: Results
) -> list[str]:
    """Writes the tables and the claims, as Markdown and CSV; returns their names.

    Args:
      folder: for the tables.
      config: of all runs.
      rows: of the tables.
      results: metrics of each seed by the row's name.
    """
    first = next(row.name for row in rows if not row.rival)
    notes = describe(config, results[first][0])
    written = []
    for name, title in tables.TITLES.items():
        chosen = [row for row in rows if name in row.tables]
        if not chosen:
            continue
        written.append(name)
        table = (
            rivals_table(chosen, results)
            if name == tables.RIVALS
            else [
                result_row(row, results[row.name], paper=name in tables.OF_THE_PAPER)
                for row in chosen
            ]
        )
        result_tables.write_table(table, folder / name, title=title, notes=notes)
    paper_rows.write_claims(
        folder,
        paper_rows.verdicts(tables.CLAIMS, results),
        "Claims of sections 4.3 to 4.6, and of ours",
        "MALE on the accepted items, the worse minus the better",
        notes,
    )
    return [*written, "claims"]


def describe(config: Config, values: Mapping[str, Any]) -> str:
    """What a table must say of the runs behind it."""
    networks = config.networks
    tasks = {name.split("/")[1] for name in values if name.startswith("network/")}
    return (
        f"{values['train/n']:,.0f} training, {values['validation/n']:,.0f} validation"
        f" and {values['test/n']:,.0f} test rows without outliers"
        f" ({values['train/trimmed']:,.0f} training rows trimmed,"
        f" {values['rejected']:,.0f} rejected)."
        f" {paper_rows.describe_mean(config.reproduce.seeds)} (of the heads); the gate is"
        " cut at the threshold fitted on validation (Table 3: at 0.5). The paper's figures come"
        " from its own data. Networks:"
        f" {', '.join(sorted(tasks))}; {backbone_sizes.title(networks.network)} from {networks.source},"
        f" {config.photos.summary()}, {networks.steps:,} steps of {networks.batch_size}."
        f" Comparables: {config.comparables.count or 'none'}."
        f" Heads: {config.warm_up.steps:,} + {config.train.steps:,} steps of"
        f" {config.train.batch_size}."
    )


run = verbs.reproduce(reproduce)
