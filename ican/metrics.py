"""Metrics of predicted price zones, as (sum, weight) over the rows of a batch.

Rows of a padded batch carry mask 0 and enter neither. Sums are local to the device:
reduce them with `devices.sum`, and divide at the end.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from common.training import metrics
from common.training.metrics import Pair

TOP = (1, 3, 5, 7)


def zone_distances(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """How many zones the best scored zone lies off: float32 [B]."""
    return abs(scores.argmax(1) - labels).astype(jnp.float32)


def absolute_log_errors(log_points: jax.Array, prices: jax.Array) -> jax.Array:
    """|log point - log price| [B]; its mean is MALE. Rows without price give 0."""
    known = prices > 0
    log_prices = jnp.log(jnp.where(known, prices, 1.0))
    return jnp.where(known, abs(log_points - log_prices), 0.0)


def zone_metrics(
    scores: jax.Array,
    labels: jax.Array,
    log_points: jax.Array,
    prices: jax.Array,
    mask: jax.Array,
    *,
    top: Sequence[int] = TOP,
) -> Mapping[str, Pair]:
    """All metrics of one batch.

    Args:
      scores: [B, J] of the zones, the best the highest.
      labels: int [B] right zones.
      log_points: [B] natural logs of the prices that are suggested.
      prices: [B] actual prices, in the unit of the zones.
      mask: [B] 1 for a row, 0 for padding.
      top: the k of the top-k accuracies.

    Returns:
      "top<k>" (share with the right zone among the k best), "zone_distance" (zones)
      and "male" (mean absolute error of the log price) as scalar pairs; "confusion"
      with counts [J, J] as its sum and items per right zone [J, 1] as its weight.
    """
    counts = metrics.confusion(scores.argmax(1), labels, scores.shape[1], mask)
    distances = zone_distances(scores, labels)
    errors = absolute_log_errors(log_points, prices)
    return {
        **metrics.top_k(scores, labels, top, mask),
        "zone_distance": metrics.weighted(distances, mask),
        "male": metrics.weighted(errors, mask),
        "confusion": (counts, counts.sum(1, keepdims=True)),
    }
