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


def log_point(probabilities: jax.Array, reference_log_prices: jax.Array) -> jax.Array:
    """Point estimate of the log price: sum_j p_j * (mean train log price of zone j).

    Args:
      probabilities: [B, J].
      reference_log_prices: [J] natural logs.

    Returns:
      [B] natural logs.
    """
    references = jnp.asarray(reference_log_prices, probabilities.dtype)
    return jnp.einsum("bj,j->b", probabilities, references, precision="highest")


def absolute_log_errors(log_points: jax.Array, prices: jax.Array) -> jax.Array:
    """|log point - log price| [B]; its mean is MALE. Rows without price give 0."""
    known = prices > 0
    log_prices = jnp.log(jnp.where(known, prices, 1.0))
    return jnp.where(known, abs(log_points - log_prices), 0.0)


def zone_metrics(
    probabilities: jax.Array,
    labels: jax.Array,
    prices: jax.Array,
    mask: jax.Array,
    *,
    reference_log_prices: jax.Array,
    top: Sequence[int] = TOP,
) -> Mapping[str, Pair]:
    """All metrics of one batch.

    Args:
      probabilities: [B, J] of the zones.
      labels: int [B] right zones.
      prices: [B] actual prices, in the unit of the zones.
      mask: [B] 1 for a row, 0 for padding.
      reference_log_prices: [J] mean train log price of each zone.
      top: the k of the top-k accuracies.

    Returns:
      "top<k>" (share with the right zone among the k best), "zone_distance" (zones)
      and "male" (mean absolute error of the log price) as scalar pairs; "confusion"
      with counts [J, J] as its sum and items per right zone [J, 1] as its weight.
    """
    zones = probabilities.shape[1]
    counts = metrics.confusion(probabilities.argmax(1), labels, zones, mask)
    distances = zone_distances(probabilities, labels)
    errors = absolute_log_errors(log_point(probabilities, reference_log_prices), prices)
    return {
        **metrics.top_k(probabilities, labels, top, mask),
        "zone_distance": metrics.weighted(distances, mask),
        "male": metrics.weighted(errors, mask),
        "confusion": (counts, counts.sum(1, keepdims=True)),
    }
