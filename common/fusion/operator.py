"""The call signature that all fusions share."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from common.parallel.devices import SINGLE, Devices


class Fusion(nn.Module, kw_only=True):
    """Joins two inputs into one: z = fusion(x, y).

    The leading axes of x and y broadcast, the batch first. A vector per item goes
    with a vector per position as y [B, 1, Dy] against x [B, P, Dx]: each side is
    projected in its own shape and broadcast after, so y is projected once, not P
    times.

    A subclass implements `fuse`.

    Attributes:
      dtype: type of the computation; None takes it from inputs and parameters.
        Parameters are float32.
      devices: what the batch is spread over (dropout draws one mask for all).
    """

    dtype: jnp.dtype | None = None
    devices: Devices = SINGLE

    def fuse(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """Computes the fusion of checked inputs of one floating type."""
        raise NotImplementedError

    def __call__(self, x: jax.Array, y: jax.Array, *, train: bool = False) -> jax.Array:
        """Fuses two inputs.

        Args:
          x: [..., Dx].
          y: [..., Dy], with as many axes as x; leading axes of size 1 broadcast.
          train: whether dropout is on (it draws from the rng stream "dropout").

        Returns:
          [..., D], D as the operator says.

        Raises:
          ValueError: the leading axes do not broadcast.
        """
        if x.ndim != y.ndim or x.ndim < 2:
            raise ValueError(
                f"fusion of shapes {x.shape} and {y.shape}: give both sides the same "
                "number of axes, batch first, for example [B, P, Dx] and [B, 1, Dy]"
            )
        jnp.broadcast_shapes(x.shape[:-1], y.shape[:-1])
        x, y = promote_dtype(x, y, dtype=self.dtype)
        return self.fuse(x, y, train)

    @property
    def inherited(self) -> dict[str, Any]:
        """The fields that a submodule takes over as they are."""
        return {"dtype": self.dtype, "devices": self.devices}


def require_equal_widths(x: jax.Array, y: jax.Array) -> None:
    """Refuses sides that an element-wise fusion would have to stretch.

    Args:
      x: [..., Dx].
      y: [..., Dy].

    Raises:
      ValueError: Dx is not Dy.
    """
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"element-wise fusion of widths {x.shape[-1]} and {y.shape[-1]}: "
            "both sides need the same width"
        )
