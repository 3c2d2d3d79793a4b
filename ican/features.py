"""Feature maps of a frozen backbone, computed once for all rows."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from common import pretrained
from common.backbone import extraction
from common.layers import backbones
from common.parallel.execution import Execution
from common.parallel.precision import compute_dtype
from ican import model, saved_model
from ican.config import Config
from ican.data import Examples


def cache(
    config: Config,
    examples: Examples,
    execution: Execution,
    start: Mapping[str, Any],
    workdir: pathlib.Path,
) -> tuple[Examples, tuple[int, int]]:
    """Puts feature maps in the place of photos.

    The maps come from centre crops and are pooled over the photos of a row. They are
    kept under `config.backbone.cache`, keyed by weights, crops and data; a cache that
    was cut off is completed. The backbone is copied into the workdir, so that the
    trained model predicts from photos without another file.

    Args:
      config: of the run.
      examples: rows with photos.
      execution: to run the backbone on.
      start: weights; {"params": {"backbone": …}, "batch_stats": {"backbone": …}}.
      workdir: of the run.

    Returns:
      (the rows with features, shape (P, C) of a map).

    Raises:
      UserError: a cache of something else or a damaged one.
    """
    variables = {name: modules["backbone"] for name, modules in start.items()}
    sizes = config.backbone.sizes
    side = config.backbone.side(config.photos.crop)
    shape = (side * side, sizes.width)
    key = {
        "weights": extraction.hash_weights(variables),
        "photos": config.photos.key,
        "pool": str(config.backbone.pool),
        "precision": config.precision,
        "data": examples.listings.photos,
    }
    dtype = compute_dtype(config.precision)
    backbone = backbones.make(sizes, dtype, execution.devices)

    def feature_maps(state: Any, batch: Mapping[str, jax.Array]) -> jax.Array:
        def maps_of(photos: jax.Array) -> jax.Array:
            images = backbones.normalise(sizes, photos, dtype or jnp.float32)
            maps: Any = backbone.apply(state, images)
            return maps

        return model.pooled_feature_maps(
            maps_of,
            batch["photos"],
            batch["photo_mask"],
            config.backbone.pool,
        )

    store = extraction.extract(
        config.backbone.cache,
        key,
        (len(examples.prices), *shape),
        feature_maps,
        variables,
        examples.listings.source,
        dataclasses.replace(examples.loader, photos=config.photos).load,
        batch_size=config.train.batch_size,
        execution=execution,
    )
    if jax.process_index() == 0:
        pretrained.save_backbone(workdir / saved_model.BACKBONE, sizes, variables)
    return examples.with_features(store, config.photos.count), shape
