"""The two tasks that are learnt together (paper, section 3.3).

    J_1 = mean over pairs of log(1 + exp(score(u, i-) - score(u, i+)))       (Eq. 7)
    J_2 = mean over (u, i) of log sum_j exp(score(j, i)) - score(u, i)       (Eq. 8)
    J   = beta_1 J_1 + beta_2 J_2, beta = 0.75 and 0.25                      (Eq. 9)

J_1 recommends items to users: an item of the user stands above items that are not.
J_2 finds the users of an item among all users; `softmax` has its two forms. The paper
prints sums, whose scale goes with the batch; here both are means, and the sums are at
hand as well. Its penalties lambda |theta|^2 are the optimizer's weight decay, or
`squared_norm` of the batch's rows.

Losses come as (sum, weight) over the global batch.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from common.parallel.devices import SINGLE, Devices
from common.training.metrics import Pair, weighted
from recsys.config import WEIGHTS, Reduction
from recsys.softmax import CHUNK, sampled_cross_entropy, user_cross_entropy


def pairwise_loss(
    ahead: jax.Array, mask: jax.Array | None = None, devices: Devices = SINGLE
) -> Pair:
    """J_1 of Eq. 7 as (sum, weight) over pairs of a positive and one of its negatives.

    Args:
      ahead: [B, n] score of a user's item less that of each of its n negatives.
      mask: what each counts, 0 for padding: [B] of rows, or [B, n] of negatives; None
        where all count the same.
      devices: what the batch is spread over.

    Returns:
      (J_1 * pairs, pairs).
    """
    losses = jax.nn.softplus(-ahead)  # [B, n]
    if mask is not None:
        rows = mask[:, None] if mask.ndim == 1 else mask
        mask = jnp.broadcast_to(rows, losses.shape).reshape(-1)  # [B n]
    return weighted(losses.reshape(-1), mask, devices)


def user_loss(
    item_vectors: jax.Array,
    user_vectors: jax.Array,
    users: jax.Array,
    mask: jax.Array | None = None,
    *,
    others: jax.Array | None = None,
    chunk: int = CHUNK,
    devices: Devices = SINGLE,
) -> Pair:
    """J_2 of Eq. 8 as (sum, weight) over items, among all users.

    Args:
      item_vectors: [B, E] of the positives.
      user_vectors: [U, E] of all users.
      users: int [B], the user of each positive.
      mask: [B], what each row counts, 0 for padding; None where all count the same.
      others: int [B, X], users that do not count against an item; see `softmax`.
      chunk: users at a time.
      devices: what the batch is spread over; each has all users.

    Returns:
      (J_2 * items, items).
    """
    losses = user_cross_entropy(
        item_vectors, user_vectors, users, others=others, chunk=chunk
    )
    return weighted(losses, mask, devices)


def sampled_user_loss(
    item_vectors: jax.Array,
    own_vectors: jax.Array,
    sampled_vectors: jax.Array,
    log_probabilities: jax.Array,
    mask: jax.Array | None = None,
    *,
    left_out: jax.Array | None = None,
    devices: Devices = SINGLE,
) -> Pair:
    """J_2 estimated from a few users; arguments as of `softmax.sampled_cross_entropy`.

    Returns:
      (J_2 * items, items).
    """
    losses = sampled_cross_entropy(
        item_vectors,
        own_vectors,
        sampled_vectors,
        log_probabilities,
        left_out=left_out,
    )
    return weighted(losses, mask, devices)


def joint_loss(
    first: Pair,
    second: Pair | None = None,
    *,
    weights: tuple[float, float] = WEIGHTS,
    reduction: Reduction = "mean",
) -> jax.Array:
    """J of Eq. 9, one number.

    Args:
      first: J_1.
      second: J_2; None for J_1 alone, with weight 1 (the paper's OurModel-S and the
        variants I).
      weights: beta_1 and beta_2.
      reduction: "mean" divides each by its weight, "sum" is as printed.

    Returns:
      []; a part that nothing was weighed in counts 0.
    """
    if second is None:
        return _reduce(first, reduction)
    parts = _reduce(first, reduction), _reduce(second, reduction)
    return weights[0] * parts[0] + weights[1] * parts[1]


def squared_norm(rows: Mapping[str, jax.Array]) -> jax.Array:
    """|theta|^2 of Eq. 7 and 8 over the rows that a batch touches, biases left out.

    Args:
      rows: {table: its rows}; tables with "bias" in their name do not count.
    """
    counted = [rows[name] for name in sorted(rows) if "bias" not in name]
    return sum((jnp.sum(jnp.square(values)) for values in counted), jnp.zeros(()))


def _reduce(pair: Pair, reduction: Reduction) -> jax.Array:
    total, weight = pair
    if reduction == "sum":
        return total
    return total / jnp.maximum(weight, jnp.finfo(weight.dtype).tiny)
