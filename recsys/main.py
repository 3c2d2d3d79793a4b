"""The command line of recsys: flags to config to mode."""

import pathlib
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from common.cli import app, verbs
from common.cli.app import Command, Mode
from common.errors import UserError
from common.parallel.processes import is_first_process
from common.reports import result_tables
from common.training import workdirs
from common.training.data_identity import note_other_data
from recsys import data, evaluation, report, saved_model, train
from recsys.config import Config
from recsys.run import prepare
from recsys.verbs import (
    check,
    explain,
    export,
    import_tables,
    predict,
    reproduce,
    simulate,
)
from recsys.verbs.predict import Model

EXPLAINED = 8  # users that are drawn where none are named: those who took most


def run_train(config: Config, command: Command) -> None:
    """Trains, evaluates the lists of test users, prints a short table."""
    if command.init_from is not None:
        raise UserError("--init_from: recsys has nothing to start from another run")
    values = train.train_and_evaluate(config, command.workdir, say=command.say)
    if not is_first_process():
        return
    length = config.ranking.lengths[len(config.ranking.lengths) // 2]
    command.show(result_tables.to_markdown(report.short_table(values, "test", length)))
    command.show(f"report: {command.workdir / report.FILE}")


def run_evaluate(config: Config, command: Command) -> None:
    """Evaluates the trained model's lists on a split; writes metrics_<split>.json."""
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
    params = run.execution.replicate(dict(saved.params))
    lists = evaluation.evaluate(config, corpus, run.ranker, params, command.split)
    values = {f"{command.split}/{name}": value for name, value in lists.values.items()}
    values |= note_other_data(command.workdir, corpus.fingerprint, command.say)
    workdirs.write_metrics(command.workdir / f"metrics_{command.split}.json", values)
    for length in config.ranking.lengths:
        table = report.short_table(values, command.split, length)
        command.show(result_tables.to_markdown(table))


def run_explain(config: Config, command: Command) -> None:
    """Draws why items stand in lists, for the users of --input or some of training."""
    model = Model(command.workdir, config)
    folder = command.output or command.workdir / "figures" / "explain"
    if command.input is None:
        active = np.argsort(-model.trained.taken.counts, kind="stable")[:EXPLAINED]
        users = [str(user) for user in model.trained.user_ids[np.sort(active)]]
    else:
        named = predict.read_users(command.input, config)
        for error in named.failed["error"]:
            command.say(error)
        users = [user for user in named.users if model.knows(user)]
        unknown = [user for user in named.users if not model.knows(user)]
        if unknown:
            command.say(f"not known from training: {', '.join(unknown[:5])}")
        if not users:
            raise UserError(f"{command.input}: no user that is known from training")
    explain.write(model, users, folder, command.images, command.say)
    command.show(f"{len(users)} users drawn: {folder}")


def write_export(config: Config, command: Command, directory: pathlib.Path) -> None:
    """Writes vectors of users and items, and a program for those of new items."""
    model = Model(command.workdir, config)
    values = export.write(model, directory, config.export.indexes, command.say)
    predict.list_left_out(model, directory / "left_out_items.csv", command)
    for name, value in values.items():
        command.show(f"{name} against the exact lists: {value:.3f}")


MODES = {
    "train": verbs.train(run_train),
    "evaluate": verbs.evaluate(run_evaluate),
    "predict": verbs.predict(predict.run),
    "explain": verbs.explain(run_explain),
    "export": verbs.export(write_export),
    "import": Mode(
        "turn files of another library, --input, into tables in the folder --output",
        import_tables.run,
        needs=("input", "output"),
    ),
    "simulate": Mode(
        "make up users for a catalogue: interactions into the table --output",
        simulate.run,
        needs=("output",),
    ),
    "check": verbs.check(check.write),
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
