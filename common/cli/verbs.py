"""What modes do alike in every system, made of what each system has.

run = verbs.predict_rows(Model, summarise)  # in ican/verbs/predict.py
run = verbs.check(write)  # in ican/verbs/check.py
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from common.cli import outputs
from common.cli.app import Command
from common.errors import UserError
from common.parallel.processes import is_first_process
from common.reports import result_tables
from common.tables import guess_notes, inference
from common.tables import schema as schemas
from common.tables.table import read_table
from common.training import workdirs
from common.training.workdirs import Say

Run = Callable[[Any, Command], None]


def predict_rows(
    model: Callable[[pathlib.Path, Any], Any], summarise: Callable[[pd.DataFrame], str]
) -> Run:
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

    return run


def export(write: Callable[[Any, Command, pathlib.Path], None]) -> Run:
    """`--mode=export`.

    Args:
      write: (config, command, folder) writes the program, and shows what else is to be
        said of it.
    """

    def write_export(config: Any, command: Command) -> None:
        directory = command.output or command.workdir / "export"
        write(config, command, directory)
        serve = "; see serve.py there" if (directory / "serve.py").exists() else ""
        command.show(f"exported: {directory}{serve}")

    return write_export


def check(write: Callable[[Any, pathlib.Path, Say], tuple[pathlib.Path, str]]) -> Run:
    """`--mode=check`.

    Args:
      write: (config, workdir, say) -> (path of the page, its summary as Markdown).
    """

    def write_check(config: Any, command: Command) -> None:
        path, summary = write(config, command.workdir, command.say)
        command.show(summary)
        command.show(f"report: {path}")

    return write_check


def reproduce(run: Callable[[Any, pathlib.Path, Say], Sequence[str]]) -> Run:
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

    return show_tables


def infer_schema(config: Any, command: Command) -> None:
    """`--mode=schema`: infers the schema of --data.path and writes or prints it.

    Args:
      config: of a system; its `data.path` is read.
      command: of the call.

    Raises:
      UserError: a table that can't be read.
    """
    table = read_table(config.data.path)
    inferred = inference.infer(table, texts=True)
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
      UserError: see `outputs.check_file`.
    """
    output = command.need("output")
    outputs.check_file(output, flag="--output=", table=True)
    return output


def drawing_folder(command: Command) -> pathlib.Path:
    """Where explain draws: --output, or a folder of the workdir that it clears first.

    Pictures of two calls would look like those of one.
    """
    if command.output is not None:
        return command.output
    folder = command.workdir / "figures" / "explain"
    for drawn in folder.glob("*.png"):
        drawn.unlink()
    return folder


def say_errors(frame: pd.DataFrame, command: Command) -> None:
    """Prints the rows that could not be read, of a frame of `NewRows`."""
    failed = frame.loc[frame["error"] != "", ["line", "error"]]
    for line, error in failed.itertuples(index=False):
        command.say(f"line {line:.0f}: {error}")


def write_table(table: pd.DataFrame, output: pathlib.Path) -> None:
    """Writes predictions as CSV or Parquet, by the ending.

    A reader sees the old or the new file, whole. In CSV numbers have six digits, and
    all of those before the point.

    Raises:
      UserError: it can't be written.
    """
    try:
        with workdirs.replacing(output) as temporary:
            if output.suffix == ".csv":
                form = result_tables.format_plain
                table.to_csv(temporary, index=False, float_format=form)
            else:
                table.to_parquet(temporary, index=False)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{output}: can't be written ({reason})") from None
