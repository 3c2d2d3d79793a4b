"""The modes that systems have alike: what each does, needs and takes.

MODES = modes.of("ican.verbs", "train", "evaluate", "predict", "export", …)

A mode names the module of its function, `run(config, command)` of `ican.verbs.train`:
a wrong flag is answered before JAX and pandas are imported.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial

from common.cli import late_imports
from common.cli.app import Mode

# What an export holds, and what serving it leaves; an earlier one is written over.
_EXPORTED = (
    "__pycache__",
    "program.stablehlo",
    "weights.npz",
    "metadata.json",
    "serve.py",
    "photo_files.py",
    "words.py",
    "windows.py",
    "users.npy",
    "items.npy",
    "user_ids.json",
    "item_ids.json",
    "items.faiss",
    "items.usearch",
    "recall.json",
    "left_out_items.csv",
)


# Modes but for their functions, which come from the system.
_STANDARD = {
    "train": partial(
        Mode,
        "train, keep the best on validation, evaluate it on test",
        takes=("init_from", "break_lock"),
        writes=("",),
    ),
    "evaluate": partial(
        Mode,
        "metrics of the trained model on a --split",
        takes=("split",),
        trained=True,
        writes=("metrics_{split}.json",),
    ),
    "predict": partial(
        Mode,
        "predictions for the rows of --input, order kept, into --output",
        needs=("workdir", "input", "output"),
        takes=("images", "allow_missing_columns"),
        trained=True,
        output="table",
    ),
    "explain": partial(
        Mode,
        "draw what the model looked at",
        takes=("input", "images", "output", "split", "allow_missing_columns"),
        trained=True,
        output="folder",
        writes=("figures/explain/",),
    ),
    "export": partial(
        Mode,
        "write a program that serves without this code",
        takes=("output",),
        trained=True,
        output="folder",
        replaces=_EXPORTED,
        writes=("export/",),
    ),
    "schema": partial(
        Mode,
        "infer the schema file of a table",
        run=late_imports.function("common.cli.verbs", "infer_schema"),
        needs=("data.path",),
        takes=("workdir", "output"),
        output="file",
    ),
    "check": partial(
        Mode,
        "report on the data before training",
        takes=("init_from", "break_lock"),  # the flags of the run to come
        writes=("check.html",),
    ),
    "reproduce": partial(
        Mode,
        "a table of the paper, several seeds",
        takes=("break_lock",),
        writes=("tables/",),
    ),
}


def of(
    package: str,
    *names: str,
    takes: Mapping[str, tuple[str, ...]] | None = None,
    no_init_from: str = "",
) -> dict[str, Mode]:
    """The modes of a system, with the functions that its package holds.

    Args:
      package: has a module for each mode, named as the mode, with a function `run`.
      names: of the modes, in the order of `--help`.
      takes: {mode: run-level flags that it may be given}, where they are others.
      no_init_from: what a system says that can't start from another run.
    """
    found = {}
    for name in names:
        standard = _STANDARD[name]
        run = late_imports.function(f"{package}.{name}", "run")
        mode = standard(**{"run": run, **standard.keywords})
        if takes and name in takes:
            mode = dataclasses.replace(mode, takes=takes[name])
        if no_init_from and "init_from" in mode.takes:
            refused = {"init_from": no_init_from}
            left = tuple(flag for flag in mode.takes if flag != "init_from")
            mode = dataclasses.replace(mode, takes=left, refuses=refused)
        found[name] = mode
    return found
