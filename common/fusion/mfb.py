"""MFB: multi-modal factorized bilinear pooling."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.fusion.norms import power_normalise
from common.fusion.projection import Activation, ProjectedFusion, activate
from common.layers.dropout import Dropout


class MFB(ProjectedFusion):
    """z = SumPooling((Ux + b) o (Vy + c), k), power norm, L2.

    It comes in two halves for a caller that fuses many scaled copies of one input:
    `project_x` and `project_y` are the linear maps *without* their biases, and
    `combine` adds the biases and does the rest. So a half can be kept and scaled:

        combine(s * project_x(h), project_y(y)) == mfb(s * h, y)

    with s one scalar per position; h is projected once for any number of s.

    Source: Yu et al., Multi-modal Factorized Bilinear Pooling with Co-Attention
    Learning for VQA (ICCV 2017), section 3; ICAN, equations 10 and 11. The defaults
    are that paper's. The BLOCK repository's variant has `width`, relu on both
    projections and on the output, and no normalisation unless asked.

    Attributes:
      factor: k, the number of products summed into one entry.
      activation: on both projections.
      activation_output: on the output map, where there is one.
      normalise: whether power norm and L2 follow the pooling.
      joint_norm: whether the L2 norm runs over all axes but the batch (over
        positions and channels of an item, as in its authors' code) instead of over
        the channels of each position.
      dropout_projected: rate on both projections.
      dropout_product: rate on the product before it is pooled; its authors use 0.1.
    """

    factor: int = 5
    activation: Activation = "none"
    activation_output: Activation = "none"
    normalise: bool = True
    joint_norm: bool = False
    dropout_projected: float = 0.0
    dropout_product: float = 0.0

    def setup(self):
        """Creates both maps, their biases and what follows."""
        expanded = self.fused_width * self.factor
        self.linear_x = nn.Dense(expanded, use_bias=False, dtype=self.dtype)
        self.linear_y = nn.Dense(expanded, use_bias=False, dtype=self.dtype)
        self.bias_x = self.param("bias_x", nn.initializers.zeros, (expanded,))
        self.bias_y = self.param("bias_y", nn.initializers.zeros, (expanded,))
        self.drop_x = Dropout(self.dropout_projected, self.devices)
        self.drop_y = Dropout(self.dropout_projected, self.devices)
        self.drop_product = Dropout(self.dropout_product, self.devices)
        self.output = self.make_output(self.activation_output)

    def project_x(self, x: jax.Array) -> jax.Array:
        """Computes Ux, without bias: [..., Dx] -> [..., o * k]."""
        return self.linear_x(x)

    def project_y(self, y: jax.Array) -> jax.Array:
        """Computes Vy, without bias: [..., Dy] -> [..., o * k]."""
        return self.linear_y(y)

    def expand(
        self,
        px: jax.Array,
        py: jax.Array,
        *,
        previous: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        """Computes the product before pooling, the "expand" stage.

        Args:
          px: Ux [..., o * k], from `project_x`.
          py: Vy [..., o * k], from `project_y`.
          previous: [..., o * k] another expanded product to multiply in (MFH).
          train: whether dropout is on.

        Returns:
          [..., o * k], after dropout.
        """
        px = self._finish_projection(px, self.bias_x)
        py = self._finish_projection(py, self.bias_y)
        product = self.drop_x(px, train=train) * self.drop_y(py, train=train)
        if previous is not None:
            product = product * previous
        return self.drop_product(product, train=train)

    def squeeze(self, product: jax.Array) -> jax.Array:
        """Pools and normalises, the "squeeze" stage: [..., o * k] -> [..., o]."""
        # The factor is the fast axis: entry i sums products i*k .. i*k + k - 1.
        windows = product.reshape(*product.shape[:-1], -1, self.factor)  # [..., o, k]
        pooled = jnp.sum(windows, axis=-1)  # [..., o]
        if not self.normalise:
            return pooled
        axes = tuple(range(1, pooled.ndim)) if self.joint_norm else -1
        return power_normalise(pooled, axes)

    def combine(
        self, px: jax.Array, py: jax.Array, *, train: bool = False
    ) -> jax.Array:
        """Fuses two projected inputs.

        Args:
          px: Ux [..., o * k], from `project_x`, possibly scaled.
          py: Vy [..., o * k], from `project_y`, possibly scaled.
          train: whether dropout is on.

        Returns:
          [..., features].
        """
        z = self.squeeze(self.expand(px, py, train=train))
        return self.output(z, train=train)

    def fuse(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """Projects both sides and combines them."""
        return self.combine(self.project_x(x), self.project_y(y), train=train)

    def _finish_projection(self, projected: jax.Array, bias: jax.Array) -> jax.Array:
        bias = bias.astype(projected.dtype)
        bias = bias.reshape((1,) * (projected.ndim - 1) + bias.shape)
        return activate(projected + bias, self.activation)
