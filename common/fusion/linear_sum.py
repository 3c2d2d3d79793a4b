"""Sums of two inputs, plain and of their projections."""

import jax
from flax import linen as nn

from common.fusion.norms import power_normalise
from common.fusion.operator import Fusion, require_equal_widths
from common.fusion.projection import Activation, ProjectedFusion, Projection


class Addition(Fusion):
    """z = x + y, for sides of equal width.

    Source: ICAN, section 5.4 (iv).
    """

    def fuse(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """Adds element by element."""
        require_equal_widths(x, y)
        return x + y


class LinearSum(ProjectedFusion):
    """z = g(C (f(Ax + a) + f(By + b)) + c), with relu for f and g.

    Source: the baseline of that name in the BLOCK repository.

    Attributes:
      activation: f, on both projections.
      activation_output: g, on the output map.
      normalise: whether power norm and L2 follow the sum.
      dropout_projected: rate on both projections.
      dropout_fused: rate on the sum, before the output map.
    """

    width: int | None = 1200
    activation: Activation = "relu"
    activation_output: Activation = "relu"
    normalise: bool = False
    dropout_projected: float = 0.0
    dropout_fused: float = 0.0

    @nn.compact
    def fuse(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """Projects both sides, adds them and maps to the output."""
        z = self._project("project_x")(x, train=train)
        z = z + self._project("project_y")(y, train=train)  # [..., width]
        if self.normalise:
            z = power_normalise(z)
        output = self.make_output(self.activation_output, self.dropout_fused, "output")
        return output(z, train=train)

    def _project(self, name: str) -> Projection:
        return Projection(
            self.fused_width,
            self.activation,
            dropout=self.dropout_projected,
            name=name,
            **self.inherited,
        )
