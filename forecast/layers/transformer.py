"""Encoder over the context, and a causal decoder over the horizon that remembers.

The decoder keeps keys and values of all places it has read, so that sampling, a place
at a time, computes what training does over the whole horizon at once: a place looks at
itself, at those before it and at the context. (Where the decoder is given one place
without those before, as in PyTorchTS, it samples from another network than was trained.)

Source: Vaswani et al. 2017, "Attention Is All You Need"; norms in front of the layers.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from common.layers.dropout import Dropout
from common.layers.transformer import Block, attend
from common.parallel.devices import SINGLE, Devices


class Cache(NamedTuple):
    """What the decoder remembers, of each layer in turn.

    Attributes:
      context: keys and values [B, 2, heads, C, E] of the context.
      places: keys and values [B, 2, heads, H, E] of the horizon, zeros where not read.
      read: int32 [B], places that were read; the same for all rows.
    """

    context: Any
    places: Any
    read: jax.Array


class EncoderDecoder(nn.Module):
    """A transformer whose decoder reads on from where it was.

    Attributes:
      horizon: H, the most places that the decoder reads.
      width: D of all places; heads must divide it.
      heads: of attention.
      layers: of the encoder, and of the decoder.
      dropout: rate inside the blocks.
      positions: whether sines of the place are added to the inputs.
      dtype: of the products; None for that of the inputs.
      devices: what the batch is spread over.
    """

    horizon: int
    width: int = 32
    heads: int = 4
    layers: int = 2
    dropout: float = 0.1
    positions: bool = True
    dtype: Any = None
    devices: Devices = SINGLE

    def setup(self):
        """Makes the layers."""
        options = (self.dropout, self.dtype, self.devices)
        self.project = nn.Dense(self.width, dtype=self.dtype)
        self.encoder = [
            Block(self.heads, True, 4, *options) for _ in range(self.layers)
        ]
        self.decoder = [DecoderBlock(self.heads, *options) for _ in range(self.layers)]
        self.norm = nn.LayerNorm(dtype=self.dtype)
        self.encoder_norm = nn.LayerNorm(dtype=self.dtype)

    def begin(self, x: jax.Array, *, train: bool = False) -> tuple[None, Cache]:
        """Encodes the context [B, C, I]; nothing is predicted there."""
        rows, length, _ = x.shape
        memory = self.project(x)
        if self.positions:
            memory = memory + self._sines(jnp.arange(length) - length, memory)
        for block in self.encoder:
            memory = block(memory, train=train)
        memory = self.encoder_norm(memory)
        size = self.width // self.heads
        empty = jnp.zeros((rows, 2, self.heads, self.horizon, size), memory.dtype)
        return None, Cache(
            [block.read_context(memory) for block in self.decoder],
            [empty for _ in self.decoder],
            jnp.zeros(rows, jnp.int32),
        )

    def advance(
        self, x: jax.Array, carry: Cache, *, train: bool = False
    ) -> tuple[jax.Array, Cache]:
        """Reads the next places [B, T, I] of the horizon.

        Returns:
          (hidden states float32 [B, T, D], cache).
        """
        first = carry.read[0]
        hidden = self.project(x)
        if self.positions:
            hidden = hidden + self._sines(first + jnp.arange(x.shape[1]), hidden)
        after = []
        for block, context, places in zip(
            self.decoder, carry.context, carry.places, strict=True
        ):
            hidden, places = block(hidden, context, places, first, train=train)
            after.append(places)
        hidden = self.norm(hidden).astype(jnp.float32)
        return hidden, Cache(carry.context, after, carry.read + x.shape[1])

    def _sines(self, places: jax.Array, like: jax.Array) -> jax.Array:
        """Sines and cosines [1, T, D] of places [T], periods from 2 pi to 10,000 times."""
        half = (self.width + 1) // 2
        rates = 10_000.0 ** (-np.arange(half) / half)
        angles = places[:, None].astype(jnp.float32) * rates[None].astype(np.float32)
        sines = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)
        return sines[None, :, : self.width].astype(like.dtype)


class DecoderBlock(nn.Module):
    """Attention to the places so far, attention to the context, two dense layers.

    Attributes:
      heads: of attention.
      dropout: rate on all three branches.
      dtype: of the products.
      devices: what the batch is spread over.
    """

    heads: int
    dropout: float = 0.0
    dtype: Any = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        context: jax.Array,
        places: jax.Array,
        first: jax.Array,
        *,
        train: bool = False,
    ) -> tuple[jax.Array, jax.Array]:
        """Maps new places.

        Args:
          x: [B, T, D].
          context: keys and values [B, 2, heads, C, E].
          places: keys and values [B, 2, heads, H, E] of those before.
          first: int32 [], the number of the first new one.
          train: whether dropout is on.

        Returns:
          (x [B, T, D], places with the new ones).
        """
        drop = Dropout(self.dropout, self.devices)
        width, length = x.shape[-1], x.shape[1]
        normed = nn.LayerNorm(dtype=self.dtype, name="norm")(x)
        joined = nn.Dense(3 * width, dtype=self.dtype, name="qkv")(normed)
        queries, *new = (self._split(part) for part in jnp.split(joined, 3, -1))
        places = lax.dynamic_update_slice(
            places, jnp.stack(new, 1), (0, 0, 0, first, 0)
        )
        reached = first + jnp.arange(length)  # [T]
        seen = jnp.arange(places.shape[-2])[None] <= reached[:, None]  # [T, H]
        means, _ = attend(queries, places[:, 0], places[:, 1], seen[None, None])
        dense = nn.Dense(width, dtype=self.dtype, name="out")
        x = x + drop(dense(_merge(means)), train=train)
        normed = nn.LayerNorm(dtype=self.dtype, name="context_norm")(x)
        queries = nn.Dense(width, dtype=self.dtype, name="context_query")(normed)
        means, _ = attend(self._split(queries), context[:, 0], context[:, 1], None)
        dense = nn.Dense(width, dtype=self.dtype, name="context_out")
        x = x + drop(dense(_merge(means)), train=train)
        normed = nn.LayerNorm(dtype=self.dtype, name="dense_norm")(x)
        hidden = nn.gelu(nn.Dense(4 * width, dtype=self.dtype, name="hidden")(normed))
        out = nn.Dense(width, dtype=self.dtype, name="dense_out")(hidden)
        return x + drop(out, train=train), places

    @nn.compact
    def read_context(self, memory: jax.Array) -> jax.Array:
        """Keys and values [B, 2, heads, C, E] of the encoded context [B, C, D]."""
        dense = nn.Dense(2 * memory.shape[-1], dtype=self.dtype, name="context_kv")
        parts = jnp.split(dense(memory), 2, -1)
        return jnp.stack([self._split(part) for part in parts], 1)

    def _split(self, x: jax.Array) -> jax.Array:
        """[B, T, D] to [B, heads, T, E]."""
        rows, length, width = x.shape
        parts = x.reshape(rows, length, self.heads, width // self.heads)
        return jnp.moveaxis(parts, 2, 1)


def _merge(x: jax.Array) -> jax.Array:
    """[B, heads, T, E] to [B, T, D]."""
    rows, heads, length, size = x.shape
    return jnp.moveaxis(x, 1, 2).reshape(rows, length, heads * size)
