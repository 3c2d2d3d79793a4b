"""Attributes as vectors: the two-layer attribute network of ICAN."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.tables.encoders import AttributeSize, AttributeSpec


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
    """First layer of the attribute network, one map for each attribute.

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
        """Maps the arrays of `Encoders.encode` to a list over A of [B, u_a]."""
        outputs = []
        for index, (attribute, columns) in enumerate(self.spec.slices()):
            width, name = first_width(attribute), f"attribute_{index}"
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

    Neither layer has an activation. Source: ICAN, section 4.2.

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
            float [B, S] of `Encoders.encode`; other keys are not read.

        Returns:
          [B, A, features].
        """
        first = FirstLayer(self.spec, self.dtype, name="first")(batch)
        second = [
            nn.Dense(self.features, dtype=self.dtype, name=f"second_{index}")(inputs)
            for index, inputs in enumerate(first)
        ]
        return jnp.stack(second, axis=1)  # [B, A, features]


class AttributeVector(nn.Module):
    """One vector for all attributes: first-layer outputs side by side, one linear map.

    Source: ICAN, section 5.4, the attributes-alone baseline.

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
        joined = jnp.concatenate(first, axis=1)  # [B, sum of first widths]
        return nn.Dense(self.features, dtype=self.dtype, name="second")(joined)
