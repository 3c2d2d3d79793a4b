"""The command line of pricer: flags to config to mode.

JAX and pandas are imported with the mode that runs, so that a wrong flag is answered
at once.
"""

from collections.abc import Sequence
from typing import NoReturn

from common.cli import app, modes
from pricer.config import Config

MODES = modes.of(
    "pricer.verbs",
    "train",
    "evaluate",
    "predict",
    "explain",
    "export",
    "schema",
    "check",
    "reproduce",
    no_init_from="pricer starts from --networks.weights=FILE",
)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs pricer from the command line."""
    app.main(
        "pricer",
        Config(),
        MODES,
        argv,
        summary="pricer: price suggestions from photos, and a gate for good ones",
    )
