"""Weighted softmax cross-entropy of the coarse classifiers (paper, Eq. 17).

Beside it `price_loss`, that of the price output, which the paper does not have.

The paper weighs an item of class c by the reciprocal share of c in the batch,
w_c = (items in the batch) / (items of class c in the batch). Averaged over the batch
this is the *sum over present classes of the class-mean loss*: with seven equally
likely classes it starts at 7 ln 7 = 13.6, not at ln 7.

Weights come from the global batch, so they are found first (`item_weights`, with
sums over the devices) and the loss is reduced after.
"""

import jax
import jax.numpy as jnp

from common.parallel.devices import SINGLE, Devices
from ican.config import Weighting

PRICE_SCALE = 0.5  # of the t, in standard deviations of the training log prices


def item_weights(
    targets: jax.Array,
    mask: jax.Array,
    *,
    present: jax.Array,
    weighting: Weighting = "batch",
    dataset_counts: jax.Array | None = None,
    normalise: bool = False,
    devices: Devices = SINGLE,
) -> jax.Array:
    """Weight of every item in the loss of every classifier.

    Args:
      targets: int32 [B, N_c] coarse classes.
      mask: [B] 1 for an item, 0 for padding.
      present: bool [N_c, K]; an item whose class is absent there weighs 0.
      weighting: "batch" w_c = items / items of class c in the global batch (Eq. 17);
        "dataset" the same over the training set; "none" w_c = 1.
      dataset_counts: [N_c, K] training items of each class, for "dataset".
      normalise: divides by the mean weight of the global batch, so that each
        classifier's loss becomes a weighted mean.
      devices: what the batch is spread over.

    Returns:
      float32 [B, N_c], 0 in padding rows.
    """
    mask = mask.astype(jnp.float32)[:, None]  # [B, 1]
    present = jnp.asarray(present, jnp.float32)
    one_hot = jax.nn.one_hot(targets, present.shape[-1])  # [B, N_c, K]
    if weighting == "none":
        class_weights = jnp.ones_like(present)
    else:
        if weighting == "batch":
            counts = devices.sum((one_hot * mask[..., None]).sum(0))  # [N_c, K]
        elif dataset_counts is None:
            raise ValueError("weighting 'dataset' needs dataset_counts")
        else:
            counts = jnp.asarray(dataset_counts, jnp.float32)
        total = counts.sum(-1, keepdims=True)
        class_weights = jnp.where(counts > 0, total / jnp.maximum(counts, 1), 0.0)
    class_weights = class_weights * present
    weights = mask * jnp.einsum("bkc,kc->bk", one_hot, class_weights)  # [B, N_c]
    if normalise:
        summed, items = devices.sum((weights.sum(0), mask.sum()))
        weights = weights * items / jnp.where(summed > 0, summed, 1.0)[None]
    return weights


def cross_entropy(
    logits: jax.Array, targets: jax.Array, present: jax.Array
) -> jax.Array:
    """Plain cross-entropy -log softmax(logits)_target over the present classes.

    Args:
      logits: [B, N_c, K].
      targets: int32 [B, N_c].
      present: bool [N_c, K].

    Returns:
      [B, N_c] in float32 or more; very large, but finite, where the target is absent.
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    # Half of the least number: infinities would turn into NaN once weighed by 0.
    least = jnp.finfo(logits.dtype).min / 2
    logits = jnp.where(jnp.asarray(present, bool)[None], logits, least)
    log_probabilities = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_probabilities, targets[..., None], -1)[..., 0]


def ensemble_loss(
    logits: jax.Array,
    targets: jax.Array,
    mask: jax.Array,
    *,
    present: jax.Array,
    weighting: Weighting = "batch",
    dataset_counts: jax.Array | None = None,
    normalise: bool = False,
    devices: Devices = SINGLE,
) -> tuple[jax.Array, jax.Array]:
    """Loss of Eq. 17 as (sum, weight) over this device's rows.

    L = 1/B sum_b 1/N_c sum_k w_(k, t_bk) (-log softmax(y_bk)_(t_bk)); the loss of the
    global batch is devices.sum(sum) / devices.sum(weight).

    Args:
      logits: [B, N_c, K].
      targets: int32 [B, N_c].
      mask: [B] 1 for an item, 0 for padding.
      present: bool [N_c, K] classes that have a training item.
      weighting: see `item_weights`.
      dataset_counts: see `item_weights`.
      normalise: see `item_weights`.
      devices: what the batch is spread over.

    Returns:
      (sum over items of the mean over classifiers, number of items).
    """
    weights = item_weights(
        targets,
        mask,
        present=present,
        weighting=weighting,
        dataset_counts=dataset_counts,
        normalise=normalise,
        devices=devices,
    )
    losses = cross_entropy(logits, targets, present)
    losses = jnp.where(weights > 0, losses * weights, 0.0)  # [B, N_c]
    return losses.mean(-1).sum(), mask.astype(losses.dtype).sum()


def price_loss(
    standardised: jax.Array, targets: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Loss of the price output as (sum, weight) over this device's rows.

    5/2 log(1 + (t / 2)^2) with t = (named - actual) / PRICE_SCALE, which is minus the
    log density of Student's t with 4 degrees of freedom, up to a constant: a sale far
    off pulls less than one nearby.

    Args:
      standardised: [B] log prices that the network names.
      targets: [B] actual ones, standardised alike.
      mask: [B] 1 for an item, 0 for padding.

    Returns:
      (sum over items, number of items).
    """
    t = (standardised.astype(jnp.float32) - targets) / PRICE_SCALE
    losses = jnp.where(mask > 0, 2.5 * jnp.log1p(t**2 / 4), 0.0)  # [B]
    return losses.sum(), mask.astype(losses.dtype).sum()
