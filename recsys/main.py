"""The command line of recsys: flags to config to mode.

JAX and pandas are imported with the mode that runs, so that a wrong flag is answered
at once.
"""

from collections.abc import Sequence
from typing import NoReturn

from common.cli import app, late_imports, modes
from common.cli.app import Mode
from recsys.config import Config

MODES = {
    **modes.of(
        "recsys.verbs",
        "train",
        "evaluate",
        "predict",
        "explain",
        "export",
        "check",
        "reproduce",
        # New rows name users and items; their photos are drawn and never read.
        takes={
            "evaluate": ("split", "input"),
            "predict": (),
            "explain": ("input", "images", "output"),
        },
        no_init_from="recsys has nothing to start from another run",
    ),
    "import": Mode(
        "turn files of another library, --input, into tables in the folder --output",
        late_imports.function("recsys.verbs.import_tables", "run"),
        needs=("input", "output"),
        output="folder",
        replaces=("interactions.parquet", "items.parquet", "rejected.csv"),
    ),
    "simulate": Mode(
        "make up users for a catalogue: interactions into the table --output",
        late_imports.function("recsys.verbs.simulate", "run"),
        needs=("data.items", "output"),
        output="table",
    ),
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs recsys from the command line."""
    app.main(
        "recsys",
        Config(),
        MODES,
        argv,
        summary="recsys: recommendation where items are unique",
    )
