"""Which number format is computed in.

Parameters, normalisations, softmax, losses and optimizer states stay float32. What
changes is the format of activations and of matrix products: every Linen module takes
it as its `dtype`, so mixed precision is one knob (`--precision=bfloat16`).

Configs import this module, so JAX is imported only where it is needed.
"""

from typing import Any

import numpy as np

from common.config.configs import knob

PRECISIONS = ("float32", "bfloat16")


def precision_knob(of: str = "the computation") -> Any:
    """The knob `precision` of a system's config.

    Args:
      of: what is computed under it, for `--help`.
    """
    help_text = f"of {of}; parameters are always float32"
    return knob("float32", help_text, choices=PRECISIONS)


def compute_dtype(precision: str) -> np.dtype:
    """The `dtype` of modules under a precision, one of `PRECISIONS`.

    Raises:
      ValueError: for any other name.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r} is none of {PRECISIONS}")
    import jax.numpy as jnp

    return jnp.dtype(precision)
