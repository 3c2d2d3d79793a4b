"""Feature maps of a frozen backbone, computed once for all rows."""

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import tqdm

from common import parallel, pretrained, resnet, tree_paths
from common.data.feature_cache import FeatureCache
from common.data.listings import Subset
from common.parallel import Execution
from common.precision import compute_dtype
from ican import data, model, trained
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
    shape = (side * side, resnet.width(sizes))
    key = {
        "weights": hash_weights(variables),
        "photos": json.dumps(
            [config.photos.resize, config.photos.crop, config.photos.count]
        ),
        "pool": str(config.backbone.pool),
        "precision": config.precision,
        "data": examples.listings.fingerprint,
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    directory = pathlib.Path(config.backbone.cache) / f"features-{name}"
    where = (directory, key, (len(examples.prices), *shape))
    if jax.process_index() == 0:
        FeatureCache(*where)  # made by one process, then opened by all
    parallel.wait_for_all("feature cache made")
    store = FeatureCache(*where)
    if not store.complete:
        _fill(store, config, examples, execution, variables)
        parallel.wait_for_all("feature cache filled")
        store = FeatureCache(*where)
    if jax.process_index() == 0:
        pretrained.save_resnet(workdir / trained.BACKBONE, sizes, variables)
    return examples.with_features(store, config.photos.count), shape


def hash_weights(variables: Mapping[str, Any]) -> str:
    """Hash of the names and values of a tree of arrays."""
    digest = hashlib.sha256()
    for name, array in sorted(tree_paths.flatten(variables).items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _fill(
    store: FeatureCache,
    config: Config,
    examples: Examples,
    execution: Execution,
    variables: Mapping[str, Any],
) -> None:
    """Runs the backbone over the rows that the cache lacks; process 0 writes them."""
    dtype = compute_dtype(config.precision)
    backbone = resnet.ResNet(config.backbone.sizes, dtype, execution.devices)

    def feature_maps(state: Any, batch: Mapping[str, jax.Array]) -> jax.Array:
        look: Any = functools.partial(backbone.apply, state)
        return model.pooled_feature_maps(
            look, batch["photos"], batch["photo_mask"], config.backbone.pool, dtype
        )

    look = execution.compile_predict(feature_maps)
    state = execution.replicate(dict(variables))
    left = np.arange(store.done, len(store))
    loader = dataclasses.replace(examples.loader, photos=config.photos)
    source = Subset(examples.listings.source, left)
    size = config.train.batch_size
    with data.eval_batches(source, loader, size) as batches:
        bar = tqdm.tqdm(total=len(left), desc="features", unit="row", disable=None)
        for number, batch in enumerate(batches):
            maps = look(state, execution.put(batch))[: len(left) - number * size]
            if jax.process_index() == 0:
                store.append(maps)
            bar.update(len(maps))
        bar.close()
