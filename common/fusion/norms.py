"""Power normalisation and L2 normalisation with finite gradients at exact zeros.

Exact zeros happen (relu, a black image, padded rows). The derivative of a root is
infinite there, and a mask on the root's *output* still multiplies that infinity by
zero. So the input of every root is guarded here.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

Axes = int | Sequence[int]


def signed_sqrt(x: jax.Array) -> jax.Array:
    """Computes sign(x) * sqrt(|x|), in at least float32; its gradient at 0 is 0.

    Args:
      x: [...].

    Returns:
      [...] in the type of x.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    root = jnp.sqrt(jnp.where(wide == 0, 1, jnp.abs(wide)))
    return (jnp.sign(wide) * root).astype(x.dtype)


def l2_normalise(x: jax.Array, axis: Axes = -1, epsilon: float = 1e-12) -> jax.Array:
    """Computes x / max(||x||, epsilon), in at least float32.

    Args:
      x: [...].
      axis: the axis or axes that the norm runs over.
      epsilon: smallest divisor; a vector of zeros stays one.

    Returns:
      [...] in the type of x.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    square = jnp.sum(wide * wide, axis=axis, keepdims=True)
    return (wide / jnp.sqrt(jnp.maximum(square, epsilon**2))).astype(x.dtype)


def power_normalise(x: jax.Array, axis: Axes = -1) -> jax.Array:
    """Signed square root, then L2: what every bilinear fusion does to its output.

    Args:
      x: [...].
      axis: the axis or axes that the norm runs over.

    Returns:
      [...] in the type of x, of norm 1 along `axis` (0 where x is all 0).
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return l2_normalise(signed_sqrt(wide), axis).astype(x.dtype)
