"""What a search team asks of an order: pinned items, and caps on a label.

An order is made feasible by a greedy, stable fill: the places are filled one after
another, each with the item that is pinned there, else with the first item of the order
that may stand there. What is feasible stays as it is. Where nothing may stand there (a
list of one brand alone), the cap gives way, and the pins of later places after it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from rerank.ordering.generators import in_order


class Constraints(NamedTuple):
    """What orders of a batch must keep to.

    Attributes:
      pins: int32 [B, L] place from 0 that each candidate is pinned to, -1 for none.
      labels: int32 [B, L] label of each candidate, -1 for none; None without a cap.
      most: candidates of one label in the first places; pinned ones count.
      places: that the cap is about.
    """

    pins: jax.Array
    labels: jax.Array | None = None
    most: int = 1
    places: int = 0


def project(orders: jax.Array, mask: jax.Array, constraints: Constraints) -> jax.Array:
    """Makes orders feasible.

    Args:
      orders: int32 [B, K, L], padding last.
      mask: bool [B, L].
      constraints: of the batch.

    Returns:
      int32 [B, K, L], padding last.
    """
    batch, count, length = orders.shape
    there = in_order(mask, orders)  # [B, K, L]
    pins = jnp.where(there, in_order(constraints.pins, orders), -1)
    same = _same_label(orders, there, constraints)  # [B, K, L, L]
    early = (pins >= 0) & (pins < constraints.places)
    crowd = jnp.sum(same & early[:, :, None], axis=-1)  # of its label, set already

    def fill(carry, place):
        used, crowd = carry
        free = ~used & there
        here = free & (pins == place)
        waits = pins > place  # for a later place
        full = (crowd >= constraints.most) & (place < constraints.places)
        # The last one that is not empty is the padding.
        ranked = [here, free & ~waits & ~full, free & ~waits, free, ~used]
        rank = jnp.stack(ranked).argmax(0)  # first group that holds it, 0 if none does
        rank = jnp.where(used, len(ranked), rank)
        picked = rank.argmin(-1).astype(jnp.int32)  # [B, K]
        chosen = picked[..., None] == jnp.arange(length)[None, None]  # [B, K, L]
        # Pinned candidates were counted from the start.
        counted = chosen & ~early & (place < constraints.places)
        crowd = crowd + jnp.sum(same & counted[:, :, None], axis=-1)
        return (used | chosen, crowd), picked

    start = (jnp.zeros((batch, count, length), bool), crowd)
    _, picks = lax.scan(fill, start, jnp.arange(length))
    picks = jnp.moveaxis(picks, 0, -1)  # [B, K, L], places of the given order
    return jnp.take_along_axis(orders, picks, axis=-1)


def _same_label(
    orders: jax.Array, there: jax.Array, constraints: Constraints
) -> jax.Array:
    """Bool [B, K, L, L]: which candidates, in the given order, share a label."""
    if constraints.labels is None:
        return jnp.zeros((*orders.shape, orders.shape[-1]), bool)
    labels = jnp.where(there, in_order(constraints.labels, orders), -1)
    equal = labels[..., None] == labels[..., None, :]
    return equal & (labels >= 0)[..., None]
