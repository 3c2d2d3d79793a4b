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
from rerank.config import POINTWISE, Config
from rerank.ordering.ranker import Calibration, Outputs, answer, without_search
from rerank.saved_model import SavedModel
from rerank.step import example_batch

# What a request gives, and how serving fills it.
_HELP = {
    "mask": "True where a candidate stands; padding comes last",
    "fields": "standardised numbers of item and pair, as in training; 0 where missing",
    "category": "number of the category, the same as in the history; -1 for none",
    "present": "whether the candidate has each modality",
}


def inputs_of(trained: SavedModel, length: int) -> dict[str, jax.ShapeDtypeStruct]:
    """What a program takes of one request with so many places."""
    sizes, encoder = trained.sizes, trained.encoder
    words = 1 if encoder is None else encoder.length
    batch = example_batch(sizes, length, sizes.history, words)
    return {
        name: jax.ShapeDtypeStruct(array.shape[1:], array.dtype)
        for name, array in batch.items()
    }


def write(trained: SavedModel, directory: pathlib.Path) -> list[int]:
    """Writes a program for each bucket up to the longest list; returns their lengths.

    A program returns "order" int32 [B, L], the places of the candidates in the answer,
    "chance" [B, L] of the target at its places, and "value" [B]. It knows no pins and no
    caps.

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
        return choose(outputs, searches, fitted)

    lengths = batches.buckets_up_to(trained.sizes.length)
    for length in lengths:
        export.export_program(
            predict,
            dict(trained.params),
            inputs_of(trained, length),
            directory / f"length_{length}",
            help=_HELP,
            about={"searches": searches, "target": config.loss.target},
        )
    return lengths


def choose(outputs: Outputs, searches: bool, fitted: Calibration) -> dict[str, Any]:
    """What a program returns, see `write`; `searches` says which order is the answer."""
    if searches:
        order, chance, value = outputs.search, outputs.found, outputs.values[:, 2]
    else:
        order, value = outputs.sort, outputs.values[:, 1]
        said = jnp.take_along_axis(outputs.pointwise, order, axis=1)
        chance = jax.nn.sigmoid(fitted.apply(POINTWISE, said))
    return {"order": order, "chance": chance, "value": value}


def write_trained(config: Config, command: Command, directory: pathlib.Path) -> None:
    """Writes the programs of the model in the workdir."""
    lengths = write(saved_model.load(command.workdir, config), directory)
    command.show(f"lists of up to {', '.join(map(str, lengths))} places")


run = verbs.export(write_trained)
