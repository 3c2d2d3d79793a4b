"""Weighted words as one vector, as positions for attention, and straight to outputs."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.text.encoder import PADDING


class WordBag(nn.Module):
    """Looks up the vectors of words: sum over the entries l of w_l E[id_l].

    Equal to the TF-IDF row times E, without the row. With `kernel_init` zeros it is the
    wide linear path into outputs, which starts as if there were no text; to start it
    from a fitted linear model put its coefficients, a row an id, into "kernel".

    Attributes:
      size: number of ids, `TextEncoder.size`.
      features: D, width of a vector or number of outputs.
      kernel_init: of E [size, D].
      dtype: of the computation; None for that of the parameters.
    """

    size: int
    features: int
    kernel_init: nn.initializers.Initializer = nn.initializers.zeros_init()
    dtype: Any = None

    @nn.compact
    def __call__(self, ids: jax.Array, weights: jax.Array) -> jax.Array:
        """Maps ids int [B, L] and weights [B, L] to [B, D]."""
        shape = (self.size, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        rows = jnp.take(kernel, ids, axis=0)  # [B, L, D]
        rows, weights = nn.dtypes.promote_dtype(rows, weights, dtype=self.dtype)
        return jnp.einsum("bl,bld->bd", weights, rows)  # [B, D]


class WordPositions(nn.Module):
    """Words as positions of a map that attention looks at: r w_l E[id_l] + b.

    r = sqrt(L) undoes the norm of the weights, so that entries of a text of L words have
    about the scale of E's rows.

    Attributes:
      size: number of ids, `TextEncoder.size`.
      features: D, width of a position.
      dtype: of the computation; None for that of the parameters.
    """

    size: int
    features: int
    dtype: Any = None

    @nn.compact
    def __call__(
        self, ids: jax.Array, weights: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Looks up the words of texts.

        Args:
          ids: int [B, L].
          weights: [B, L].

        Returns:
          (vectors [B, L, D], zero where nothing stands; mask bool [B, L] of the words).
        """
        shape = (self.size, self.features)
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        rows = jnp.take(kernel, ids, axis=0)  # [B, L, D]
        mask = ids != PADDING  # [B, L]
        scale = weights * jnp.sqrt(mask.sum(axis=1, keepdims=True))  # [B, L]
        rows, scale, bias = nn.dtypes.promote_dtype(rows, scale, bias, dtype=self.dtype)
        vectors = scale[:, :, None] * rows + bias[None, None, :]  # [B, L, D]
        return jnp.where(mask[:, :, None], vectors, 0), mask
