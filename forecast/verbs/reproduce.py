"""`--mode=reproduce`: the published table, several seeds, and the baselines beside it."""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.cli import verbs
from common.parallel import processes
from common.parallel.processes import is_first_process
from common.reports import claims, paper_rows, result_tables
from common.reports.paper_rows import Results, Row, mean_cell
from common.training.workdirs import RunRecord, Say
from forecast import data, evaluation, train
from forecast.config import Config
from forecast.evaluation import NETWORK, REPORTED
from forecast.panel.backtest import Backtest
from forecast.paper import tables
from forecast.run import prepare


def reproduce(config: Config, workdir: pathlib.Path, say: Say) -> list[str]:
    """Runs every row with every seed, then writes tables/; see `paper_rows.run_rows`.

    Returns:
      Names of the tables that were written, in their order.

    Raises:
      UserError: whatever the user can mend.
    """
    processes.start(config.parallel)
    rows = tables.choose_rows(config.reproduce.rows)

    @functools.lru_cache(maxsize=1)  # all rows share the data
    def load() -> Backtest:
        return data.load(config, say)

    def run(row: Row, changed: Config, record: RunRecord) -> dict[str, Any]:
        if not row.rival:
            return train.train_prepared(prepare(changed, load()), record, say)
        record.add_data(load().panel.fingerprint)
        found = evaluation.score_baseline(changed, load(), row.rival)
        evaluation.write_windows(record.workdir, {NETWORK: found})
        return evaluation.summarise(changed, found, "test/")

    results = paper_rows.run_rows(
        rows, config, workdir, system="forecast", free=train.FREE, run=run, say=say
    )
    if is_first_process():
        return write_tables(workdir, config, rows, results)
    return []


def write_tables(
    workdir: pathlib.Path, config: Config, rows: Sequence[Row], results: Results
) -> list[str]:
    """Writes results, the published table and claims; returns their names."""
    folder, notes = workdir / "tables", _describe(config, results)
    write = result_tables.write_table
    write(result_rows(rows, results), folder / "results", title="Rows", notes=notes)
    names = ["results"]
    if config.data.benchmark:
        published = published_rows(config.data.benchmark, rows, results)
        write(published, folder / "published", title="CRPS of the sum", notes=_PAPER)
        names.append("published")
    if correlated := correlation_rows(rows, results):
        write(correlated, folder / "correlation", title="Correlation", notes=notes)
        names.append("correlation")
    paper_rows.write_claims(
        folder,
        judge(workdir, rows, results),
        "Claims",
        "a score as a share of the other's, paired over the test windows by a block"
        " bootstrap, means over seeds",
        notes,
    )
    return [*names, "claims"]


_DIGITS = 4  # of Exchange the errors are small beside the values
_PAPER = (
    "Ours, and in brackets the slides' figure (their Table 1, three runs). Sets without"
    " a file say so."
)


def result_rows(rows: Sequence[Row], results: Results) -> list[dict[str, Any]]:
    """Scores of the rows and of the baselines, the best CRPS first."""
    there = [(row, runs) for row in rows if (runs := results.get(row.name))]
    found = [_cells(row.title, runs, "test/") for row, runs in there]
    for runs in [runs for row, runs in there if not row.rival][:1]:
        for name in REPORTED:  # the same beside each network
            found.append(_cells(name.replace("_", " "), runs, f"test/{name}/"))
    return sorted(found, key=lambda cells: float(str(cells["CRPS"]).split()[0]))


def _cells(title: str, runs: Any, prefix: str) -> dict[str, Any]:
    cells = {"forecast": title}
    for metric, column in tables.COLUMNS.items():
        cells[column] = mean_cell(runs, prefix + metric, _DIGITS)
    for metric in ("crps", "crps_sum"):
        if (key := f"{prefix}published/{metric}") in runs[0]:
            column = f"{tables.COLUMNS[metric]}, published windows"
            cells[column] = mean_cell(runs, key, _DIGITS)
    if f"{prefix}broken_paths" in runs[0]:
        cells["broken paths"] = mean_cell(runs, f"{prefix}broken_paths")
    return cells


def published_rows(
    benchmark: str, rows: Sequence[Row], results: Results
) -> list[dict[str, Any]]:
    """All sets by model: our figure and the published one."""
    table, key = [], "test/published/crps_sum"
    for name in tables.PUBLISHED:
        cells: dict[str, Any] = {"set": name}
        for row in rows:
            figure = tables.published(name, row.name)
            if figure is None:
                continue
            ours, runs = "no data", results.get(row.name)
            if name == benchmark and runs:
                key_of_all = key if key in runs[0] else "test/crps_sum"
                ours = mean_cell(runs, key_of_all, _DIGITS)
            cells[row.title] = f"{ours} ({figure:g})"
        table.append(cells)
    return table


def correlation_rows(rows: Sequence[Row], results: Results) -> list[dict[str, Any]]:
    """What paths have of the generated correlation, beside the truth."""
    prefix = "test/correlation/"
    columns = {"one category": "within", "two categories": "across"}
    known = [row for row in rows if prefix + "error" in results.get(row.name, [{}])[0]]
    table = []
    for row in known:
        found = columns | {"error of a pair": "error"}
        cells = {c: mean_cell(results[row.name], prefix + n) for c, n in found.items()}
        table.append({"forecast": row.title, **cells})
    for runs in [results[row.name][:1] for row in known[:1]]:
        cells = {c: mean_cell(runs, f"{prefix}{n}_true") for c, n in columns.items()}
        table.append({"forecast": "truth", **cells})
    return table


def judge(
    workdir: pathlib.Path, rows: Sequence[Row], results: Results
) -> list[claims.Verdict]:
    """Whether each network beats each baseline, and joint densities independent ones."""
    there = {row.name: row for row in rows if row.name in results}
    scores = {  # {row: {"network/crps": [W], …}}, means over seeds
        name: _mean_windows(workdir, name, len(results[name])) for name in there
    }
    if any(len(means[f"{NETWORK}/crps"]) < 2 for means in scores.values()):
        return []
    verdicts = []

    def claim(better: str, worse: str, metric: str, other: Any) -> None:
        text = f"{there[better].title} beats {worse} ({metric})"
        own = scores[better][f"{NETWORK}/{metric}"]
        verdicts.append(evaluation.beats(text, own, other))

    rivals = [name for name, row in there.items() if row.rival]
    for name in (name for name in there if name not in rivals):
        for metric in ("crps", "crps_sum"):
            for other in REPORTED:
                title = other.replace("_", " ")
                claim(name, title, metric, scores[name][f"{other}/{metric}"])
            for other in rivals:
                rival = scores[other][f"{NETWORK}/{metric}"]
                claim(name, there[other].title, metric, rival)
    for better, worse in tables.DEPENDENT:
        if {better, worse} <= there.keys():
            for metric in ("variogram", "energy", "crps_sum"):
                rival = scores[worse][f"{NETWORK}/{metric}"]
                claim(better, there[worse].title, metric, rival)
    return verdicts


def _mean_windows(workdir: pathlib.Path, row: str, seeds: int) -> dict[str, np.ndarray]:
    """What each window adds to the scores of a row, means over seeds."""
    runs = []
    for seed in range(seeds):
        folder = workdir / "runs" / row / f"seed{seed}"
        with np.load(folder / evaluation.WINDOWS) as columns:
            runs.append(dict(columns))
    return {key: np.mean([run[key] for run in runs], axis=0) for key in runs[0]}


def _describe(config: Config, results: Results) -> str:
    seeds = max((len(runs) for runs in results.values()), default=0)
    return (
        f"{paper_rows.describe_mean(seeds)}; {config.train.steps:,} steps of"
        f" {config.train.batch_size} windows, {config.backtest.paths} paths,"
        f" {config.backtest.windows} windows of {config.window.horizon} steps."
    )


run = verbs.reproduce(reproduce)
