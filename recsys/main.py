"""The command line of recsys: flags to config to mode."""

import pathlib
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import pandas as pd

from common.cli import app, verbs
from common.cli.app import Command, Mode
from common.errors import UserError
from common.reports import result_tables
from common.training import workdirs
from recsys import data, evaluation, report, saved_model, train
from recsys.config import Config
from recsys.corpus import recbole, row_faults
from recsys.corpus.tree import CategoryTree
from recsys.generated import simulated_users
from recsys.run import prepare
from recsys.verbs import explain, export, reproduce
from recsys.verbs.predict import COLUMNS, Model


def run_train(config: Config, command: Command) -> None:
    """Trains, judges the lists of test users, prints a short table."""
    if command.init_from is not None:
        raise UserError("--init_from: recsys has nothing to start from another run")
    values = train.train_and_evaluate(config, command.workdir, say=command.say)
    length = config.ranking.lengths[len(config.ranking.lengths) // 2]
    command.show(result_tables.to_markdown(report.short_table(values, "test", length)))
    command.show(f"report: {command.workdir / report.FILE}")


def run_evaluate(config: Config, command: Command) -> None:
    """Judges the lists of the trained model on a split; writes metrics_<split>.json."""
    if command.split == "train":
        raise UserError("--split=train: lists leave out what users have in training")
    corpus = data.load(config, command.say)
    known = saved_model.load(command.workdir, config)
    if not known.is_of(corpus):
        raise UserError(
            "users, items or interactions are not those that"
            f" {command.workdir} was trained on: restore the tables or train again"
        )
    ready = prepare(config, corpus)
    params = ready.execution.replicate(dict(known.params))
    judged = evaluation.judge(config, corpus, ready.ranker, params, command.split)
    values = {f"{command.split}/{name}": value for name, value in judged.values.items()}
    workdirs.write_metrics(command.workdir / f"metrics_{command.split}.json", values)
    for length in config.ranking.lengths:
        table = report.short_table(values, command.split, length)
        command.show(result_tables.to_markdown(table))


def run_predict(config: Config, command: Command) -> None:
    """Writes the lists of the users of --input, as CSV or Parquet.

    The table has a column of users and may have one of items: interactions that are
    newer than training. They are left out of the lists, and fold new users in.
    """
    output = verbs.table_output(command)
    asked, pairs, failed = read_users(command.need("input"), config)
    model = Model(command.workdir, config)
    _list_left_out(
        model, output.with_name(f"{output.stem}_left_out_items.csv"), command
    )
    items = set(model.catalogue.item_ids.astype(str))
    if strange := [item for _, item in pairs if item not in items]:
        command.say(
            f"note: {len(strange):,} interactions do not count, for their items are not"
            f" there to be recommended: {_some(strange)}"
        )
    length = max(config.ranking.lengths)
    table = model.recommend(asked, length, new_interactions=pairs)
    verbs.write_table(pd.concat([table, failed], ignore_index=True), output)
    kinds = table.drop_duplicates("user")["user_is"].value_counts()
    command.show(
        f"lists of {length} for {len(asked):,} users"
        f" ({', '.join(f'{count:,} {kind}' for kind, count in kinds.items())}),"
        f" {len(failed):,} errors: {output}"
    )


def _list_left_out(model: Model, path: pathlib.Path, command: Command) -> None:
    """Accounts for the items of the table that can't be recommended."""
    if count := len(model.left_out):
        path.parent.mkdir(parents=True, exist_ok=True)
        row_faults.write_rejected(path, model.left_out)
        command.say(
            f"note: {count:,} rows of items are left out, each with its reason: {path}"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def read_users(
    path: pathlib.Path, config: Config
) -> tuple[list[str], list[tuple[str, str]], pd.DataFrame]:
    """Reads the table of `predict`.

    Returns:
      (users in the order of their first row, (user, item) pairs where the table has a
      column of items, rows of the output for what could not be read).
    """
    own = config.data
    table = row_faults.open_table(path, [own.user])
    faults = row_faults.Faults(table)
    faults.note_ids(own.user)
    good = table.frame[faults.good]
    users = good[own.user].astype(str)
    pairs: list[tuple[str, str]] = []
    if own.item in good:
        there = good[own.item].notna()
        pairs = list(zip(users[there], good[own.item][there].astype(str), strict=True))
    errors = [
        {"user": "", "error": f"line {fault.line}: {fault.reason}"}
        for fault in faults.rejections()
    ]
    failed = pd.DataFrame(errors, columns=list(COLUMNS))
    return list(dict.fromkeys(users)), pairs, failed


def run_explain(config: Config, command: Command) -> None:
    """Draws why items stand in lists, for the users of --input or some of training."""
    model = Model(command.workdir, config)
    folder = command.output or command.workdir / "figures" / "explain"
    if command.input is None:
        active = np.argsort(-model.trained.taken.counts, kind="stable")[:EXPLAINED]
        users = [str(user) for user in model.trained.user_ids[np.sort(active)]]
    else:
        users, _, failed = read_users(command.input, config)
        for error in failed["error"]:
            command.say(error)
        unknown = [user for user in users if not model.knows(user)]
        if unknown:
            command.say(f"not known from training: {', '.join(unknown[:5])}")
        users = [user for user in users if model.knows(user)]
        if not users:
            raise UserError(f"{command.input}: no user that is known from training")
    explain.write(model, users, folder, command.images)
    command.show(f"{len(users)} users drawn: {folder}")


EXPLAINED = 8  # users that are drawn where none are named: those who took most


def run_import(config: Config, command: Command) -> None:
    """Turns RecBole's atomic files into tables of interactions and items."""
    atomic = config.atomic
    counts = recbole.import_atomic(
        command.need("input"),
        command.need("output"),
        atomic.category,
        atomic.rating_at_least,
        separator={"blank": " ", "comma": ", "}[atomic.separator],
        max_rejected_fraction=config.data.max_rejected_fraction,
    )
    command.show(counts)


def run_simulate(config: Config, command: Command) -> None:
    """Writes interactions of made-up users with the items of --data.items."""
    output = verbs.table_output(command)
    own = config.data
    if not own.items:
        raise UserError("--mode=simulate needs --data.items=TABLE")
    items, features, _ = data.read_sound_catalogue(config)
    tree, leaf_of_item = CategoryTree.from_paths(items.categories, uneven=own.uneven)
    users, taken, times = simulated_users.simulate(
        tree.ancestors[leaf_of_item],
        features.take(items.feature_rows),
        config.simulation,
    )
    table = pd.DataFrame(
        {
            own.user: users,
            own.item: items.ids.to_numpy()[taken],
            own.time or "time": pd.to_datetime(times, unit="s", utc=True),
        }
    )
    verbs.write_table(table, output)
    for row in items.rejected:
        command.say(f"line {row.line}: {row.reason}")
    command.show(
        f"{len(table):,} interactions of {len(np.unique(users)):,} users with"
        f" {len(items.ids):,} items ({len(items.rejected):,} rejected): {output}"
    )


def write_export(config: Config, command: Command, directory: pathlib.Path) -> None:
    """Writes vectors of users and items, and a program for those of new items."""
    model = Model(command.workdir, config)
    values = export.write(model, directory, config.export.indexes, command.say)
    _list_left_out(model, directory / "left_out_items.csv", command)
    for name, value in values.items():
        command.show(f"{name} against the exact lists: {value:.3f}")


MODES = {
    "train": verbs.train(run_train),
    "evaluate": verbs.evaluate(run_evaluate),
    "predict": verbs.predict(run_predict),
    "explain": verbs.explain(run_explain),
    "export": verbs.export(write_export),
    "import": Mode(
        "turn files of another library, --input, into tables in the folder --output",
        run_import,
        needs=("input", "output"),
    ),
    "simulate": Mode(
        "make up users for a catalogue: interactions into the table --output",
        run_simulate,
        needs=("output",),
    ),
    "reproduce": verbs.reproduce(reproduce.reproduce),
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs recsys from the command line."""
    app.main(
        "recsys",
        Config(),
        MODES,
        argv,
        summary="recsys: recommendation where items are unique",
    )
