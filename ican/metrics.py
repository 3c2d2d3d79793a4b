"""Metrics of predicted price zones, as (sum, weight) over the rows of a batch.

Rows of a padded batch carry mask 0 and enter neither. Sums are local to the device:
reduce them with `devices.sum`, and divide at the end.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

Pair = tuple[jax.Array, jax.Array]

TOP = (1, 3, 5, 7)


def masked_sum(values: jax.Array, mask: jax.Array) -> Pair:
    """(sum of values [B] where mask [B] is set, number of such rows)."""
    mask = mask.astype(values.dtype)
    return jnp.where(mask > 0, values * mask, 0.0).sum(), mask.sum()


def label_ranks(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """Rank of the right label among the scores, 0 the best; ties: lower label first.

    Args:
      scores: [B, J].
      labels: int [B].

    Returns:
      int32 [B].
    """
    own = jnp.take_along_axis(scores, labels[:, None], 1)  # [B, 1]
    lower = jnp.arange(scores.shape[1])[None] < labels[:, None]  # [B, J]
    ahead = (scores > own) | ((scores == own) & lower)
    return ahead.sum(1, dtype=jnp.int32)


def zone_distances(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """How many zones the best scored zone lies off: float32 [B]."""
    return abs(scores.argmax(1) - labels).astype(jnp.float32)


def confusion(scores: jax.Array, labels: jax.Array, mask: jax.Array) -> jax.Array:
    """Counts [J, J] of (right label, elected label) over the rows with mask 1.

    Args:
      scores: [B, J].
      labels: int [B].
      mask: [B].
    """
    zones = scores.shape[1]
    right = jax.nn.one_hot(labels, zones) * mask.astype(jnp.float32)[:, None]
    elected = jax.nn.one_hot(scores.argmax(1), zones)
    # Counts must be whole numbers on accelerators too.
    return jnp.einsum("bi,bj->ij", right, elected, precision="highest")


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


def by_zone(values: jax.Array, labels: jax.Array, mask: jax.Array, zones: int) -> Pair:
    """Splits values by the right zone: (sums [J], numbers of rows [J])."""
    rows = jax.nn.one_hot(labels, zones) * mask.astype(jnp.float32)[:, None]  # [B, J]
    values = jnp.where(mask > 0, values, 0.0)
    return jnp.einsum("bj,b->j", rows, values, precision="highest"), rows.sum(0)


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
      and "male" (mean absolute error of the log price) as scalar pairs; "zone_male"
      and "zone_top1" as pairs of [J], split by the right zone; "confusion" with
      counts [J, J] as its sum and items per right zone [J, 1] as its weight.
    """
    ranks = label_ranks(probabilities, labels)
    errors = absolute_log_errors(log_point(probabilities, reference_log_prices), prices)
    zones = probabilities.shape[1]
    counts = confusion(probabilities, labels, mask)
    hits = {k: (ranks < k).astype(jnp.float32) for k in top}
    return {
        **{f"top{k}": masked_sum(hit, mask) for k, hit in hits.items()},
        "zone_distance": masked_sum(zone_distances(probabilities, labels), mask),
        "male": masked_sum(errors, mask),
        "zone_male": by_zone(errors, labels, mask, zones),
        "zone_top1": by_zone((ranks < 1).astype(jnp.float32), labels, mask, zones),
        "confusion": (counts, counts.sum(1, keepdims=True)),
    }
