"""`--mode=evaluate`."""

import pathlib

import numpy as np

from common.cli.app import Command
from common.errors import UserError
from common.reports import result_tables
from common.tables.cells import quoted
from common.tables.faults import Rejection, check_rejected, in_order, write_rejected
from common.training import workdirs
from common.training.data_identity import note_other_data
from common.training.workdirs import Say
from recsys import data, evaluation, metrics, report, saved_model
from recsys.config import Config
from recsys.corpus import requests
from recsys.corpus.interaction_files import InteractionTable, read_interactions
from recsys.corpus.interactions import Interactions
from recsys.ranking.ranker import keep, no_items
from recsys.run import prepare
from recsys.verbs import notes
from recsys.verbs.predict import Model

INPUT = "input"  # stands for the split in names of metrics


def run(config: Config, command: Command) -> None:
    """Evaluates the trained model's lists; writes metrics_<split>.json.

    They are held against a split, or against the pairs of --input, see `evaluate_pairs`;
    the file is metrics_input.json then.
    """
    if command.input is not None:
        evaluate_input(config, command, command.input)
        return
    if command.split == "train":
        raise UserError("--split=train: lists leave out what users have in training")
    corpus = data.load(config, command.say)
    saved = saved_model.load(command.workdir, config)
    if not saved.is_of(corpus):
        raise UserError(
            "users, items or interactions are not those that"
            f" {command.workdir} was trained on: restore the tables or train again"
        )
    for note in saved.check_features(corpus.catalogue):
        command.say(note)
    run = prepare(config, corpus)
    params = run.put_params(saved.params)
    lists = evaluation.evaluate(config, corpus, run.ranker, params, command.split)
    values = {f"{command.split}/{name}": value for name, value in lists.values.items()}
    values |= note_other_data(command.workdir, corpus.fingerprint, command.say)
    workdirs.write_metrics(command.workdir / f"metrics_{command.split}.json", values)
    for length in config.ranking.lengths:
        table = report.short_table(values, command.split, length)
        command.show(result_tables.to_markdown(table, digits=report.DIGITS))
    if warning := report.find_warning(config, command.workdir):
        command.show(warning)
        command.say(f"warning: {warning}")


def evaluate_input(config: Config, command: Command, path: pathlib.Path) -> None:
    """Evaluates lists against a table of pairs, and accounts for each of its rows.

    The catalogue may be another than in training, as in predict. Rows that can't be
    read, or whose user training has not or whose item the catalogue has not, do not
    count; they are listed beside metrics_input.json with their reasons.

    Raises:
      UserError: the table can't be read, too many of its rows can't be, or none counts.
    """
    if command.split != Command.split:
        raise UserError(
            f"--input={path} stands in the place of a split: leave out"
            f" --split={command.split}"
        )
    table = read_interactions(path, config.data.user, config.data.item)
    output = command.workdir / f"metrics_{INPUT}.json"
    model = Model(command.workdir, config)
    notes.list_left_out(
        model.notes,
        model.left_out,
        output.with_name(f"{output.stem}_left_out_items.csv"),
        command.say,
    )
    notes.say_hidden(config, command.say)
    users = model.user_ids.get_indexer(table.users)
    items = model.item_ids.get_indexer(table.items)
    rejected_file = output.with_name(f"{output.stem}_rejected.csv")
    rejected = _account(config, table, users, items, rejected_file, command.say)
    notes.say_several(table.items[items < 0].tolist(), model.item_ids, command.say)
    count = config.ranking.count_without_test
    values = evaluate_pairs(
        model,
        Interactions(*(x[(users >= 0) & (items >= 0)] for x in (users, items))),
        np.unique(users[users >= 0]) if count else None,
    )
    if not values[f"{INPUT}/pairs"]:
        raise UserError(
            f"{path}: no row has a user of training, such as {model.user_ids[0]}, and an"
            f" item of the catalogue, such as {model.item_ids[0]}"
        )
    if repeated := values[f"{INPUT}/known_pairs"]:
        command.say(
            f"note: {repeated:,.0f} of {values[f'{INPUT}/pairs']:,.0f} pairs are in the"
            " tables of training, in whatever split: they count, and are not left out of"
            " the lists; the model has trained on most of those that were not in test"
        )
    values[f"{INPUT}/rejected"] = float(rejected)
    workdirs.write_metrics(output, values)
    for length in config.ranking.lengths:
        rows = report.short_table(values, INPUT, length)
        # Whether training has seen an item is not known without its tables.
        listed = [row for row in rows if row["users"]]
        command.show(result_tables.to_markdown(listed, digits=report.DIGITS))


def evaluate_pairs(
    model: Model, pairs: Interactions, users: np.ndarray | None = None
) -> dict[str, float]:
    """What the lists of a model are worth, held against pairs of one's own.

    The list of a user leaves out all that the user has in the tables of training, in
    any split, but for the pairs themselves; nothing where `ranking.hide_training` is
    off.

    Args:
      model: with its catalogue.
      pairs: user of training and item of the catalogue by number; they may repeat.
      users: int [Q], ascending, who are averaged over, with pairs or without; None for
        those with a pair.

    Returns:
      {"input/ndcg@10": …} of `metrics.ranking_metrics`; "input/pairs", the distinct
      ones, and "input/known_pairs", those of them that are in the tables of training.
    """
    ranking = model.config.ranking
    users = np.unique(pairs.users) if users is None else users
    rows = np.searchsorted(users, pairs.users)
    distinct, _ = Interactions(rows, pairs.items).deduplicate()
    tests = distinct.by_user(len(users))
    values = {"pairs": float(len(distinct)), "known_pairs": 0.0}
    if len(distinct):
        taken = model.taken_items(users, no_items(len(users)))
        values["known_pairs"] = float(
            taken.contains(distinct.users, distinct.items).sum()
        )
        hidden = model.hidden_items(users, no_items(len(users)))
        owner = np.repeat(np.arange(len(users)), hidden.counts)
        hidden = keep(hidden, ~tests.contains(owner, hidden.items))
        lists = model.list_items(users, hidden, max(ranking.lengths)).items
        values |= metrics.ranking_metrics(
            lists,
            tests.starts,
            tests.items,
            model.catalogue.item_count,
            ks=ranking.lengths,
            count_without_test=ranking.count_without_test,
            all_hits_auc=ranking.all_hits_auc,
        )
    return {f"{INPUT}/{name}": value for name, value in values.items()}


def _account(
    config: Config,
    table: InteractionTable,
    users: np.ndarray,
    items: np.ndarray,
    file: pathlib.Path,
    say: Say,
) -> int:
    """Lists the rows that do not count in a file, and says so.

    Args:
      config: of the run.
      table: as read, N rows.
      users, items: numbers int [N], -1 for unknown ones.
      file: to write.
      say: prints a line.

    Returns:
      Their number.

    Raises:
      UserError: too many rows can't be read.
    """
    file.unlink(missing_ok=True)
    columns = (
        ("users", config.data.user, table.users, users, "training has no user"),
        ("items", config.data.item, table.items, items, "the catalogue has no item"),
    )
    rejected, parts, seen = list(table.rejected), [], np.zeros(len(users), bool)
    for what, column, names, numbers, reason in columns:
        unknown = numbers < 0
        if unknown.any():
            distinct = list(dict.fromkeys(names[unknown]))
            parts.append(f"{len(distinct):,} unknown {what}: {requests.some(distinct)}")
        # A row stands in the file once, with its user where neither is known.
        for row in np.flatnonzero(unknown & ~seen).tolist():
            told = f"{reason} {quoted(names.iloc[row])}"
            rejected.append(Rejection(table.path, int(table.line[row]), column, told))
        seen |= unknown
    if rejected:
        write_rejected(file, in_order(rejected))
        total = len(users) + len(table.rejected)
        why = f" ({'; '.join(parts)})" if parts else ""
        say(
            f"note: {len(rejected):,} of {total:,} rows of {table.path} do not count"
            f"{why}, each with its reason: {file}"
        )
    limit = config.data.max_rejected_fraction
    check_rejected(table.rejected, len(users), limit, file)
    return len(rejected)
