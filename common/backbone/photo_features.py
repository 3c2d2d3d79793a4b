"""What a trained network sees in photos: the layer before its output, kept on disk."""

import functools
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from common.backbone import extraction
from common.backbone.network import PhotoNetwork
from common.data.crops import PhotosConfig, cut_photos
from common.data.feature_cache import FeatureCache
from common.data.listings import Listings, Record
from common.layers import resnet
from common.parallel.execution import Execution
from common.parallel.precision import compute_dtype


def extract(
    folder: str | os.PathLike,
    depth: str,
    variables: Mapping[str, Any],
    photos: PhotosConfig,
    precision: str,
    listings: Listings,
    *,
    batch_size: int,
    execution: Execution,
    name: str = "photos",
) -> FeatureCache:
    """Opens the vectors of all rows, and computes those that are not there yet.

    What was cut off goes on where it stopped.

    Args:
      folder: of all features; weights, photos and data name a folder in it.
      depth: of the network, a ResNet preset.
      variables: of the ResNet, {"params" and "batch_stats": tree}.
      photos: how they are cut; of each listing the first `photos.count` are pooled.
      precision: of the computation.
      listings: all N rows; one without a photo has a vector of zeros.
      batch_size: rows at a time.
      execution: what to run on.
      name: what the progress bar and the folder call them.

    Returns:
      [N, C], complete.

    Raises:
      UserError: vectors of other weights, damaged ones, or nowhere to write.
    """
    network = PhotoNetwork(depth, 1, compute_dtype(precision), execution.devices)
    wrapped = {kind: {"backbone": tree} for kind, tree in variables.items()}
    return extraction.extract(
        folder,
        {
            "weights": extraction.hash_weights(wrapped),
            "photos": photos.key,
            "precision": precision,
            "data": listings.fingerprint,
        },
        (len(listings.frame), resnet.width(depth)),
        functools.partial(look, network),
        wrapped,
        listings.source,
        functools.partial(load, photos),
        batch_size=batch_size,
        execution=execution,
        name=name,
    )


def load(photos: PhotosConfig, record: Record) -> dict[str, np.ndarray]:
    """What `look` sees of a row: "photos" uint8 [M, H, W, 3], "photo_mask" [M]."""
    cut, mask = cut_photos(record["images"], photos, None)
    return {"photos": cut, "photo_mask": mask}


def look(network: Any, variables: Any, batch: Mapping[str, jax.Array]) -> jax.Array:
    """`pool_photos` of a batch of `load`ed rows."""
    return pool_photos(network, variables, batch["photos"], batch["photo_mask"])


def pool_photos(
    network: Any, variables: Any, photos: jax.Array, mask: jax.Array
) -> jax.Array:
    """Mean vector over the photos of each row; zeros where a row has none.

    Args:
      network: a `PhotoNetwork`.
      variables: its weights.
      photos: uint8 [B, M, H, W, 3].
      mask: [B, M], 1 for a photo and 0 for none.

    Returns:
      float32 [B, C].
    """
    flat = photos.reshape(-1, *photos.shape[2:])  # [B*M, H, W, 3]
    vectors = network.apply(variables, flat, method="extract").astype(jnp.float32)
    vectors = vectors.reshape(*mask.shape, -1) * mask[..., None]  # [B, M, C]
    return vectors.sum(1) / jnp.maximum(mask.sum(1), 1)[:, None]
