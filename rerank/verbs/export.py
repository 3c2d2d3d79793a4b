"""A trained model as programs that serve without this repository, one a length bucket.

    export/length_8/program.stablehlo, weights.npz, metadata.json, serve.py
    export/length_16/…

Each takes arrays of requests with so many places, any number of requests at a time.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from common.cli import verbs
from common.cli.app import Command
from common.parallel.devices import SINGLE
from common.serving import export
from rerank import batches, saved_model
from rerank.config import Config, Sizes
from rerank.ordering.ranker import answer, without_search
from rerank.saved_model import SavedModel
from rerank.step import example_batch

# What a request gives, and how serving fills it.
_HELP = {
    "mask": "True where a candidate stands; padding comes last",
    "fields": "standardised numbers of item and pair, as in training; 0 where missing",
    "category": "number of the category, the same as in the history; -1 for none",
    "present": "whether the candidate has each modality",
}


def inputs_of(sizes: Sizes, length: int) -> dict[str, jax.ShapeDtypeStruct]:
    """What a program takes of one request with so many places."""
    batch = example_batch(sizes, length)
    shapes = {name: (array.shape[1:], array.dtype) for name, array in batch.items()}
    for name, (shape, dtype) in shapes.items():
        if name.startswith("history_"):
            shapes[name] = ((sizes.history, *shape[1:]), dtype)
    shapes["prices"] = ((length,), jnp.dtype(jnp.float32))
    return {name: jax.ShapeDtypeStruct(*each) for name, each in shapes.items()}


def write(trained: SavedModel, directory: pathlib.Path) -> list[int]:
    """Writes a program for each bucket up to the longest list; returns their lengths.

    A program returns "order" int32 [B, L], the places of the candidates in the answer,
    "chance" [B, L] of the target at its places where orders are searched for, and
    "value" [B].

    Args:
      trained: the model.
      directory: made where absent.
    """
    config, learners = trained.config, trained.learners(SINGLE)
    fitted = trained.calibration
    searches = fitted.searches(config)
    if not searches:
        config = without_search(config)

    def predict(weights: Any, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
        outputs = answer(config, learners, weights, fitted, arrays)
        number = 2 if searches else 1
        return {
            "order": outputs.search if searches else outputs.sort,
            "chance": outputs.found,
            "value": outputs.values[:, number],
        }

    lengths = batches.buckets_up_to(trained.sizes.length)
    for length in lengths:
        export.export_program(
            predict,
            dict(trained.params),
            inputs_of(trained.sizes, length),
            directory / f"length_{length}",
            help=_HELP,
            about={"searches": searches, "target": config.loss.target},
        )
    return lengths


def write_trained(config: Config, command: Command, directory: pathlib.Path) -> None:
    """Writes the programs of the model in the workdir."""
    lengths = write(saved_model.load(command.workdir, config), directory)
    command.show(f"lists of up to {', '.join(map(str, lengths))} places")


run = verbs.export(write_trained)
