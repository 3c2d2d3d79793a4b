"""The command line of ican: flags to config to mode."""

import contextlib
import pathlib
from collections.abc import Sequence
from typing import NoReturn

import pandas as pd

from common.cli import app, verbs
from common.cli.app import Command
from common.errors import UserError
from common.parallel.processes import is_first_process
from common.reports import result_tables
from common.training import workdirs
from common.training.data_identity import note_other_data
from ican import data, evaluation, report, saved_model, train
from ican.config import Config
from ican.verbs import check, explain, export, reproduce
from ican.verbs.predict import Model

EXPLAINED = 16  # rows of a split that are drawn; rows of --input are drawn all


def run_train(config: Config, command: Command) -> None:
    """Trains, evaluates, prints a short table and the path of the report."""
    kind, workdir = config.model.kind, command.workdir
    values = train.train_and_evaluate(
        config, workdir, init_from=command.init_from, say=command.say
    )
    if not is_first_process():
        return  # the first has written what is read now
    notes, compared = [], {}
    if values["test/majority/top3"]:
        ratio = values["test/top3"] / values["test/majority/top3"]
        notes = [f"top-3 of {kind} is {ratio:.2f} x that of the majority baseline."]
    if config.compare != "none":
        folder = train.compared_folder(config, workdir)
        compared[config.compare] = workdirs.read_metrics(folder)
        gain, error = evaluation.paired_difference(
            *(train.read_ranks(path) < 3 for path in (workdir, folder))
        )
        notes.append(
            f"{kind} minus {config.compare}, paired over {values['test/n']:,} test"
            f" rows: {gain:+.3f} ± {error:.3f}."
        )
    command.show(result_tables.to_markdown(report.short_table(kind, values, compared)))
    command.show("\n".join([*notes, f"report: {workdir / report.FILE}"]))


def run_evaluate(config: Config, command: Command) -> None:
    """Measures the trained model on a split; writes metrics_<split>.json."""
    model, listings = Model(command.workdir, config), data.load_listings(config)
    rows = listings.indices(command.split)
    outcome = evaluation.measure(
        model.outputs_of(listings.frame, listings.source, rows).scores,
        data.prices_of(listings)[rows],
        model.trained.ensemble.zones,
        model.trained.calibration,
    )
    values = evaluation.with_prefix(command.split, outcome.scalars)
    values |= note_other_data(command.workdir, listings.fingerprint, command.say)
    workdirs.write_metrics(command.workdir / f"metrics_{command.split}.json", values)
    command.show(result_tables.to_markdown([outcome.scalars]))


def summarise(table: pd.DataFrame) -> str:
    """What is said of a table of predictions."""
    failed = int((table["error"] != "").sum())
    return f"{len(table) - failed:,} predictions, {failed:,} errors"


def run_explain(config: Config, command: Command) -> None:
    """Draws what the network looked at, for the rows of --input or of a split."""
    if config.model.kind != "ican":
        raise UserError(f"a model of kind {config.model.kind} has no attention to draw")
    model = Model(command.workdir, config)
    folder = command.output or command.workdir / "figures" / "explain"
    if command.input is None:
        listings = data.load_listings(config)
        whole = listings.indices(command.split)
        rows, total = whole[:EXPLAINED], len(whole)
        outputs = model.outputs_of(listings.frame, listings.source, rows)
        explain.draw_rows(listings.source, rows, model, outputs, folder)
    else:
        predicted = model.predict_outputs(command.input, command.images or "")
        frame, rows = predicted.rows.frame, predicted.rows.usable
        total = len(frame)
        with contextlib.closing(predicted.rows.source) as source:
            verbs.say_errors(frame, command)
            if predicted.outputs is None:
                raise UserError(f"{command.input}: no row that can be read")
            explain.draw_rows(source, rows, model, predicted.outputs, folder)
    some = f" (of {total:,})" if len(rows) < total else ""
    command.show(f"{len(rows)} rows drawn{some}: {folder}")


def write_export(config: Config, command: Command, directory: pathlib.Path) -> None:
    """Writes the program that serves without this repository."""
    export.write(saved_model.load(command.workdir, config), directory)


MODES = {
    "train": verbs.train(run_train),
    "evaluate": verbs.evaluate(run_evaluate),
    "predict": verbs.predict_rows(Model, summarise),
    "explain": verbs.explain(run_explain),
    "export": verbs.export(write_export),
    "schema": verbs.schema(),
    "check": verbs.check(check.write),
    "reproduce": verbs.reproduce(reproduce.reproduce),
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs ican from the command line."""
    app.main(
        "ican",
        Config(),
        MODES,
        argv,
        summary="ican: price zones of second-hand items from photo and attributes",
    )
