"""`--mode=reproduce`: Tables 2 to 5, several seeds, and what becomes of the claims."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from common.errors import UserError
from common.parallel import processes
from common.reports import claims, result_tables
from common.training import workdirs
from recsys import data, train
from recsys.config import Config
from recsys.corpus.corpus import Corpus
from recsys.paper import rivals, tables
from recsys.paper.tables import Results, Row
from recsys.run import Say


def reproduce(config: Config, workdir: pathlib.Path, say: Say) -> list[str]:
    """Runs every row with every seed, then writes tables/.

    A run that has ended is not run again, and one that was cut off goes on: the whole
    is started again with the same command.

    Args:
      config: of all runs; model, tasks, seed and the seed of the split are set by row
        and run.
      workdir: gets runs/<row>/seed<k> and tables/.
      say: prints a line of progress.

    Returns:
      Names of the tables that were written, in their order.

    Raises:
      UserError: whatever the user can mend.
    """
    processes.start(config.parallel)
    if tables.JUDGED not in {f"ndcg@{length}" for length in config.ranking.lengths}:
        raise UserError(f"--ranking.lengths: claims are judged by {tables.JUDGED}")
    rows = tables.choose_rows(config.reproduce.rows)
    results: dict[str, list[dict[str, Any]]] = {row.name: [] for row in rows}
    corpus: Corpus | None = None
    split_seed = -1
    # Seed by seed, so that a cut-off run leaves whole pairs behind.
    for seed in range(config.reproduce.seeds):
        for row in rows:
            folder = workdir / "runs" / row.name / f"seed{seed}"
            wanted = row.apply(config, seed)
            if jax.process_index() == 0:
                workdirs.start_record(folder, "recsys", wanted, train.FREE)
            processes.wait_for_all("record started")
            if not (folder / workdirs.METRICS).exists():
                say(f"{row.name}, seed {seed}")
                if corpus is None or split_seed != wanted.data.split_seed:
                    corpus, split_seed = data.load(wanted, say), wanted.data.split_seed
                if row.rival:
                    values = rivals.judge(wanted, corpus, row.name, seed)
                else:
                    values = train.run_once(wanted, corpus, folder)
                if jax.process_index() == 0:
                    workdirs.write_metrics(folder / workdirs.METRICS, values)
                processes.wait_for_all("figures written")
            results[row.name].append(workdirs.read_metrics(folder))
    if jax.process_index() == 0:
        return write_tables(workdir / "tables", config, rows, results)
    return []


def write_tables(
    folder: pathlib.Path, config: Config, rows: tuple[Row, ...], results: Results
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
    for metric, table in tables.METRICS.items():
        for group, words in (("", ""), ("unseen/", ", items never seen in training")):
            name = table + ("_unseen" if group else "")
            title = f"{tables.TITLES[metric]} (Table {table[-1]}){words}"
            found = tables.metric_table(metric, group, rows, results, config)
            result_tables.write_table(found, folder / name, title=title, notes=notes)
            written.append(name)
    verdicts = tables.verdicts(results)
    planted = "" if config.data.interactions else f", of needs in {tables.PLANTED}"
    if verdicts:
        result_tables.write_table(
            claims.rows_of(verdicts),
            folder / "claims",
            title="Claims of section 4.4",
            notes=f"Differences in {tables.JUDGED}{planted}. Held: the paired 95 %"
            f" interval over seeds lies above 0. {notes}",
        )
        written.append("claims")
    return written


def describe(config: Config, values: Mapping[str, Any]) -> str:
    """What a table must say of the runs behind it."""
    data_from = config.data.interactions or (
        f"the generated closet, sub-dataset {config.closet.subset},"
        f" size {config.closet.size}"
    )
    return (
        f"Data: {data_from}; {values['train/n']:,} / {values['validation/n']:,} /"
        f" {values['test/n']:,} interactions, split {config.data.split}"
        f"{', another one for each seed' if config.reproduce.resplit else ''};"
        f" all items ranked, {values['test/users']:,.0f} users with a test item. Mean ±"
        f" standard error over {config.reproduce.seeds} seeds."
        f" {config.train.steps:,} steps of {config.train.batch_size} positives with"
        f" {config.negatives.count} {config.negatives.kind} negatives each,"
        f" {config.optimizer.name} at {config.optimizer.learning_rate:g}, the best of"
        f" validation. The paper's figures come from its own data."
    )
