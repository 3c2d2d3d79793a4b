"""`--mode=reproduce`: Tables 3 and 4, several seeds, and what becomes of the claims."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from common.reports import claims, result_tables
from common.training import workdirs
from ican import train
from ican.config import Config
from ican.metrics import TOP
from ican.paper import rivals, tables
from ican.paper.tables import Row
from ican.run import Prepared, prepare
from ican.train import Say


def reproduce(config: Config, workdir: pathlib.Path, say: Say) -> None:
    """Runs every row with every seed, then writes tables/.

    A run that has ended is not run again, and one that was cut off goes on: the whole
    is started again with the same command.

    Args:
      config: of all runs; kind, cells and seed are set by row and run.
      workdir: gets runs/<row>/seed<k> and tables/.
      say: prints a line of progress.

    Raises:
      UserError: whatever the user can mend.
    """
    rows = tables.choose_rows(config.reproduce.rows)
    results: dict[str, list[dict[str, Any]]] = {row.name: [] for row in rows}
    # Seed by seed, so that a cut-off run leaves whole pairs behind.
    for seed in range(config.reproduce.seeds):
        for row in rows:
            folder = workdir / "runs" / row.name / f"seed{seed}"
            if not (folder / workdirs.METRICS).exists():
                say(f"{row.name}, seed {seed}")
            run = _boost if row.is_boosting else _train
            results[row.name].append(run(row, config, seed, folder))
    write_tables(workdir / "tables", config, rows, results)


def _train(
    row: Row, config: Config, seed: int, workdir: pathlib.Path
) -> dict[str, Any]:
    """Metrics of a network; read where it has ended under the same settings."""
    config = row.apply(config, seed)
    if not (workdir / workdirs.METRICS).exists():
        return train.train_and_evaluate(config, workdir)
    workdirs.start_record(workdir, "ican", config, train.FREE)
    return workdirs.read_metrics(workdir)


def _boost(
    row: Row, config: Config, seed: int, workdir: pathlib.Path
) -> dict[str, Any]:
    """Metrics of gradient boosting; its settings are searched with the first seed."""
    path, found = workdir / workdirs.METRICS, workdir.parent / "settings.json"
    config = tables.with_seed(config, seed)
    workdirs.start_record(workdir, "ican", config, train.FREE)
    if path.exists():
        return workdirs.read_metrics(workdir)
    run = _open(row, config, workdir)
    columns = rivals.columns_of(run.examples, photos=row.kind == "boosting")
    if not found.exists():
        settings = rivals.search(run.examples, columns)
        found.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    settings = json.loads(found.read_text(encoding="utf-8"))
    values: dict[str, Any] = rivals.evaluate(
        run.examples, columns, settings, seed=seed, level=config.interval
    )
    workdirs.write_metrics(path, values)
    return values


def _open(row: Row, config: Config, workdir: pathlib.Path) -> Prepared:
    """The data as a network of the same inputs reads it."""
    kind = "concatenation" if row.kind == "boosting" else "attributes"
    model = dataclasses.replace(config.model, kind=kind)
    return prepare(dataclasses.replace(config, model=model), workdir)


def result_row(row: Row, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard error over seeds, beside the paper's figures."""
    cells: dict[str, Any] = {"model": row.title}
    for k in TOP:
        cells[f"top-{k}"] = result_tables.format_mean([r[f"test/top{k}"] for r in runs])
    cells["MALE"] = result_tables.format_mean([r["test/male"] for r in runs])
    for k, figure in zip(TOP[1:], row.paper, strict=False):
        cells[f"paper top-{k}"] = f"{figure / 100:.3f}"
    return cells


def _majority_row(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = {f"top-{k}": f"test/majority/top{k}" for k in TOP}
    names["MALE"] = "test/majority/male"
    cells: dict[str, Any] = {"model": "majority"}
    for column, name in names.items():
        values = [run[name] for run in runs]
        same = len(set(values)) == 1  # all seeds have one split
        cells[column] = (
            f"{values[0]:.3f}" if same else result_tables.format_mean(values)
        )
    return cells


def write_tables(
    folder: pathlib.Path,
    config: Config,
    rows: Sequence[Row],
    results: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Writes results and claims, as Markdown and CSV.

    Args:
      folder: for the tables.
      config: of all runs.
      rows: of the table.
      results: metrics of each seed by the row's name.
    """
    table = [result_row(row, results[row.name]) for row in rows]
    networks = [row.name for row in rows if not row.is_boosting]
    notes = describe(config)
    if networks:
        runs = results[networks[0]]
        table.append(_majority_row(runs))
        first, where = runs[0], ""
        if config.reproduce.resplit:
            where = " in the first split"
        notes = (
            f"{first['train/n']:,} training, {first['validation/n']:,} validation and"
            f" {first['test/n']:,} test rows, {first['rejected']:,} rejected{where}. {notes}"
        )
    result_tables.write_table(
        table, folder / "results", title="Tables 3 and 4", notes=notes
    )
    top3 = {name: [run["test/top3"] for run in runs] for name, runs in results.items()}
    verdicts = tables.verdicts(top3) + pointing_verdicts(results)
    result_tables.write_table(
        claims.rows_of(verdicts),
        folder / "claims",
        title="Claims of section 5.5",
        notes="Differences in top-3 accuracy, or in the share of hits. Held: the paired"
        f" 95 % interval over seeds lies above 0. {notes}",
    )


def pointing_verdicts(
    results: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[claims.Verdict]:
    """Judges, for each row with attention, whether it finds the ring's stone."""
    return [
        claims.judge(
            f"attention finds the stone more often than the best constant place ({name})",
            [run["test/pointing"] for run in runs],
            [run["test/pointing_prior"] for run in runs],
        )
        for name, runs in results.items()
        if all("test/pointing" in run for run in runs)
    ]


def describe(config: Config) -> str:
    """What a table must say of the runs behind it."""
    backbone = config.backbone
    origin = backbone.origin or pathlib.Path(backbone.weights).name or "random weights"
    part = f" up to stage {backbone.stages}" if backbone.stages < 4 else ""
    side = backbone.side(config.photos.crop)
    splits = ", each with its own split," if config.reproduce.resplit else ""
    return (
        f"Mean ± standard error over {config.reproduce.seeds} seeds{splits} on the test rows;"
        f" the paper's figures come from its own data. Backbone: ResNet"
        f" {backbone.depth}{part} from {origin},"
        f" {'frozen' if backbone.frozen else 'trained along'},"
        f" {config.photos.summary()}, maps of {side} x {side}; {config.train.steps:,} steps of"
        f" {config.train.batch_size}."
    )
