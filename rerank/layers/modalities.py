"""Modalities of items as vectors of one width."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.layers.words import WordBag
from rerank.config import Modality

Batch = Mapping[str, jax.Array]

# The gradient of a norm at a vector of zeros is 1 / sqrt(epsilon).
NORM = functools.partial(nn.RMSNorm, epsilon=1e-3)


class ModalityEncoder(nn.Module):
    """e = norm(W x) of a stored vector, or of the words of a text.

    The norm divides by the root mean square and leaves the mean of e alone, since that
    is what CAFU squeezes a modality to; a layer norm would make it nearly the same for
    all items.

    Attributes:
      modality: its name and sizes.
      width: D.
      dtype: of the computation; None for that of inputs and parameters.
    """

    modality: Modality
    width: int
    dtype: Any = None

    @nn.compact
    def __call__(self, batch: Batch, present: jax.Array, prefix: str = "") -> jax.Array:
        """Encodes the items of lists.

        Args:
          batch: "text" [B, L, Dm], or "text_ids" int and "text_weights" [B, L, Lw].
          present: bool [B, L]; what the others hold, NaN included, is not read.
          prefix: of the names in the batch: "history_".

        Returns:
          [B, L, D], zeros where not present.
        """
        name, there = prefix + self.modality.name, present[:, :, None]
        if self.modality.words:
            ids = jnp.where(there, batch[f"{name}_ids"], 0)
            weights = jnp.where(there, batch[f"{name}_weights"], 0)
            x = bag_of_words(
                self.modality.words, self.width, ids, weights, self.dtype, "words"
            )
        else:
            x = jnp.where(there, batch[name], 0)
            x = nn.Dense(self.width, dtype=self.dtype, name="vector")(x)
        return jnp.where(there, NORM(dtype=self.dtype, name="norm")(x), 0)


def bag_of_words(
    size: int, width: int, ids: jax.Array, weights: jax.Array, dtype: Any, name: str
) -> jax.Array:
    """A `WordBag` over ids [..., Lw] with any axes in front: [..., D]."""
    start = nn.initializers.normal(width**-0.5)
    bag = WordBag(size, width, start, dtype, name=name)
    words = ids.shape[-1]
    vectors = bag(ids.reshape(-1, words), weights.reshape(-1, words))
    return vectors.reshape(*ids.shape[:-1], width)  # [..., D]
