"""A trained pricer as a program that serves without this repository."""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from common.cli import verbs
from common.cli.app import Command
from common.serving import export
from common.tables.encoders import RESERVED, Encoders, Fitted, Vocabulary
from common.tables.schema import Attribute
from pricer import networks, saved_model
from pricer.comparables import Comparables
from pricer.config import Config
from pricer.saved_model import SavedModel
from pricer.step import Scales, State

_KEYS = ("category", "seller")


def encoders_of(trained: SavedModel) -> Encoders:
    """Of the keys of the price statistics, as far as there are any, and of texts."""
    labels, history = trained.config.labels, trained.history
    names = {"category": labels.category, "seller": labels.seller}
    tables = {"category": history.categories, "seller": history.sellers}
    columns = {a.name: a.columns[0] for a in trained.schema.attributes}
    fitted: list[Fitted] = []
    for key in _KEYS:
        table = tables[key]
        if trained.config.statistics.use and names[key] and table is not None:
            attribute = Attribute(key, "categorical", (columns[names[key]],))
            fitted.append(Vocabulary(attribute, table.names))
    return Encoders((*fitted, *trained.encoders.attributes))


def statistics_tables(trained: SavedModel, encoders: Encoders) -> dict[str, np.ndarray]:
    """Statistics by the ids of the encoders.

    The statistics of an item are base + sum over keys of table[key][id]: those of
    category and seller stand in columns of their own.

    Returns:
      {"base": [S], key: [ids, S] differences from it}, float32; the reserved ids have
      none.
    """
    if not trained.config.statistics.use:
        return {"base": np.zeros(0, np.float32)}
    (base,) = trained.history.features(None, None, rows=1)
    tables = {"base": base}
    for vocabulary in _vocabularies(encoders):
        key, keys = vocabulary.attribute.name, list(vocabulary.categories)
        whole = trained.history.features(
            keys if key == "category" else None,
            keys if key == "seller" else None,
            rows=len(keys),
        )
        reserved = np.zeros((RESERVED, len(base)), np.float32)
        tables[key] = np.concatenate([reserved, whole - base])
    return tables


def _vocabularies(encoders: Encoders) -> list[Vocabulary]:
    """Those of the keys."""
    return [fitted for fitted in encoders.attributes if isinstance(fitted, Vocabulary)]


def inputs_of(
    trained: SavedModel, keys: Sequence[str]
) -> dict[str, jax.ShapeDtypeStruct]:
    """What the program takes of one item: photos, ids of the keys and words if any.

    One photo a listing: "photo" uint8 [H, W, 3]. Several: "photos" uint8 [M, H, W, 3]
    and "photo_mask" float32 [M], 1 for a photo and 0 for none.
    """
    count, side = trained.config.photos.count, trained.config.photos.crop
    inputs = {}
    if keys:
        inputs["categorical"] = jax.ShapeDtypeStruct((len(keys),), jnp.int32)
    if trained.encoders.attributes:
        arrays = trained.encoders.spec().arrays()
        for name in ("word_ids", "word_weights"):
            width, dtype = arrays[name]
            inputs[name] = jax.ShapeDtypeStruct((width,), dtype)
    if count == 1:
        inputs["photo"] = jax.ShapeDtypeStruct((side, side, 3), jnp.uint8)
    else:
        inputs["photos"] = jax.ShapeDtypeStruct((count, side, side, 3), jnp.uint8)
        inputs["photo_mask"] = jax.ShapeDtypeStruct((count,), jnp.float32)
    return inputs


def weights_of(trained: SavedModel, encoders: Encoders) -> dict[str, Any]:
    """What the program computes with."""
    # Numbered, since jax sorts the keys of a dict.
    numbered = {
        f"{number}_{task}": networks.in_network(variables)
        for number, (task, variables) in enumerate(trained.networks.items())
    }
    return {
        "networks": numbered,
        "statistics": statistics_tables(trained, encoders),
        "heads": {
            "params": trained.state.params,
            "scales": trained.state.scales._asdict(),
        },
        "comparables": trained.compared.items._asdict() if trained.compared else {},
    }


def write(trained: SavedModel, directory: pathlib.Path) -> None:
    """Writes program, weights, vocabularies and loader.

    The program takes photos, the columns of category and seller and texts, and returns
    "price", "price_low", "price_high" [B], "gate" [B] (f_cls), and "accepted" [B], 1
    where the gate finds that the photo carries enough for the price to be shown. That a
    photo shows something at all is for the caller to see to, see `photo_quality`.

    Args:
      trained: the model.
      directory: made where absent.
    """
    encoders, fitted = encoders_of(trained), trained.calibration
    keys = [vocabulary.attribute.name for vocabulary in _vocabularies(encoders)]
    undo = jnp.exp if trained.config.prices.transform == "log" else jnp.expm1

    def predict(weights: Any, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
        batch = dict(arrays)
        if "photo" in batch:
            batch["photos"] = batch.pop("photo")[:, None]  # [B, 1, H, W, 3]
            batch["photo_mask"] = jnp.ones((batch["photos"].shape[0], 1))
        tables = weights["statistics"]
        rows = batch["photos"].shape[0]
        statistics = jnp.broadcast_to(
            tables["base"][None], (rows, *tables["base"].shape)
        )
        for column, key in enumerate(keys):
            statistics = statistics + tables[key][batch["categorical"][:, column]]
        head, items = weights["heads"], weights["comparables"]
        outputs = trained.predict(
            {
                "networks": tuple(weights["networks"].values()),
                "heads": State(head["params"], Scales(**head["scales"]), None, None),
                "comparables": Comparables(**items) if items else None,
            },
            {**batch, "statistics": statistics},
        )
        point, logit = outputs.suggestion
        return {
            "price": undo(point),
            "price_low": undo(point - fitted.radius),
            "price_high": undo(point + fitted.radius),
            "gate": jax.nn.sigmoid(logit),
            "accepted": (logit >= fitted.threshold.logit).astype(jnp.int32),
        }

    cut = trained.config.photos.describe_cut()
    target = trained.schema.target
    export.export_program(
        predict,
        weights_of(trained, encoders),
        inputs_of(trained, keys),
        directory,
        encoders=encoders.to_json() if encoders.attributes else None,
        help={"photo": cut, "photos": cut},
        about={
            "currency": target.currency if target else "",
            "interval": fitted.level,
            "threshold": fitted.threshold.logit,
        },
        photos=export.describe_photos(trained.schema.images, trained.config.photos),
    )


def write_trained(config: Config, command: Command, directory: pathlib.Path) -> None:
    """Writes the program of the model in the workdir."""
    write(saved_model.load(command.workdir, config), directory)


run = verbs.export(write_trained)
