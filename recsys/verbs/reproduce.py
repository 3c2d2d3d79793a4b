"""`--mode=reproduce`: Tables 2 to 5, several seeds, and what becomes of the claims."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from common.cli import verbs
from common.config import configs
from common.errors import UserError
from common.parallel import processes
from common.parallel.processes import is_first_process
from common.reports import paper_rows, result_tables
from common.reports.paper_rows import Results
from common.training import workdirs
from common.training.workdirs import RunRecord, Say
from recsys import data, train
from recsys.config import Config
from recsys.corpus.corpus import Corpus
from recsys.paper import search, tables
from recsys.paper.tables import Row
from recsys.run import prepare


def reproduce(config: Config, workdir: pathlib.Path, say: Say) -> list[str]:
    """Runs every row with every seed, then writes tables/; see `paper_rows.run_rows`.

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
    if tables.METRIC not in {f"ndcg@{length}" for length in config.ranking.lengths}:
        raise UserError(f"--ranking.lengths: claims are about {tables.METRIC}")
    rows = list(tables.choose_rows(config.reproduce.rows))

    @functools.lru_cache(maxsize=1)  # of the last split: all rows of a seed share it
    def load(split_seed: int) -> Corpus:
        split = configs.replace(config, {"data.split_seed": split_seed})
        return data.load(split, say)

    def run(row: paper_rows.Row, changed: Config, record: RunRecord) -> dict[str, Any]:
        corpus = load(changed.data.split_seed)
        return train.train_prepared(prepare(changed, corpus), record)

    searched: list[dict[str, Any]] = []
    with workdirs.training_in(workdir):
        for number, row in enumerate(rows):
            if search.is_searched(row, config):
                corpus = load(row.apply(config, 0).data.split_seed)
                best, tried = search.choose_settings(
                    row, config, corpus, workdir / "search", say
                )
                rows[number] = dataclasses.replace(row, changes=best)
                searched.append(tried)
    results = paper_rows.run_rows(
        rows, config, workdir, system="recsys", free=train.FREE, run=run, say=say
    )
    if is_first_process():
        return write_tables(workdir / "tables", config, rows, results, searched)
    return []


def write_tables(
    folder: pathlib.Path,
    config: Config,
    rows: Sequence[Row],
    results: Results,
    searched: Sequence[Mapping[str, Any]] = (),
) -> list[str]:
    """Writes the tables and the claims, as Markdown and CSV; returns their names.

    Args:
      folder: for the tables.
      config: of all runs.
      rows: of the tables.
      results: metrics of each seed by the row's name.
      searched: the settings that were found, of `search.choose_settings`.
    """
    first = next(row.name for row in rows if not row.rival)
    notes = describe(config, results[first][0])
    written = []
    for metric, number in tables.METRICS.items():
        for group, words in (("", ""), ("unseen/", ", items never seen in training")):
            name = number + ("_unseen" if group else "")
            title = f"{tables.TITLES[metric]} (Table {number[-1]}){words}"
            table = tables.metric_table(metric, group, rows, results, config)
            result_tables.write_table(table, folder / name, title=title, notes=notes)
            written.append(name)
    verdicts = paper_rows.verdicts(tables.CLAIMS, results)
    if verdicts:
        planted = "" if config.data.interactions else f", of needs in {tables.PLANTED}"
        difference = f"{tables.METRIC}{planted}"
        title = "Claims of section 4.4"
        paper_rows.write_claims(folder, verdicts, title, difference, notes)
        written.append("claims")
    if searched:
        title = "Settings, chosen on the validation rows of the first split"
        result_tables.write_table(searched, folder / "settings", title=title)
        written.append("settings")
    return written


def describe(config: Config, values: Mapping[str, Any]) -> str:
    """What a table must say of the runs behind it."""
    data_from = config.data.interactions or (
        f"the generated closet, sub-dataset {config.closet.subset},"
        f" size {config.closet.size}"
    )
    resplit = config.reproduce.resplit and config.data.split_kind != "temporal_global"
    return (
        f"Data: {data_from}; {values['train/n']:,} / {values['validation/n']:,} /"
        f" {values['test/n']:,} interactions, split {config.data.split_kind}"
        f"{', another one for each seed' if resplit else ''};"
        f" all items ranked, {values['test/users']:,.0f} users with a test item."
        f" {paper_rows.describe_mean(config.reproduce.seeds)}."
        f" {config.train.steps:,} steps of {config.train.batch_size} positives with"
        f" {config.negatives.count} {config.negatives.kind} negatives each,"
        f" {config.optimizer.name} at {config.optimizer.learning_rate:g} with a decay of"
        f" {config.optimizer.weight_decay:g}, where no other settings were chosen, the"
        f" best step of validation. The paper's figures come from its own data."
    )


run = verbs.reproduce(reproduce)
