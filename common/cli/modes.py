"""The modes that systems have alike: what each does, needs and takes.

MODES = modes.of("ican.verbs", "train", "evaluate", "predict", "export", …)

A mode names the module of its function, `run(config, command)` of `ican.verbs.train`:
a wrong flag is answered before JAX and pandas are imported.
"""

import dataclasses
from typing import Any

from common.cli import late_imports
from common.cli.app import Command, Mode

# What an export holds, and what serving it leaves; an earlier one is written over.
_EXPORTED = (
    "__pycache__",
    "program.stablehlo",
    "weights.npz",
    "metadata.json",
    "serve.py",
    "photo_files.py",
    "users.npy",
    "items.npy",
    "user_ids.json",
    "item_ids.json",
    "items.faiss",
    "items.usearch",
    "recall.json",
    "left_out_items.csv",
)


def _not_yet(config: Any, command: Command) -> None:
    raise NotImplementedError("the function of a mode comes from its package")


_STANDARD = {
    "train": Mode(
        "train, keep the best on validation, evaluate it on test",
        _not_yet,
        takes=("init_from", "break_lock"),
        writes=("",),
    ),
    "evaluate": Mode(
        "metrics of the trained model on a --split",
        _not_yet,
        takes=("split",),
        trained=True,
        writes=("metrics_{split}.json",),
    ),
    "predict": Mode(
        "predictions for the rows of --input, order kept, into --output",
        _not_yet,
        needs=("workdir", "input", "output"),
        takes=("images", "allow_missing_columns"),
        trained=True,
        output="table",
    ),
    "explain": Mode(
        "draw what the model looked at",
        _not_yet,
        takes=("input", "images", "output", "split", "allow_missing_columns"),
        trained=True,
        output="folder",
        writes=("figures/explain/",),
    ),
    "export": Mode(
        "write a program that serves without this code",
        _not_yet,
        takes=("output",),
        trained=True,
        output="folder",
        replaces=_EXPORTED,
        writes=("export/",),
    ),
    "schema": Mode(
        "infer the schema file of a table",
        late_imports.function("common.cli.verbs", "infer_schema"),
        needs=("data.path",),
        takes=("workdir", "output"),
        output="file",
    ),
    "check": Mode(
        "report on the data before training",
        _not_yet,
        takes=("init_from", "break_lock"),  # the flags of the run to come
        writes=("check.html",),
    ),
    "reproduce": Mode(
        "a table of the paper, several seeds",
        _not_yet,
        takes=("break_lock",),
        writes=("tables/",),
    ),
}


def of(package: str, *names: str, no_init_from: str = "") -> dict[str, Mode]:
    """The modes of a system, with the functions that its package holds.

    Args:
      package: has a module for each mode, named as the mode, with a function `run`.
      names: of the modes, in the order of `--help`.
      no_init_from: what a system says that can't start from another run.
    """
    found = {}
    for name in names:
        mode = _STANDARD[name]
        if mode.run is _not_yet:
            run = late_imports.function(f"{package}.{name}", "run")
            mode = dataclasses.replace(mode, run=run)
        if no_init_from and "init_from" in mode.takes:
            refused = {"init_from": no_init_from}
            takes = tuple(flag for flag in mode.takes if flag != "init_from")
            mode = dataclasses.replace(mode, takes=takes, refuses=refused)
        found[name] = mode
    return found
