"""A trained model as a program that serves without this repository."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from common.cli import verbs
from common.cli.app import Command
from common.serving import export
from ican import saved_model
from ican.config import Config
from ican.saved_model import SavedModel
from ican.step import State


def inputs_of(trained: SavedModel) -> dict[str, jax.ShapeDtypeStruct]:
    """What the program takes of one item: attributes, and photos where it sees them.

    One photo a listing: "photo" uint8 [H, W, 3]. Several: "photos" uint8 [M, H, W, 3]
    and "photo_mask" float32 [M], 1 for a photo and 0 for none.
    """
    config, inputs = trained.learner.config, {}
    if config.model.sees_attributes:
        inputs = {
            name: jax.ShapeDtypeStruct((width,), dtype)
            for name, (width, dtype) in trained.learner.spec.arrays().items()
        }
    if config.model.sees_photos:
        count, side = config.photos.count, config.photos.crop
        shape = (side, side, 3)
        if count == 1:
            inputs["photo"] = jax.ShapeDtypeStruct(shape, jnp.uint8)
        else:
            inputs["photos"] = jax.ShapeDtypeStruct((count, *shape), jnp.uint8)
            inputs["photo_mask"] = jax.ShapeDtypeStruct((count,), jnp.float32)
    return inputs


def write(trained: SavedModel, directory: pathlib.Path) -> None:
    """Writes program, weights, vocabularies and loader.

    The program returns "probabilities" [B, J] of the price zones, and "price", the
    median of their distribution, "price_low" and "price_high" [B].

    Args:
      trained: the model.
      directory: made where absent.
    """
    zones, fitted = trained.ensemble.zones, trained.calibration

    def predict(weights: Any, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
        batch = dict(arrays)
        if "photo" in batch:
            batch["photos"] = batch.pop("photo")[:, None]  # [B, 1, H, W, 3]
            batch["photo_mask"] = jnp.ones((batch["photos"].shape[0], 1))
        state = State(weights["params"], weights["batch_stats"], None)
        outputs = trained.learner.predict(state, batch)
        known = fitted.distribution(outputs, zones, jnp)
        low, high = known.interval(fitted.radius)
        return {
            "probabilities": known.probabilities,
            "price": known.price(0.5),
            "price_low": low,
            "price_high": high,
        }

    photos = trained.learner.config.photos
    cut = photos.describe_cut()
    target = trained.schema.target
    sees_attributes = trained.learner.config.model.sees_attributes
    export.export_program(
        predict,
        {"params": trained.state.params, "batch_stats": trained.state.batch_stats},
        inputs_of(trained),
        directory,
        encoders=trained.encoders.to_json() if sees_attributes else None,
        help={"photo": cut, "photos": cut},
        about={
            "zones": zones.names(),
            "currency": target.currency if target else "",
            "interval": fitted.level,
        },
        photos=(
            export.describe_photos(trained.schema.images, photos)
            if trained.learner.config.model.sees_photos
            else None
        ),
    )


def write_trained(config: Config, command: Command, directory: pathlib.Path) -> None:
    """Writes the program of the model in the workdir."""
    write(saved_model.load(command.workdir, config), directory)


run = verbs.export(write_trained)
