"""Which number format is computed in.

Parameters, normalisations, softmax, losses and optimizer states stay float32. What
changes is the format of activations and of matrix products: every Linen module takes
it as its `dtype`, so mixed precision is one knob (`--precision=bfloat16`).
"""

import jax.numpy as jnp

PRECISIONS = ("float32", "bfloat16")


def compute_dtype(precision: str) -> jnp.dtype:
    """The `dtype` of modules under a precision, one of `PRECISIONS`.

    Raises:
      ValueError: for any other name.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r} is none of {PRECISIONS}")
    return jnp.dtype(precision)
