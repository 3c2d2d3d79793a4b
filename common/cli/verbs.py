"""Modes that are the same in every system, made of what each system has.

MODES = {
    "train": verbs.train(run_train),
    "predict": verbs.predict_rows(Model, summarise),
    "export": verbs.export(export.write),
    "schema": verbs.schema(),
    …
}
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from common.cli.app import Command, Mode
from common.errors import UserError
from common.parallel.processes import is_first_process
from common.tables import guess_notes, inference
from common.tables import schema as schemas
from common.tables.table import read_table
from common.training.workdirs import Say

Run = Callable[[Any, Command], None]


def train(run: Run) -> Mode:
    """`--mode=train`."""
    return Mode("train, keep the best on validation, evaluate it on test", run)


def evaluate(run: Run) -> Mode:
    """`--mode=evaluate`."""
    return Mode("metrics of the trained model on a --split", run, trained=True)


def explain(run: Run) -> Mode:
    """`--mode=explain`."""
    return Mode("draw what the model looked at", run, trained=True)


def predict(run: Run) -> Mode:
    """`--mode=predict`."""
    return Mode(
        "predictions for the rows of --input, order kept, into --output",
        run,
        needs=("workdir", "input", "output"),
        trained=True,
    )


def predict_rows(
    model: Callable[[pathlib.Path, Any], Any], summarise: Callable[[pd.DataFrame], str]
) -> Mode:
    """`--mode=predict` where a row of the output stands for one of the input.

    Args:
      model: (workdir, config) -> trained model with `predict(table, images)`.
      summarise: the table of predictions -> what is printed of it.
    """

    def run(config: Any, command: Command) -> None:
        output = table_output(command)
        table = model(command.workdir, config).predict(
            command.need("input"),
            command.images or "",
            allow_missing_columns=command.allow_missing_columns,
        )
        write_table(table, output)
        command.show(f"{summarise(table)}: {output}")

    return predict(run)


def export(write: Callable[[Any, Command, pathlib.Path], None]) -> Mode:
    """`--mode=export`.

    Args:
      write: (config, command, folder) writes the program, and shows what else is to be
        said of it.
    """

    def write_export(config: Any, command: Command) -> None:
        directory = command.output or command.workdir / "export"
        write(config, command, directory)
        command.show(f"exported: {directory}; see serve.py there")

    return Mode(
        "write a program that serves without this code", write_export, trained=True
    )


def check(write: Callable[[Any, pathlib.Path, Say], tuple[pathlib.Path, str]]) -> Mode:
    """`--mode=check`.

    Args:
      write: (config, workdir, say) -> (path of the page, its summary as Markdown).
    """

    def write_check(config: Any, command: Command) -> None:
        path, summary = write(config, command.workdir, command.say)
        command.show(summary)
        command.show(f"report: {path}")

    return Mode("report on the data before training", write_check)


def reproduce(run: Callable[[Any, pathlib.Path, Say], Sequence[str]]) -> Mode:
    """`--mode=reproduce`.

    Args:
      run: (config, workdir, say) -> names of the tables that it has written on the
        first process, in their order.
    """

    def show_tables(config: Any, command: Command) -> None:
        names = run(config, command.workdir, command.say)
        if is_first_process():
            for name in names:
                path = command.workdir / "tables" / f"{name}.md"
                command.show(path.read_text(encoding="utf-8"))

    return Mode("a table of the paper, several seeds", show_tables)


def schema() -> Mode:
    """`--mode=schema`."""
    return Mode("infer the schema file of a table", infer_schema, needs=())


def infer_schema(config: Any, command: Command) -> None:
    """Infers the schema of --data.path and writes or prints it.

    Args:
      config: of a system; its `data.path` is read.
      command: of the call.

    Raises:
      UserError: no table, or one that can't be read.
    """
    if not config.data.path:
        raise UserError("--mode=schema needs --data.path=TABLE")
    table = read_table(config.data.path)
    inferred = inference.infer(table)
    for note in guess_notes.notes(table, inferred):
        command.say(f"note: {note}")
    output = command.output
    if output is None:
        command.show(schemas.dumps(inferred))
        return
    schemas.save(inferred, output)
    command.show(f"schema: {output}; read it, edit it, then --data.schema={output}")


def table_output(command: Command) -> pathlib.Path:
    """The file of --output, fit to hold a table.

    Raises:
      UserError: another ending than .csv or .parquet, or no such folder.
    """
    output = command.need("output")
    if output.suffix not in (".csv", ".parquet"):
        raise UserError(f"--output={output}: must end with .csv or .parquet")
    if not output.parent.is_dir():
        raise UserError(f"--output={output}: there is no folder {output.parent}")
    return output


def say_errors(frame: pd.DataFrame, command: Command) -> None:
    """Prints the rows that could not be read, of a frame of `NewRows`."""
    failed = frame.loc[frame["error"] != "", ["line", "error"]]
    for line, error in failed.itertuples(index=False):
        command.say(f"line {line:.0f}: {error}")


def write_table(table: pd.DataFrame, output: pathlib.Path) -> None:
    """Writes predictions as CSV or Parquet, by the ending."""
    if output.suffix == ".csv":
        table.to_csv(output, index=False, float_format="%.6g")
    else:
        table.to_parquet(output, index=False)
