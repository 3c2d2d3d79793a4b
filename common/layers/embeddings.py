"""Attributes as vectors: the two-layer attribute network of ICAN."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.layers.words import WordBag, WordPositions
from common.tables.encoders import AttributeSize, AttributeSpec
from common.text.encoder import PADDING

BAG = 64  # width of a text in the vector of all attributes


def first_width(attribute: AttributeSize) -> int:
    """Width of an attribute after the first layer.

    ceil(n / 2) for n categories; a continuous attribute passes through, its values
    followed by as many missing flags.
    """
    if attribute.kind == "continuous":
        return 2 * attribute.size
    return -(-attribute.size // 2)


class CategoryLinear(nn.Module):
    """A linear map of one-hot vectors, computed by looking up rows: W[id] + b.

    The rows start with unit variance, as standardised numbers have it: all kinds of
    attributes enter the next layer on the same scale whatever their cardinality.

    Attributes:
      categories: n, the length of the one-hot vector.
      features: u, width of the output.
      dtype: of the computation; None for that of the parameters.
    """

    categories: int
    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, ids: jax.Array) -> jax.Array:
        """Maps ids int [B] to [B, u]."""
        shape = (self.categories, self.features)
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        rows = jnp.take(kernel, ids, axis=0)  # [B, u]
        rows, bias = nn.dtypes.promote_dtype(rows, bias, dtype=self.dtype)
        return rows + bias[None, :]


class FirstLayer(nn.Module):
    """First layer of the attribute network, one map for each attribute but texts.

    Categories: one-hot -> ceil(n / 2). Sets: multi-hot -> ceil(n / 2). Continuous
    attributes pass through with their missing flags.

    Source: ICAN, section 4.2.

    Attributes:
      spec: the attributes.
      dtype: of the computation; None for that of the parameters and inputs.
    """

    spec: AttributeSpec
    dtype: Any = None

    @nn.compact
    def __call__(self, batch: Mapping[str, jax.Array]) -> list[jax.Array]:
        """Maps the arrays of `Encoders.encode` to a list of [B, u_a]."""
        outputs = []
        for index, (attribute, columns) in enumerate(self.spec.slices()):
            width, name = first_width(attribute), f"attribute_{index}"
            if attribute.kind == "text":
                continue
            if attribute.kind == "categorical":
                ids = batch["categorical"][:, columns.start]  # [B]
                layer = CategoryLinear(attribute.size, width, self.dtype, name=name)
                outputs.append(layer(ids))
            elif attribute.kind == "set":
                members = batch["sets"][:, columns]  # [B, n]
                init = nn.initializers.normal(1.0)
                dense = nn.Dense(width, kernel_init=init, dtype=self.dtype, name=name)
                outputs.append(dense(members))
            else:
                parts = batch["continuous"][:, columns], batch["missing"][:, columns]
                values = jnp.concatenate(parts, axis=1)  # [B, 2V]
                outputs.append(jnp.asarray(values, self.dtype))
        return outputs


class AttributeEmbedding(nn.Module):
    """One vector for each attribute: a second linear map to a common width.

    Neither layer has an activation. Source: ICAN, section 4.2. In the place of a text
    stand the vectors of its L words and pairs, see `WordPositions`: A counts them.

    Attributes:
      spec: the attributes.
      features: width of the vectors (200 in the paper).
      dtype: of the computation; None for that of the parameters and inputs.
    """

    spec: AttributeSpec
    features: int = 200
    dtype: Any = None

    @nn.compact
    def __call__(self, batch: Mapping[str, jax.Array]) -> jax.Array:
        """Embeds attributes.

        Args:
          batch: categorical int [B, Ac], continuous and missing float [B, V], sets
            float [B, S], word_ids and word_weights [B, sum L] of `Encoders.encode`;
            other keys are not read.

        Returns:
          [B, A, features]; zero where `attribute_mask` is False.
        """
        first = iter(FirstLayer(self.spec, self.dtype, name="first")(batch))
        vectors = []
        for index, (attribute, columns) in enumerate(self.spec.slices()):
            if attribute.kind == "text":
                words = WordPositions(
                    attribute.size, self.features, self.dtype, name=f"words_{index}"
                )
                vectors.append(words(*words_of(batch, columns))[0])  # [B, L, features]
            else:
                name = f"second_{index}"
                second = nn.Dense(self.features, dtype=self.dtype, name=name)
                vectors.append(second(next(first))[:, None])  # [B, 1, features]
        return jnp.concatenate(vectors, axis=1)  # [B, A, features]


def words_of(
    batch: Mapping[str, jax.Array], columns: slice
) -> tuple[jax.Array, jax.Array]:
    """Ids and weights [B, L] of the words of one text.

    Args:
      batch: of `Encoders.encode`.
      columns: of the text, see `AttributeSpec.texts`.
    """
    return batch["word_ids"][:, columns], batch["word_weights"][:, columns]


def attribute_mask(
    spec: AttributeSpec, batch: Mapping[str, jax.Array]
) -> jax.Array | None:
    """Which entries of `AttributeEmbedding` hold something.

    Args:
      spec: the attributes.
      batch: of `Encoders.encode`.

    Returns:
      bool [B, A], False for the padding of texts; None without texts.
    """
    if not spec.texts():
        return None
    ids = batch["word_ids"]
    some = jnp.ones((ids.shape[0], 1), bool)  # any number of rows in an export
    masks = [
        ids[:, columns] != PADDING if attribute.kind == "text" else some
        for attribute, columns in spec.slices()
    ]
    return jnp.concatenate(masks, axis=1)  # [B, A]


class AttributeVector(nn.Module):
    """One vector for all attributes: first-layer outputs side by side, one linear map.

    Source: ICAN, section 5.4, the attributes-alone baseline. A text enters as a bag of
    its words, of width 64.

    Attributes:
      spec: the attributes.
      features: width of the vector (2048 in the paper).
      dtype: of the computation; None for that of the parameters and inputs.
    """

    spec: AttributeSpec
    features: int = 2048
    dtype: Any = None

    @nn.compact
    def __call__(self, batch: Mapping[str, jax.Array]) -> jax.Array:
        """Maps a batch as in `AttributeEmbedding` to [B, features]."""
        first = FirstLayer(self.spec, self.dtype, name="first")(batch)
        init = nn.initializers.normal(1.0)  # of weights with norm 1: unit variance
        bags = [
            WordBag(attribute.size, BAG, init, self.dtype, name=f"words_{index}")(
                *words_of(batch, columns)
            )
            for index, attribute, columns in self.spec.texts()
        ]
        joined = jnp.concatenate([*first, *bags], axis=1)  # [B, sum of widths]
        return nn.Dense(self.features, dtype=self.dtype, name="second")(joined)
