"""Features of frozen networks, computed once for all rows and kept on disk."""

import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import tqdm

from common.data import pipeline
from common.data.feature_cache import FeatureCache
from common.data.listings import Record, Source, Subset
from common.data.pipeline import Batch
from common.parallel.execution import Execution, wait_for_all
from common.training import tree_paths


def extract(
    folder: str | os.PathLike,
    key: Mapping[str, str],
    shape: Sequence[int],
    look: Callable[[Any, Any], Any],
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
      look: (variables, batch) -> features [B, ...], pure; it is compiled.
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
        compiled = execution.compile_predict(look)
        state = execution.replicate(dict(variables))
        _fill(store, compiled, state, source, load, batch_size, execution, name)
        wait_for_all(f"{name} filled")
        store = FeatureCache(*where)
    return store


def _fill(
    store: FeatureCache,
    look: Callable[[Any, Any], Any],
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
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    bar = tqdm.tqdm(total=len(left), desc=name, unit="row", disable=None)
    with rows as batches:
        for number, batch in enumerate(batches):
            features = look(state, execution.put(batch))[: len(left) - number * size]
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
