"""The command line of ican: flags to config to mode.

JAX and pandas are imported with the mode that runs, so that a wrong flag is answered
at once.
"""

from collections.abc import Sequence
from typing import NoReturn

from common.cli import app, modes
from ican.config import Config

MODES = modes.of(
    "ican.verbs",
    "train",
    "evaluate",
    "predict",
    "explain",
    "export",
    "schema",
    "check",
    "reproduce",
)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs ican from the command line."""
    app.main(
        "ican",
        Config(),
        MODES,
        argv,
        summary="ican: price zones of second-hand items from photo and attributes",
    )
