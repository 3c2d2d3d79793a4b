"""Metrics as (sum, weight) pairs, exact over padded batches, devices and restarts.

On the device a metric is the sum of a value over the real rows of the global batch and
the number of those rows. The host adds pairs up in float64 and divides once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from common.parallel.devices import SINGLE, Devices

# Steps that may wait on the device: enough to keep it busy, few enough that their
# batches fit beside each other.
IN_FLIGHT = 8

Pair = tuple[jax.Array, jax.Array]


def weighted(
    values: jax.Array, mask: jax.Array | None = None, devices: Devices = SINGLE
) -> Pair:
    """Sum of a value over the real rows of the global batch, and their number.

    Args:
      values: [B] or [B, ...], one number (or array) a row. What padded rows hold,
        NaN included, does not count.
      mask: [B], 1 for real rows and 0 for padding; None = all are real.
      devices: that the batch is spread over.

    Returns:
      (sum [...], weight []), float32 at least.
    """
    values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    if mask is None:
        mask = jnp.ones(values.shape[0], values.dtype)
    mask = mask.astype(values.dtype)
    rows = mask.reshape(-1, *[1] * (values.ndim - 1))  # [B, 1...]
    total = jnp.sum(jnp.where(rows > 0, values * rows, 0), axis=0)
    return devices.sum((total, jnp.sum(mask)))


def norm(tree: Any) -> jax.Array:
    """Root of the sum of the squares of all floating-point numbers of a tree."""
    leaves = (jnp.asarray(leaf) for leaf in jax.tree.leaves(tree))
    floats = [x for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)]
    squares = [jnp.sum(jnp.square(x.astype(jnp.float32))) for x in floats]
    return jnp.sqrt(sum(squares, jnp.zeros(())))


def update_norms(gradients: Any, updates: Any) -> dict[str, Pair]:
    """Norms of one step, to go with its metrics.

    Args:
      gradients: of all parameters together, as they are before they are clipped, the
        same on all devices.
      updates: what was added to the parameters.
    """
    one = jnp.ones(())
    return {
        "gradient_norm": (norm(gradients), one),
        "update_norm": (norm(updates), one),
    }


def label_rank(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Place of the true class among all, best first; ties go to the lower class.

    Args:
      logits: [B, K].
      labels: [B], in 0..K-1.

    Returns:
      int32 [B] in 0..K-1; K for rows whose logits are not all numbers.
    """
    classes = logits.shape[-1]
    true = jnp.take_along_axis(logits, labels[:, None], axis=-1)  # [B, 1]
    before = jnp.arange(classes)[None] < labels[:, None]  # [B, K]
    ahead = (logits > true) | ((logits == true) & before)
    rank = jnp.sum(ahead, axis=-1, dtype=jnp.int32)
    return jnp.where(jnp.isnan(logits).any(axis=-1), classes, rank)


def top_k(
    logits: jax.Array,
    labels: jax.Array,
    ks: Sequence[int],
    mask: jax.Array | None = None,
    devices: Devices = SINGLE,
) -> dict[str, Pair]:
    """Share of rows whose true class is among the k best: {"top1": pair, ...}."""
    rank = label_rank(logits, labels)
    return {f"top{k}": weighted(rank < k, mask, devices) for k in ks}


def confusion(
    predicted: jax.Array,
    labels: jax.Array,
    classes: int,
    mask: jax.Array | None = None,
    devices: Devices = SINGLE,
) -> jax.Array:
    """Counts of (true class, predicted class).

    Args:
      predicted: [B] classes.
      labels: [B] classes.
      classes: number of classes K.
      mask: [B], 0 for padded rows.
      devices: that the batch is spread over.

    Returns:
      float32 [K, K], true class by row.
    """
    true = jax.nn.one_hot(labels, classes)  # [B, K]
    if mask is not None:
        true = true * mask.astype(true.dtype)[:, None]
    counts = true.T @ jax.nn.one_hot(predicted, classes)  # [K, K]
    return devices.sum(counts)


class Sums:
    """Pairs added up on the host in float64, in the order they came.

    Added one after another they come out the same wherever a checkpoint cuts the
    series in two (`to_json`, `from_json`).
    """

    def __init__(self) -> None:
        self._sums: dict[str, list[Any]] = {}
        self._pending: list[Mapping[str, Pair]] = []

    def add(self, metrics: Mapping[str, Pair]) -> None:
        """Takes {name: (sum, weight)} without waiting for the device.

        Only where more than `IN_FLIGHT` wait, it waits for the one in front of them.
        """
        self._pending.append(metrics)
        if len(self._pending) > IN_FLIGHT:
            jax.block_until_ready(self._pending[-IN_FLIGHT])

    def totals(self) -> dict[str, tuple[Any, Any]]:
        """{name: (sum, weight)} of all that was added, float64."""
        for metrics in jax.device_get(self._pending):
            for name, (total, weight) in metrics.items():
                pair = self._sums.setdefault(name, [np.float64(0), np.float64(0)])
                pair[0] = pair[0] + np.asarray(total, np.float64)
                pair[1] = pair[1] + np.asarray(weight, np.float64)
        self._pending = []
        return {name: (total, weight) for name, (total, weight) in self._sums.items()}

    def means(self) -> dict[str, Any]:
        """{name: sum / weight}; NaN where nothing was weighed.

        Scalars come as float, others as arrays.
        """
        means = {}
        for name, (total, weight) in self.totals().items():
            total, weight = np.broadcast_arrays(total, weight)
            mean = np.full(total.shape, np.nan)
            np.divide(total, weight, out=mean, where=weight != 0)
            means[name] = float(mean) if mean.ndim == 0 else mean
        return means

    def to_json(self) -> dict[str, list[float]]:
        """{name: [sum, weight]} of scalar metrics, exactly as `from_json` reads it."""
        return {name: [float(t), float(w)] for name, (t, w) in self.totals().items()}

    @classmethod
    def from_json(cls, saved: Mapping[str, Sequence[float]]) -> "Sums":
        """Inverse of `to_json`."""
        sums = cls()
        for name, (total, weight) in saved.items():
            sums._sums[name] = [np.float64(total), np.float64(weight)]
        return sums


def sum_over(
    eval_step: Callable[[Any, Any], Mapping[str, Pair]],
    state: Any,
    batches: Iterable[Any],
) -> Sums:
    """Adds up what a compiled evaluation gives over all batches.

    Args:
      eval_step: (state, batch) -> {name: (sum, weight)}, from `compile_eval`.
      state: in device form.
      batches: finite; the same number on all processes.
    """
    sums = Sums()
    for batch in batches:
        sums.add(eval_step(state, batch))
    return sums
