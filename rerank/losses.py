"""What the networks learn from what was shown.

    main  = loss of the target at the shown order: purchase (or click) per impression
    loss  = main + lambda BCE(clicks, from the multimodal vectors alone)

Purchases count per impression, not given a click: those given a click are known of
clicked items alone, which are no fair draw of the shown ones.

The ranking losses are rax 0.4's, one list at a time through `vmap`. rax needs boolean
masks, and some of its losses fail on whole batches under strict rank promotion; its
transformations (`*_t12n`) use a part of JAX that is gone and are not used here.

Losses come as (sum, weight) over the global batch.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
import rax

from common.parallel.devices import SINGLE, Devices
from common.training.metrics import Pair, weighted
from rerank.config import LossKind


def _listmle(scores, labels, where, key):
    # Among equal labels every order is as good; the key draws one.
    return rax.listmle_loss(scores, labels, where=where, key=key)


RANKING_LOSSES: dict[str, Callable[..., jax.Array]] = {
    "softmax": lambda s, y, where, key: rax.softmax_loss(s, y, where=where),
    "listmle": _listmle,
    "pairwise": lambda s, y, where, key: rax.pairwise_logistic_loss(s, y, where=where),
}


def place_loss(
    logits: jax.Array, labels: jax.Array, mask: jax.Array, devices: Devices = SINGLE
) -> Pair:
    """Binary cross-entropy -y log p - (1 - y) log(1 - p) over the places of lists.

    Args:
      logits: [B, L] of p.
      labels: y [B, L] in [0, 1].
      mask: bool [B, L], False for padding.
      devices: what the batch is spread over.

    Returns:
      (sum, number of places).
    """
    losses = optax.sigmoid_binary_cross_entropy(logits, labels)  # [B, L]
    return weighted(losses.reshape(-1), mask.reshape(-1), devices)


def list_loss(
    kind: LossKind,
    logits: jax.Array,
    labels: jax.Array,
    mask: jax.Array,
    key: jax.Array,
    devices: Devices = SINGLE,
) -> Pair:
    """A loss of the main task.

    "bce" is a mean over places, the others over lists that are not empty. Softmax and
    pairwise losses of a list without a positive are 0; ListMLE's is that of a random
    order.

    Args:
      kind: of the loss.
      logits: [B, L].
      labels: [B, L] in [0, 1].
      mask: bool [B, L], False for padding.
      key: breaks ties of ListMLE; the same on all devices.
      devices: what the batch is spread over.
    """
    if kind == "bce":
        return place_loss(logits, labels, mask, devices)
    keys = devices.rows(jax.random.split(key, len(logits) * devices.count()))
    losses = jax.vmap(RANKING_LOSSES[kind])(logits, labels, mask, keys)  # [B]
    return weighted(losses, mask.any(axis=1), devices)


def list_auc(
    logits: jax.Array, labels: jax.Array, mask: jax.Array, devices: Devices = SINGLE
) -> Pair:
    """GAUC as a sum over lists: each list's AUC by its number of places.

    Lists where all labels are equal, 0 or above, are left out. Ties count a half.

    Args:
      logits, labels, mask, devices: as of `place_loss`; labels above 0 are positives.
    """
    positive, negative = mask & (labels > 0), mask & (labels <= 0)  # [B, L]
    above = jnp.sign(logits[:, :, None] - logits[:, None])  # [B, L, L]
    pairs = positive[:, :, None] & negative[:, None]
    won = jnp.where(pairs, (above + 1) / 2, 0).sum((1, 2))  # [B]
    count = pairs.sum((1, 2))
    auc = won / jnp.maximum(count, 1)
    places = jnp.where(count > 0, mask.sum(1), 0).astype(jnp.float32)
    return devices.sum((jnp.sum(auc * places), jnp.sum(places)))
