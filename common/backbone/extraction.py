"""Features of frozen networks, computed once for all rows and kept on disk.

`extract` serves any network, `extract_photos` a backbone: the layer before its output.
"""

import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from common.backbone.network import PhotoNetwork
from common.data import pipeline
from common.data.configs import PhotosConfig
from common.data.crops import cut_photos
from common.data.feature_cache import FeatureCache
from common.data.listings import Listings, Record, Source, Subset
from common.data.pipeline import Batch
from common.layers.backbone_sizes import sizes_of
from common.parallel.execution import Execution
from common.parallel.precision import compute_dtype
from common.parallel.processes import wait_for_all
from common.training import tree_paths


def extract(
    folder: str | os.PathLike,
    key: Mapping[str, str],
    shape: Sequence[int],
    feature_fn: Callable[[Any, Any], Any],
    variables: Mapping[str, Any],
    source: Source,
    load: Callable[[Record], Batch],
    *,
    batch_size: int,
    execution: Execution,
    name: str = "features",
) -> FeatureCache:
    """Opens the features of all rows, and computes those that are not there yet.

    What was cut off goes on where it stopped.

    Args:
      folder: of all features; each key has a folder of its own in it.
      key: what the features depend on: weights, preprocessing, data.
      shape: (N, ...) of the features.
      feature_fn: (variables, batch) -> features [B, ...], pure; it is compiled.
      variables: of the network, on the host.
      source: records of all N rows.
      load: record -> arrays of an item.
      batch_size: rows at a time.
      execution: what to run on.
      name: what the progress bar and the folder call them.

    Returns:
      The features, complete.

    Raises:
      UserError: features of something else, damaged ones, or nowhere to write.
    """
    text = json.dumps(dict(key), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    where = (pathlib.Path(folder) / f"{name}-{digest}", key, shape)
    if jax.process_index() == 0:
        FeatureCache(*where)  # made by one process, then opened by all
    wait_for_all(f"{name} made")
    store = FeatureCache(*where)
    if not store.complete:
        compiled = execution.compile_predict(feature_fn)
        state = execution.replicate(dict(variables))
        _fill(store, compiled, state, source, load, batch_size, execution, name)
        wait_for_all(f"{name} filled")
        store = FeatureCache(*where)
    return store


def _fill(
    store: FeatureCache,
    feature_fn: Callable[[Any, Any], Any],
    state: Any,
    source: Source,
    load: Callable[[Record], Batch],
    size: int,
    execution: Execution,
    name: str,
) -> None:
    """Computes the rows that the store lacks; process 0 writes them."""
    left = np.arange(store.done, len(store))
    rows = pipeline.eval_batches(
        Subset(source, left),
        load,
        batch_size=size,
    )
    bar = tqdm.tqdm(total=len(left), desc=name, unit="row", disable=None)
    with rows as batches:
        for number, batch in enumerate(batches):
            features = feature_fn(state, execution.put(batch))[
                : len(left) - number * size
            ]
            if jax.process_index() == 0:
                store.append(features)
            bar.update(len(features))
    bar.close()


def hash_weights(variables: Mapping[str, Any]) -> str:
    """Hash of the names and values of a tree of arrays."""
    digest = hashlib.sha256()
    for name, array in sorted(tree_paths.flatten(variables).items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def extract_photos(
    folder: str | os.PathLike,
    sizes: str,
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
      sizes: of the backbone, by name, see `common.layers.backbone_sizes`.
      variables: of the backbone, {"params" and "batch_stats": tree}.
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
    network = PhotoNetwork(sizes, 1, compute_dtype(precision), execution.devices)
    wrapped = {kind: {"backbone": tree} for kind, tree in variables.items()}
    return extract(
        folder,
        {
            "weights": hash_weights(wrapped),
            "photos": photos.key,
            "precision": precision,
            "data": listings.photos,
        },
        (len(listings.frame), sizes_of(sizes).width),
        functools.partial(photo_vectors, network),
        wrapped,
        listings.source,
        functools.partial(load_photos, photos),
        batch_size=batch_size,
        execution=execution,
        name=name,
    )


def load_photos(photos: PhotosConfig, record: Record) -> dict[str, np.ndarray]:
    """What `photo_vectors` reads of a row: "photos" uint8 [M, H, W, 3], "photo_mask" [M]."""
    cut, mask = cut_photos(record["images"], photos, None)
    return {"photos": cut, "photo_mask": mask}


def photo_vectors(
    network: Any, variables: Any, batch: Mapping[str, jax.Array]
) -> jax.Array:
    """`pool_photos` of a batch of loaded rows."""
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
