"""`--mode=reproduce`: Tables 2 to 5, several seeds, and what becomes of the claims."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from common.parallel import processes
from common.reports import claims, result_tables
from common.training import workdirs
from pricer import train
from pricer.config import Config
from pricer.evaluation import COVERAGES
from pricer.paper import rivals, tables
from pricer.paper.tables import Row
from pricer.run import Prepared, Say, prepare


def reproduce(config: Config, workdir: pathlib.Path, say: Say) -> list[str]:
    """Runs the heads of every row with every seed, then writes tables/.

    The networks are trained once, and their features extracted once, for all rows. A
    run that has ended is not run again, and one that was cut off goes on: the whole is
    started again with the same command.

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
    prepared: dict[Any, Prepared] = {}
    results: dict[str, list[dict[str, Any]]] = {row.name: [] for row in rows}
    # Seed by seed, so that a cut-off run leaves whole pairs behind.
    for seed in range(config.reproduce.seeds):
        for row in rows:
            folder = workdir / "runs" / row.name / f"seed{seed}"
            wanted = row.apply(config, seed)
            workdirs.start_record(folder, "pricer", wanted, train.FREE)
            if not (folder / workdirs.METRICS).exists():
                say(f"{row.name}, seed {seed}")
                key = wanted.model.features, wanted.labels, wanted.comparables
                if key not in prepared:
                    prepared[key] = prepare(wanted, workdir / "networks", say)
                run = with_config(prepared[key], wanted)
                if row.boosting:
                    values = boost(run, seed, folder)
                else:
                    _, values, _ = train.train_heads(run, folder, say)
                if jax.process_index() == 0:
                    workdirs.write_metrics(folder / workdirs.METRICS, values)
                processes.wait_for_all("figures written")
            results[row.name].append(workdirs.read_metrics(folder))
    return write_tables(workdir / "tables", config, rows, results)


def with_config(run: Prepared, config: Config) -> Prepared:
    """A prepared run with other heads: the same rows, networks and features."""
    heads = dataclasses.replace(run.heads, config=config)
    return dataclasses.replace(run, config=config, heads=heads)


def boost(run: Prepared, seed: int, folder: pathlib.Path) -> dict[str, Any]:
    """Boosts with one seed; settings are searched with the first, for all.

    Args:
      run: with features and statistics.
      seed: of boosting.
      folder: of the run; the folder above it gets settings.json.

    Returns:
      The contents of metrics.json.
    """
    columns = rivals.columns_of(run.heads, run.examples.rows("test"))
    found = folder.parent / "settings.json"
    if not found.exists():
        settings = rivals.search(columns)
        found.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return rivals.evaluate(
        columns,
        json.loads(found.read_text(encoding="utf-8")),
        seed=seed,
        share=run.config.gate.percentile,
        level=run.config.interval,
        band=run.config.loss.band,
    )


def rival_row(
    title: str, runs: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, Any]:
    """Mean and standard error over seeds of the errors at equal coverage.

    Args:
      title: of the row.
      runs: metrics of each seed.
      names: the metric at each of `COVERAGES`.
    """
    cells = {"row": title}
    for share, name in zip(COVERAGES, names, strict=True):
        column = f"MALE at {share} %"
        cells[column] = result_tables.format_mean([run[name] for run in runs])
    return cells


def rivals_table(
    rows: Sequence[Row], results: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """One row for each rival, and one for what is accepted at random."""
    names = [f"test/male_at_{share}" for share in COVERAGES]
    table = [rival_row(row.title, results[row.name], names) for row in rows]
    if "variance" in results:
        random = ["test/male_all"] * len(COVERAGES)
        table.append(rival_row("random choice", results["variance"], random))
    return table


def result_row(
    row: Row, runs: Sequence[Mapping[str, Any]], *, paper: bool
) -> dict[str, Any]:
    """Mean and standard error over seeds, beside the paper's figures if asked for."""

    def mean(name: str) -> str:
        values = [run[name] for run in runs]
        return "" if None in values else result_tables.format_mean(values)

    cells = {
        "row": row.title,
        "accepted": mean("test/acceptance"),
        "accepted at 0.5": mean("test/acceptance_at_half"),
        "MALE": mean("test/male"),
        "RMSLE": mean("test/rmsle"),
        "MALE of all": mean("test/male_all"),
        "area": mean("test/aurc"),
    }
    if "test/gate_auc" in runs[0]:
        cells["gate AUC"] = mean("test/gate_auc")
    if not paper:
        return cells
    accepted, male, rmsle = row.paper
    return cells | {
        "paper accepted": f"{accepted / 100:.3f}",
        "paper MALE": f"{male:.3f}",
        "paper RMSLE": f"{rmsle:.3f}",
    }


def write_tables(
    folder: pathlib.Path,
    config: Config,
    rows: Sequence[Row],
    results: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[str]:
    """Writes the tables and the claims, as Markdown and CSV; returns their names.

    Args:
      folder: for the tables.
      config: of all runs.
      rows: of the tables.
      results: metrics of each seed by the row's name.
    """
    first = next(row.name for row in rows if not row.boosting)
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
    result_tables.write_table(
        claims.rows_of(tables.verdicts(results)),
        folder / "claims",
        title="Claims of sections 4.3 to 4.6, and of ours",
        notes="Differences in MALE on the accepted items, the worse minus the better."
        f" Held: the paired 95 % interval over seeds lies above 0. {notes}",
    )
    return [*written, "claims"]


def describe(config: Config, values: Mapping[str, Any]) -> str:
    """What a table must say of the runs behind it."""
    networks = config.networks
    found = sorted(
        {name.split("/")[1] for name in values if name.startswith("network/")}
    )
    return (
        f"{values['train/n']:,.0f} training, {values['validation/n']:,.0f} validation"
        f" and {values['test/n']:,.0f} test rows without outliers"
        f" ({values['train/trimmed']:,.0f} training rows trimmed,"
        f" {values['rejected']:,.0f} rejected). Mean ± standard error over"
        f" {config.reproduce.seeds} seeds of the heads; the gate is cut at the"
        " threshold fitted on validation (Table 3: at 0.5). The paper's figures come"
        " from its own data. Networks:"
        f" {', '.join(found)}; ResNet {networks.depth} from {networks.source},"
        f" {config.photos.summary()}, {networks.steps:,} steps of {networks.batch_size}."
        f" Comparables: {config.comparables.count or 'none'}."
        f" Heads: {config.warm_up.steps:,} + {config.train.steps:,} steps of"
        f" {config.train.batch_size}."
    )
