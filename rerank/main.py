"""The command line of rerank: flags to config to mode.

JAX and pandas are imported with the mode that runs, so that a wrong flag is answered
at once.
"""

from collections.abc import Sequence
from typing import NoReturn

from common.cli import app, late_imports, modes
from common.cli.app import Mode
from rerank.config import Config

MODES = {
    **modes.of(
        "rerank.verbs",
        "train",
        "evaluate",
        "predict",
        "explain",
        "export",
        "check",
        "reproduce",
        takes={"predict": (), "explain": ("input", "output", "split")},
        no_init_from="rerank has nothing to start from another run",
    ),
    "serve": Mode(
        "answer requests over HTTP: POST /v1/rerank/predict",
        late_imports.function("rerank.verbs.serve", "run"),
        trained=True,
    ),
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs rerank from the command line."""
    app.main(
        "rerank",
        Config(),
        MODES,
        argv,
        summary="rerank: the order of a search result from text, images and context",
    )
