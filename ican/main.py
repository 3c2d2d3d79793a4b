"""The command line of ican: flags to config to verb."""

import contextlib
from collections.abc import Sequence
from typing import NoReturn

from common.cli import app, verbs
from common.cli.app import Run
from common.errors import UserError
from common.parallel.processes import is_first_process
from common.reports import result_tables
from common.training import workdirs
from ican import data, evaluation, report, saved_model, train
from ican.config import Config
from ican.verbs import check, explain, export, reproduce
from ican.verbs.predict import Model


def run_train(config: Config, run: Run) -> None:
    """Trains, evaluates, prints a short table and the path of the report."""
    kind = config.model.kind
    values = train.train_and_evaluate(
        config, run.workdir, init_from=run.init_from, say=run.say
    )
    if not is_first_process():
        return  # the first has written what is read now
    notes, beside = [], {}
    if values["test/majority/top3"]:
        ratio = values["test/top3"] / values["test/majority/top3"]
        notes = [f"top-3 of {kind} is {ratio:.2f} x that of the majority baseline."]
    if config.compare != "none":
        folder = train.compared_folder(config, run.workdir)
        beside[config.compare] = workdirs.read_metrics(folder)
        gain, error = evaluation.paired_difference(
            *(train.read_ranks(path) < 3 for path in (run.workdir, folder))
        )
        notes.append(
            f"{kind} minus {config.compare}, paired over {values['test/n']:,} test"
            f" rows: {gain:+.3f} ± {error:.3f}."
        )
    run.show(result_tables.to_markdown(report.short_table(kind, values, beside)))
    run.show("\n".join([*notes, f"report: {run.workdir / report.FILE}"]))


def run_evaluate(config: Config, run: Run) -> None:
    """Measures the trained model on a split; writes metrics_<split>.json."""
    model, listings = Model(run.workdir, config), data.load_listings(config)
    rows = listings.indices(run.split)
    outcome = evaluation.measure(
        model.see(listings.frame, listings.source, rows).scores,
        data.prices_of(listings)[rows],
        model.trained.ensemble.zones,
        model.trained.calibration,
    )
    values = evaluation.with_prefix(run.split, outcome.scalars)
    workdirs.write_metrics(run.workdir / f"metrics_{run.split}.json", values)
    run.show(result_tables.to_markdown([outcome.scalars]))


def run_predict(config: Config, run: Run) -> None:
    """Writes a table of predictions for new rows."""
    output = verbs.table_output(run)
    table = Model(run.workdir, config).predict(run.need("input"), run.images or "")
    verbs.write_table(table, output)
    failed = int((table["error"] != "").sum())
    run.show(f"{len(table) - failed:,} predictions, {failed:,} errors: {output}")


def run_explain(config: Config, run: Run) -> None:
    """Draws what the network looked at, for the rows of --input or of a split."""
    if config.model.kind != "ican":
        raise UserError(f"a model of kind {config.model.kind} has no attention to draw")
    model = Model(run.workdir, config)
    folder = run.output or run.workdir / "figures" / "explain"
    if run.input is None:
        listings = data.load_listings(config)
        rows = listings.indices(run.split)[:EXPLAINED]
        seen = model.see(listings.frame, listings.source, rows)
        explain.draw_rows(listings.source, rows, model, seen, folder)
    else:
        looked = model.look(run.input, run.images or "")
        frame, rows = looked.rows.frame, looked.rows.usable
        with contextlib.closing(looked.rows.source) as source:
            verbs.say_errors(frame, run)
            if looked.seen is None:
                raise UserError(f"{run.input}: no row that can be read")
            explain.draw_rows(source, rows, model, looked.seen, folder)
    run.show(f"{len(rows)} rows drawn: {folder}")


def run_export(config: Config, run: Run) -> None:
    """Writes the program that serves without this repository."""
    directory = run.output or run.workdir / "export"
    export.write(saved_model.load(run.workdir, config), directory)
    run.show(f"exported: {directory}; see serve.py there")


def run_check(config: Config, run: Run) -> None:
    """Looks at data and network before training; writes check.html."""
    path, summary = check.write(config, run.workdir)
    run.show(summary)
    run.show(f"report: {path}")


def run_reproduce(config: Config, run: Run) -> None:
    """Runs the rows of Tables 3 and 4 with several seeds; prints both tables."""
    reproduce.reproduce(config, run.workdir, run.say)
    for name in ("results", "claims"):
        run.show((run.workdir / "tables" / f"{name}.md").read_text(encoding="utf-8"))


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
    """Runs ican from the command line."""
    app.main(
        "ican",
        Config(),
        VERBS,
        argv,
        summary="ican: price zones of second-hand items from photo and attributes",
    )
