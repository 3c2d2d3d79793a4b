"""Verbs, and parts of them, that are the same in every system."""

import pathlib
from typing import Any

import pandas as pd

from common.cli.app import Run
from common.errors import UserError
from common.tables import inference
from common.tables import schema as schemas
from common.tables.table import read_table


def infer_schema(config: Any, run: Run) -> None:
    """`--mode=schema`: infers the schema of --data.path and writes or prints it.

    Args:
      config: of a system; its `data.path` is read.
      run: of the call.

    Raises:
      UserError: no table, or one that can't be read.
    """
    if not config.data.path:
        raise UserError("--mode=schema needs --data.path=TABLE")
    schema = inference.infer(read_table(config.data.path))
    if run.output is None:
        run.show(schemas.dumps(schema))
        return
    schemas.save(schema, run.output)
    run.show(f"schema: {run.output}; read it, edit it, then --data.schema={run.output}")


def table_output(run: Run) -> pathlib.Path:
    """The file of --output, fit to hold a table.

    Raises:
      UserError: another ending than .csv or .parquet, or no such folder.
    """
    output = run.need("output")
    if output.suffix not in (".csv", ".parquet"):
        raise UserError(f"--output={output}: must end with .csv or .parquet")
    if not output.parent.is_dir():
        raise UserError(f"--output={output}: there is no folder {output.parent}")
    return output


def say_errors(frame: pd.DataFrame, run: Run) -> None:
    """Prints the rows that could not be read, of a frame of `NewRows`."""
    failed = frame.loc[frame["error"] != "", ["line", "error"]]
    for line, error in failed.itertuples(index=False):
        run.say(f"line {line:.0f}: {error}")


def write_table(table: pd.DataFrame, output: pathlib.Path) -> None:
    """Writes predictions as CSV or Parquet, by the ending."""
    if output.suffix == ".csv":
        table.to_csv(output, index=False, float_format="%.6g")
    else:
        table.to_parquet(output, index=False)
