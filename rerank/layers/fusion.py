"""Modalities fused into one vector: CAFU, and concatenation beside it.

CAFU, the Context-Aware Fusion Unit (ARMMT, arXiv 2408.05751), squeezes each modality to
one number, excites weights from these and the context, and takes the weighted sum:

    s_m = mean_d(e_m),   a = softmax_m(MLP([s_1 .. s_M ; c])),   f = sum_m a_m e_m

The softmax, over the modalities that are there, is our reading; the paper's text that
could be read says a weighted sum.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.layers.attention import glimpse_weights


class Cafu(nn.Module):
    """Context-aware fusion.

    Attributes:
      context: whether the weights depend on c; off is ablation (iii).
      dtype: of the computation; None for that of inputs and parameters.
    """

    context: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(
        self, vectors: jax.Array, present: jax.Array, context: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Fuses the modalities of candidates.

        Args:
          vectors: e [B, L, M, D], zeros where not present.
          present: bool [B, L, M].
          context: c [B, D] of the request.

        Returns:
          (f [B, L, D], zeros where no modality is there; a [B, L, M], float32).
        """
        count, width = vectors.shape[2:]
        squeezed = jnp.where(present, vectors.mean(-1), 0)  # [B, L, M]
        hidden = nn.Dense(width, dtype=self.dtype, name="squeezed")(squeezed)
        if self.context:
            # One product a request: the context is the same for its candidates.
            shared = nn.Dense(width, use_bias=False, dtype=self.dtype, name="context")
            hidden = hidden + shared(context)[:, None]
        scores = nn.Dense(count, dtype=self.dtype, name="scores")(nn.gelu(hidden))
        weights = glimpse_weights(scores, present)  # [B, L, M]
        # As a sum of M products: a batched one of [1, M] by [M, D] is slow on CPU.
        fused = (weights.astype(vectors.dtype)[..., None] * vectors).sum(2)
        return fused, weights  # [B, L, D], [B, L, M]


class Concatenation(nn.Module):
    """f = W [e_1 ; .. ; e_M], which sees no context; ablation (ii)."""

    dtype: Any = None

    @nn.compact
    def __call__(
        self, vectors: jax.Array, present: jax.Array, context: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Takes and returns what `Cafu` does; the weights are equal shares."""
        del context
        batch, length, count, width = vectors.shape
        joined = vectors.reshape(batch, length, count * width)  # [B, L, M D]
        fused = nn.Dense(width, dtype=self.dtype, name="joined")(joined)
        shares = present / jnp.maximum(present.sum(-1, keepdims=True), 1)
        return fused, shares.astype(jnp.float32)
