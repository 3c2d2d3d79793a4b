"""The command line of the backbone training."""

from collections.abc import Sequence
from typing import NoReturn

from common.backbone.config import Config
from common.cli import app, late_imports
from common.cli.app import Mode

_VERBS = "common.backbone.verbs"

MODES = {
    "train": Mode(
        "train, keep the best on validation, evaluate it on test",
        late_imports.function(_VERBS, "run_train"),
        takes=("break_lock",),
        writes=("",),
    ),
    "features": Mode(
        "what the network sees in the photos of a table, into the folder --output",
        late_imports.function(_VERBS, "run_features"),
        needs=("workdir", "output"),
        trained=True,
        untrained="backbone.weights",
        output="folder",
        replaces=("features.npy", "items.parquet"),
    ),
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the backbone training from the command line."""
    app.main(
        "backbone",
        Config(),
        MODES,
        argv,
        summary="backbone: a network trained to name the class of a photo",
    )
