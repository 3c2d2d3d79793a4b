"""Multi-head attention with boolean masks, and pre-norm blocks of it.

    Attention(q, k, v) = softmax_s(q k_s / sqrt(D / heads)) v_s          for each head
    x <- x + Attention(norm(x)),   x <- x + W_2 gelu(W_1 norm(x))

Vaswani et al., "Attention Is All You Need", 2017; norms in front as in Xiong et al.,
"On Layer Normalization in the Transformer Architecture", 2020.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.layers.attention import glimpse_weights
from common.layers.dropout import Dropout
from common.parallel.devices import SINGLE, Devices


def attend(
    queries: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Attention of one head; the softmax is in float32.

    Args:
      queries: [..., T, E].
      keys: [..., S, E].
      values: [..., S, V], finite where masked too.
      mask: bool, broadcasts to [..., T, S], False for what must not be looked at; None
        where all may be.

    Returns:
      (means [..., T, V], zeros where nothing may be looked at; weights [..., T, S],
      float32).
    """
    scores = jnp.einsum("...te,...se->...ts", queries, keys)  # [..., T, S]
    scores = scores.astype(jnp.float32) * queries.shape[-1] ** -0.5
    if mask is not None:
        mask = jnp.broadcast_to(mask, scores.shape)
    weights = glimpse_weights(scores, mask)
    means = jnp.einsum("...ts,...sv->...tv", weights.astype(values.dtype), values)
    return means, weights


class SelfAttention(nn.Module):
    """Every place of a sequence looks at all of its places that are there.

    Attributes:
      heads: of D / heads numbers each.
      dtype: of the computation; None for that of inputs and parameters.
    """

    heads: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Maps x [..., T, D] to [..., T, D].

        Args:
          x: finite where masked too.
          mask: bool [..., T], False for padding; None where all are there. In a
            sequence of padding alone every place gets the output's bias.

        Raises:
          ValueError: the heads do not divide D.
        """
        *leading, length, width = x.shape
        if width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {width}")
        joined = nn.Dense(3 * width, dtype=self.dtype, name="qkv")(x)
        shape = (*leading, length, 3, self.heads, width // self.heads)
        parts = jnp.moveaxis(joined.reshape(shape), (-3, -2), (0, -3))
        queries, keys, values = parts  # [..., heads, T, D / heads]
        if mask is not None:
            mask = mask[..., None, None, :]
        means, _ = attend(queries, keys, values, mask)
        merged = jnp.moveaxis(means, -3, -2).reshape(x.shape)  # [..., T, D]
        return nn.Dense(width, dtype=self.dtype, name="out")(merged)


class Block(nn.Module):
    """A pre-norm block.

    Attributes:
      heads: of the attention.
      attention: whether places look at each other; without it a block is a residual
        network of two dense layers at each place.
      expansion: hidden width of the two dense layers, over D.
      dropout: rate on both branches.
      dtype: of the computation; None for that of inputs and parameters.
      devices: what the batch, the axis in front, is spread over.
    """

    heads: int
    attention: bool = True
    expansion: int = 4
    dropout: float = 0.0
    dtype: Any = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array | None = None, *, train: bool = False
    ) -> jax.Array:
        """Maps x [B, ..., T, D] and its mask bool [B, ..., T] to [B, ..., T, D]."""
        drop = Dropout(self.dropout, self.devices)
        if self.attention:
            normed = nn.LayerNorm(dtype=self.dtype, name="attention_norm")(x)
            seen = SelfAttention(self.heads, self.dtype, name="attention")(normed, mask)
            x = x + drop(seen, train=train)
        normed = nn.LayerNorm(dtype=self.dtype, name="dense_norm")(x)
        width = x.shape[-1]
        wide = self.expansion * width
        hidden = nn.gelu(nn.Dense(wide, dtype=self.dtype, name="hidden")(normed))
        out = nn.Dense(width, dtype=self.dtype, name="out")(hidden)
        return x + drop(out, train=train)
