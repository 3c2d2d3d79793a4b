"""`--mode=reproduce`: Tables 3 and 4, several seeds, and what becomes of the claims."""

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from common import result_tables, workdirs
from ican import tables, train
from ican.config import Config
from ican.metrics import TOP
from ican.tables import Row

Say = Callable[[str], None]


def reproduce(config: Config, workdir: pathlib.Path, say: Say) -> list[dict[str, Any]]:
    """Runs every row with every seed, then writes tables/.

    A run that has ended is not run again, and one that was cut off goes on: the whole
    is started again with the same command.

    Args:
      config: of all runs; kind, cells and seed are set by row and run.
      workdir: gets runs/<row>/seed<k> and tables/.
      say: prints a line of progress.

    Returns:
      The rows of the result table.

    Raises:
      UserError: whatever the user can mend.
    """
    rows = tables.choose_rows(config.reproduce.rows)
    seeds = range(config.reproduce.seeds)
    results: dict[str, list[dict[str, float]]] = {row.name: [] for row in rows}
    # Seed by seed, so that a cut-off run leaves whole pairs behind.
    for seed in seeds:
        for row in rows:
            run = workdir / "runs" / row.name / f"seed{seed}"
            if not (run / "metrics.json").exists():
                say(f"{row.name}, seed {seed}")
            results[row.name].append(_run(row.apply(config, seed), run))
    table = [_result_row(row, results[row.name]) for row in rows]
    top3 = {name: [run["test/top3"] for run in runs] for name, runs in results.items()}
    verdicts = tables.verdicts(top3)
    _write(workdir / "tables", config, table, verdicts)
    return table


def _run(config: Config, workdir: pathlib.Path) -> dict[str, float]:
    """Metrics of one run; read where it has ended under the same settings."""
    path = workdir / "metrics.json"
    if not path.exists():
        return train.train_and_evaluate(config, workdir)
    workdirs.start_record(workdir, "ican", config, train.FREE)
    return json.loads(path.read_text(encoding="utf-8"))


def _result_row(row: Row, runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Mean and standard error over seeds, beside the paper's figures."""
    cells: dict[str, Any] = {"model": row.title}
    for k in TOP:
        cells[f"top-{k}"] = result_tables.format_mean([r[f"test/top{k}"] for r in runs])
    cells["MALE"] = result_tables.format_mean([r["test/male"] for r in runs])
    for k, figure in zip(TOP[1:], row.paper, strict=False):
        cells[f"paper top-{k}"] = f"{figure / 100:.3f}"
    return cells


def _write(
    folder: pathlib.Path,
    config: Config,
    table: Sequence[dict[str, Any]],
    verdicts: Sequence[tables.Verdict],
) -> None:
    """Writes both tables, as Markdown and CSV."""
    weights = config.backbone.weights or "random weights"
    notes = (
        f"Mean ± standard error over {config.reproduce.seeds} seeds on the test rows;"
        f" the paper's figures come from its own data. Backbone: ResNet"
        f" {config.backbone.depth} from {weights},"
        f" {'frozen' if config.backbone.frozen else 'trained along'}, photos cut to"
        f" {config.photos.crop} px; {config.train.steps:,} steps of"
        f" {config.train.batch_size}."
    )
    result_tables.write_table(
        table, folder / "results", title="Tables 3 and 4", notes=notes
    )
    judged = [
        {
            "claim": verdict.claim,
            "difference in top-3": f"{verdict.difference:+.3f}",
            "95 % interval": f"{verdict.low:+.3f} to {verdict.high:+.3f}",
            "here": "held" if verdict.held else "not held",
        }
        for verdict in verdicts
    ]
    result_tables.write_table(
        judged,
        folder / "claims",
        title="Claims of section 5.5",
        notes="Held: the paired 95 % interval over seeds lies above 0. " + notes,
    )
