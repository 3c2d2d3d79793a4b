"""The command line of forecast: flags to config to mode.

JAX and pandas are imported with the mode that runs, so that a wrong flag is answered
at once.
"""

import dataclasses
from collections.abc import Sequence
from typing import NoReturn

from common.cli import app, late_imports, modes
from forecast.config import Config

MODES = modes.of(
    "forecast.verbs",
    "train",
    "evaluate",
    "predict",
    "explain",
    "export",
    "schema",
    "check",
    "reproduce",
    takes={"predict": (), "explain": ("input", "output")},
    no_init_from="forecast has nothing to start from another run",
)
# Its columns are flags, not a file of their own form.
MODES["schema"] = dataclasses.replace(
    MODES["schema"],
    about="infer the columns of a table, as a flag file",
    run=late_imports.function("forecast.verbs.schema", "run"),
)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs forecast from the command line."""
    app.main(
        "forecast",
        Config(),
        MODES,
        argv,
        summary="forecast: sample paths of many series at once",
    )
