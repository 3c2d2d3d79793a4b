"""The command line of pricer: flags to config to mode."""

import contextlib
import pathlib
from collections.abc import Sequence
from typing import NoReturn

import pandas as pd

from common.cli import app, verbs
from common.cli.app import Command
from common.errors import UserError
from common.reports import result_tables
from common.training import workdirs
from common.training.data_identity import note_other_data
from pricer import data, evaluation, report, saved_model, train
from pricer.config import Config
from pricer.verbs import check, explain, export, reproduce
from pricer.verbs.predict import Model


def run_train(config: Config, command: Command) -> None:
    """Trains, evaluates, prints a short table."""
    if command.init_from is not None:
        raise UserError("--init_from: pricer starts from --networks.weights=FILE")
    values = train.train_and_evaluate(config, command.workdir, say=command.say)
    command.show(result_tables.to_markdown(report.short_table(values, "test")))
    whole, area = values["test_whole/male"], values["test/aurc"]
    notes = [
        f"{values['test/n']:,.0f} test rows, outliers left out; with them MALE {whole:.3f}.",
        f"area under the risk-coverage curve: {area:.3f}; without a gate"
        + f" {values['test/male_all']:.3f}, the best {values['test/aurc_best']:.3f}.",
    ]
    if "test/gate_auc" in values:
        notes.append(
            f"the gate ranks readable photos first: AUC {values['test/gate_auc']:.3f}."
        )
    command.show("\n".join([*notes, f"report: {command.workdir / report.FILE}"]))


def run_evaluate(config: Config, command: Command) -> None:
    """Measures the trained model on a split; writes metrics_<split>.json."""
    model, listings = Model(command.workdir, config), data.load_listings(config)
    examples = data.make_examples(config, listings)
    rows = examples.rows(command.split)
    context = examples.context.rows(rows)
    outputs = model.outputs_of(listings.frame, listings.source, rows, context)
    measured = evaluation.measure(
        outputs.suggestion,
        examples.log_prices[rows],
        model.trained.calibration,
        config.loss.band,
    )
    values = {f"{command.split}/{name}": value for name, value in measured.items()}
    values |= note_other_data(command.workdir, listings.fingerprint, command.say)
    workdirs.write_metrics(command.workdir / f"metrics_{command.split}.json", values)
    command.show(result_tables.to_markdown(report.short_table(values, command.split)))


def summarise(table: pd.DataFrame) -> str:
    """What is said of a table of suggestions."""
    failed = int((table["error"] != "").sum())
    accepted = int((table["accepted"] == True).sum())
    refused = len(table) - failed - accepted
    return f"{accepted:,} suggestions, {refused:,} refused, {failed:,} errors"


def run_explain(config: Config, command: Command) -> None:
    """Draws what drove price and gate, for the rows of --input or of a split."""
    model = Model(command.workdir, config)
    folder = command.output or command.workdir / "figures" / "explain"
    if command.input is None:
        listings = data.load_listings(config)
        whole = listings.indices(command.split)
        rows, total = whole[:EXPLAINED], len(whole)
        context = data.make_examples(config, listings).context.rows(rows)
        explain.draw_rows(listings.source, rows, model, context, folder)
    else:
        new = model.read(command.input, command.images or "")
        with contextlib.closing(new.source):
            verbs.say_errors(new.frame, command)
            rows, total = new.usable, len(new.frame)
            if not len(rows):
                raise UserError(f"{command.input}: no row that can be read")
            context = model.context(new.frame.iloc[rows])
            explain.draw_rows(new.source, rows, model, context, folder)
    some = f" (of {total:,})" if len(rows) < total else ""
    command.show(f"{len(rows)} rows drawn{some}: {folder}")


def write_export(config: Config, command: Command, directory: pathlib.Path) -> None:
    """Writes the program that serves without this repository."""
    export.write(saved_model.load(command.workdir, config), directory)


EXPLAINED = 16  # rows of a split that are drawn; rows of --input are drawn all

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
    """Runs pricer from the command line."""
    app.main(
        "pricer",
        Config(),
        MODES,
        argv,
        summary="pricer: price suggestions from photos, and a gate for good ones",
    )
