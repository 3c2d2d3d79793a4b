"""`--mode=reproduce`: ablations, rivals, several seeds, and what becomes of the claims."""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.cli import verbs
from common.parallel import processes
from common.parallel.processes import is_first_process
from common.reports import boosting, claims, paper_rows, result_tables
from common.reports.paper_rows import Results, Row, mean_cell
from common.training.workdirs import RunRecord, Say
from rerank import data, evaluation, importance, train
from rerank.config import Config
from rerank.corpus.corpus import Corpus
from rerank.metrics import KS, Column
from rerank.paper import rivals, tables
from rerank.run import prepare


def reproduce(config: Config, workdir: pathlib.Path, say: Say) -> list[str]:
    """Runs every row with every seed, then writes tables/; see `paper_rows.run_rows`.

    Args:
      config: of all runs, which share the data: claims are paired over its requests.
      workdir: gets runs/<row>/seed<k> and tables/.
      say: prints a line of progress.

    Returns:
      Names of the tables that were written, in their order.

    Raises:
      UserError: whatever the user can mend.
    """
    processes.start(config.parallel)
    rows = tables.choose_rows(config.reproduce.rows)
    own = [row for row in rows if row.name not in tables.SHARED]

    @functools.lru_cache(maxsize=1)  # all rows share the data
    def load() -> Corpus:
        return data.load(config, say)

    def run(row: Row, changed: Config, record: RunRecord) -> dict[str, Any]:
        prepared = prepare(changed, load())
        if not row.rival:
            return train.train_prepared(prepared, record, say)
        record.add_data(prepared.corpus.fingerprint)
        found = boosting.keep(
            record.workdir.parent, lambda: rivals.search(prepared, row.rival)
        )
        columns = rivals.evaluate(prepared, row.rival, found, changed.train.seed)
        evaluation.write_requests(record.workdir, columns)
        return {f"test/{name}": column.mean for name, column in columns.items()}

    results = paper_rows.run_rows(
        own, config, workdir, system="rerank", free=train.FREE, run=run, say=say
    )
    if is_first_process():
        return write_tables(workdir, config, rows, results)
    return []


def write_tables(
    workdir: pathlib.Path, config: Config, rows: Sequence[Row], results: Results
) -> list[str]:
    """Writes results and claims, as Markdown and CSV; returns their names.

    Args:
      workdir: of the runs.
      config: of all runs.
      rows: of the table.
      results: metrics of each seed by the row's name.
    """
    folder, notes = workdir / "tables", describe(config, results)
    write, names = result_tables.write_table, ["results"]
    table = [cells for row in rows if (cells := result_row(row, results))]
    write(table, folder / "results", title="Rows", notes=notes)
    if orders := order_rows(rows, results):
        write(orders, folder / "orders", title="Orders", notes=_ORDERS)
        names.append("orders")
    if hidden := hidden_rows(rows, results):
        write(hidden, folder / "hidden", title="Hidden images", notes=_HIDDEN)
        names.append("hidden")
    columns = read_columns(workdir, results)
    verdicts = [v for claim in tables.CLAIMS if (v := judge(claim, columns))]
    paper_rows.write_claims(
        folder,
        verdicts,
        "Claims",
        "the figure that each names, paired over seeds and test requests",
        notes,
    )
    return [*names, "claims"]


_ORDERS = (
    "NDCG@k of the answers, mean ± standard error over seeds, and the share of the way"
    " from a random order's (on average) to that of the best row at the same k."
)
_HIDDEN = (
    "GAUC of the list-wise evaluator, mean ± standard error over seeds, where a share of"
    " the images is hidden in test."
)


def order_rows(rows: Sequence[Row], results: Results) -> list[dict[str, Any]]:
    """NDCG@k by row, beneath chance and the order shown."""
    of_networks = [runs for runs in results.values() if "test/chance/ndcg@1" in runs[0]]
    if not of_networks:  # all are of an earlier version
        return []
    runs = of_networks[0]
    means: dict[str, Any] = {"chance": (runs, "chance/"), "as shown": (runs, "logged/")}
    for row in rows:
        name, network = tables.SHARED.get(row.name, (row.name, ""))
        means[row.title] = (results.get(name, []), "sort/" if network else "")
    found = {
        title: [
            np.mean(paper_rows.figures_of(runs, f"test/{prefix}ndcg@{k}")) for k in KS
        ]
        for title, (runs, prefix) in means.items()
        if runs
    }
    chance, best = np.array(found["chance"]), np.max(list(found.values()), axis=0)
    table = []
    for title, values in found.items():
        runs, prefix = means[title]
        shares = (np.array(values) - chance) / np.maximum(best - chance, 1e-12)
        cells = {"order": title}
        for k, share in zip(KS, shares, strict=True):
            cells[f"NDCG@{k}"] = mean_cell(runs, f"test/{prefix}ndcg@{k}")
            cells[f"share @{k}"] = f"{share:.0%}"
        table.append(cells)
    return table


def hidden_rows(rows: Sequence[Row], results: Results) -> list[dict[str, Any]]:
    """GAUC by row and by the share of images that is hidden."""
    last = f"test/hidden/image/{importance.SHARES[-1]:g}"
    columns = {"none": "test/gauc"} | {
        f"{share:.0%}": f"test/hidden/image/{share:g}" for share in importance.SHARES
    }
    return [
        {"model": row.title}
        | {title: mean_cell(results[row.name], m) for title, m in columns.items()}
        for row in rows
        if last in (results.get(row.name) or [{}])[0]
    ]


def result_row(row: Row, results: Results) -> dict[str, Any]:
    """Mean and standard error over seeds; {} where the run of a row is not there."""
    name, network = tables.SHARED.get(row.name, (row.name, ""))
    if name not in results:
        return {}
    cells: dict[str, Any] = {"model": row.title}
    for metric, title in tables.COLUMNS.items():
        if network:
            metric = f"{network}/gauc" if metric == "gauc" else metric
            metric = metric.replace("listwise/", f"{network}/")
            if metric.startswith(("search/", "ndcg", "click@")):
                cells[title] = ""
                continue
        cells[title] = mean_cell(results[name], f"test/{metric}")
    return cells


Columns = Mapping[str, Sequence[Mapping[str, Column]]]


def read_columns(workdir: pathlib.Path, results: Results) -> Columns:
    """Metrics of single test requests by row and seed."""
    return {
        name: [
            evaluation.read_requests(workdir / "runs" / name / f"seed{seed}")
            for seed in range(len(runs))
        ]
        for name, runs in results.items()
    }


def judge(claim: tables.Claim, columns: Columns) -> claims.Verdict | None:
    """What becomes of a claim; None where a row or its metric is not there."""
    values = []
    for row, metric in (claim.better, claim.worse):
        runs = columns.get(row, ())
        if not runs or any(metric not in run for run in runs):
            return None
        values.append(np.stack([run[metric].values for run in runs]))  # [S, R]
    # A request that says nothing in one seed is left out of all.
    known = np.isfinite(values[0]).all(0) & np.isfinite(values[1]).all(0)
    return claims.verdict_over_pairs(
        claim.text, values[0][:, known], values[1][:, known]
    )


def describe(config: Config, results: Results) -> str:
    """What a table must say of the runs behind it."""
    first = next(runs[0] for runs in results.values() if "train/n" in runs[0])
    data_from = config.data.requests or (
        f"the built-in serp, preset {config.serp.preset}"
    )
    return (
        f"Data: {data_from}; {first['train/n']:,} / {first['validation/n']:,} /"
        f" {first['test/n']:,} requests."
        f" {paper_rows.describe_mean(config.reproduce.seeds)}; target {config.loss.target}."
        f" {config.train.steps:,} steps of {config.train.batch_size} requests for each"
        f" network, {config.optimizer.name} at {config.optimizer.learning_rate:g}."
    )


run = verbs.reproduce(reproduce)
