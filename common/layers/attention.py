"""Glimpses: attention of one weight per position, and pooling by it."""

import jax
import jax.numpy as jnp


def glimpse_weights(scores: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Softmax of scores over positions, in float32 or more.

    Args:
      scores: [..., P].
      mask: bool [..., P], False for a position that must get weight 0; None for all.

    Returns:
      [..., P] that sum to 1, or all 0 where the mask leaves no position.
    """
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    if mask is None:
        return jax.nn.softmax(scores)
    # A softmax over nothing is 0 / 0; a stand-in position keeps gradients finite.
    some = mask.any(-1, keepdims=True)
    weights = jax.nn.softmax(scores, where=mask | ~some)
    return jnp.where(mask, weights, 0.0)


def pool_positions(weights: jax.Array, values: jax.Array) -> jax.Array:
    """Weighted sum over positions: sum_p weights_p values_p, accumulated in float32.

    Args:
      weights: [B, P].
      values: [B, P, D].

    Returns:
      [B, D] in the dtype of the values.
    """
    dtype = jnp.promote_types(values.dtype, jnp.float32)
    pooled = jnp.einsum(
        "bp,bpd->bd",
        weights.astype(values.dtype),
        values,
        preferred_element_type=dtype,
    )
    return pooled.astype(values.dtype)
