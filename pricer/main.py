"""The command line of pricer: flags to config to verb."""

import contextlib
from collections.abc import Sequence
from typing import NoReturn

from common.cli import app, verbs
from common.cli.app import Run
from common.errors import UserError
from common.reports import result_tables
from common.training import workdirs
from pricer import data, evaluation, report, saved_model, train
from pricer.config import Config
from pricer.verbs import check, explain, export, reproduce
from pricer.verbs.predict import Model


def run_train(config: Config, run: Run) -> None:
    """Trains, evaluates, prints a short table."""
    if run.init_from is not None:
        raise UserError("--init_from: pricer starts from --networks.weights=FILE")
    values = train.train_and_evaluate(config, run.workdir, say=run.say)
    run.show(result_tables.to_markdown(report.short_table(values, "test")))
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
    run.show("\n".join([*notes, f"report: {run.workdir / report.FILE}"]))


def run_evaluate(config: Config, run: Run) -> None:
    """Measures the trained model on a split; writes metrics_<split>.json."""
    model, listings = Model(run.workdir, config), data.load_listings(config)
    examples = data.make_examples(config, listings)
    rows = examples.rows(run.split)
    context = examples.context.rows(rows)
    said = model.see(listings.frame, listings.source, rows, context).said
    measured = evaluation.measure(
        said, examples.log_prices[rows], model.trained.calibration, config.loss.band
    )
    values = {f"{run.split}/{name}": value for name, value in measured.items()}
    workdirs.write_metrics(run.workdir / f"metrics_{run.split}.json", values)
    run.show(result_tables.to_markdown(report.short_table(values, run.split)))


def run_predict(config: Config, run: Run) -> None:
    """Writes a table of suggestions for new rows."""
    output = verbs.table_output(run)
    table = Model(run.workdir, config).predict(run.need("input"), run.images or "")
    verbs.write_table(table, output)
    failed = int((table["error"] != "").sum())
    accepted = int((table["accepted"] == True).sum())
    run.show(
        f"{accepted:,} suggestions, {len(table) - failed - accepted:,} refused,"
        f" {failed:,} errors: {output}"
    )


def run_explain(config: Config, run: Run) -> None:
    """Draws what drove price and gate, for the rows of --input or of a split."""
    model = Model(run.workdir, config)
    folder = run.output or run.workdir / "figures" / "explain"
    if run.input is None:
        listings = data.load_listings(config)
        rows = listings.indices(run.split)[:EXPLAINED]
        context = data.make_examples(config, listings).context.rows(rows)
        explain.draw_rows(listings.source, rows, model, context, folder)
    else:
        new = model.read(run.input, run.images or "")
        with contextlib.closing(new.source):
            verbs.say_errors(new.frame, run)
            rows = new.usable
            if not len(rows):
                raise UserError(f"{run.input}: no row that can be read")
            context = model.context(new.frame.iloc[rows])
            explain.draw_rows(new.source, rows, model, context, folder)
    run.show(f"{len(rows)} rows drawn: {folder}")


def run_export(config: Config, run: Run) -> None:
    """Writes the program that serves without this repository."""
    directory = run.output or run.workdir / "export"
    export.write(saved_model.load(run.workdir, config), directory)
    run.show(f"exported: {directory}; see serve.py there")


def run_check(config: Config, run: Run) -> None:
    """Looks at data, networks and disk before training; writes check.html."""
    path, summary = check.write(config, run.workdir)
    run.show(summary)
    run.show(f"report: {path}")


def run_reproduce(config: Config, run: Run) -> None:
    """Runs the rows of Tables 2 to 5 with several seeds; prints them."""
    for name in reproduce.reproduce(config, run.workdir, run.say):
        path = run.workdir / "tables" / f"{name}.md"
        run.show(path.read_text(encoding="utf-8"))


EXPLAINED = 16  # rows of a split that are drawn; rows of --input are drawn all

VERBS = {
    "train": run_train,
    "evaluate": run_evaluate,
    "predict": run_predict,
    "explain": run_explain,
    "export": run_export,
    "schema": verbs.infer_schema,
    "check": run_check,
    "reproduce": run_reproduce,
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs pricer from the command line."""
    app.main(
        "pricer",
        Config(),
        VERBS,
        argv,
        summary="pricer: price suggestions from photos, and a gate for good ones",
    )
