"""Bilinear maps of stacked equal blocks, by full core tensors or of limited rank."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype


class FullCore(nn.Module):
    """z_c = D_c x1 x_c x2 y_c + b_c for every block c, with D_c a full tensor.

    Attributes:
      features: output width of a block.
      dtype: type of the computation.
    """

    features: int
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Maps x [..., C, I] and y [..., C, J] to [..., C, features]."""
        blocks, size_x, size_y = x.shape[-2], x.shape[-1], y.shape[-1]
        core = self.param(
            "core",
            nn.initializers.lecun_normal(in_axis=(1, 2), out_axis=3, batch_axis=0),
            (blocks, size_x, size_y, self.features),
        )
        bias = self.param("bias", nn.initializers.zeros, (blocks, self.features))
        x, y, core, bias = promote_dtype(x, y, core, bias, dtype=self.dtype)
        outer = x[..., :, None] * y[..., None, :]  # [..., C, I, J]
        z = jnp.einsum("...cij,cijo->...co", outer, core)  # [..., C, O]
        return z + bias.reshape((1,) * (z.ndim - 2) + bias.shape)


class BlockLinear(nn.Module):
    """A linear map of its own for every block: W_c x_c + b_c.

    Attributes:
      features: output width of a block.
      dtype: type of the computation.
    """

    features: int
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x [..., C, I] to [..., C, features]."""
        blocks, size = x.shape[-2:]
        kernel = self.param(
            "kernel",
            nn.initializers.lecun_normal(batch_axis=0),
            (blocks, size, self.features),
        )
        bias = self.param("bias", nn.initializers.zeros, (blocks, self.features))
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        z = jnp.einsum("...ci,cio->...co", x, kernel)  # [..., C, O]
        return z + bias.reshape((1,) * (z.ndim - 2) + bias.shape)


class RankCore(nn.Module):
    """z_c = sum over r of (U_cr x_c + b_cr) o (V_cr y_c + d_cr), for every block c.

    Attributes:
      features: output width of a block.
      rank: number of products that are summed.
      shared: whether both sides use the same maps.
      dtype: type of the computation.
    """

    features: int
    rank: int
    shared: bool = False
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Maps x [..., C, I] and y [..., C, J] to [..., C, features]."""
        width = self.rank * self.features
        expand_x = BlockLinear(width, dtype=self.dtype, name="expand_x")
        if self.shared:
            expand_y = expand_x
        else:
            expand_y = BlockLinear(width, dtype=self.dtype, name="expand_y")
        product = expand_x(x) * expand_y(y)  # [..., C, R * O]
        # The rank is the slow axis.
        terms = product.reshape(*product.shape[:-1], self.rank, self.features)
        return jnp.sum(terms, axis=-2)  # [..., C, O]
