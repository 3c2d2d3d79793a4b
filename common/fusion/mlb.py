"""MLB: multi-modal low-rank bilinear pooling."""

import jax
from flax import linen as nn

from common.fusion.norms import power_normalise
from common.fusion.projection import Activation, ProjectedFusion, Projection


class MLB(ProjectedFusion):
    """z = C (f(Ax + a) o f(By + b)) + c, with tanh for f.

    Source: Kim et al., Hadamard Product for Low-rank Bilinear Pooling (ICLR 2017).
    The defaults are that paper's; its authors drop half of the raw inputs
    (`dropout_raw=0.5`). The BLOCK repository's variant has relu on the projections
    and on the output.

    Attributes:
      activation: f, on both projections.
      activation_output: on the output map.
      normalise: whether power norm and L2 follow the product.
      dropout_raw: rate on both inputs, before the projections.
      dropout_projected: rate on both projections.
      dropout_fused: rate on the product, before the output map.
    """

    width: int | None = 1200
    activation: Activation = "tanh"
    activation_output: Activation = "none"
    normalise: bool = False
    dropout_raw: float = 0.0
    dropout_projected: float = 0.0
    dropout_fused: float = 0.0

    @nn.compact
    def fuse(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """Projects both sides, multiplies them and maps to the output."""
        z = self._project("project_x")(x, train=train)
        z = z * self._project("project_y")(y, train=train)  # [..., width]
        if self.normalise:
            z = power_normalise(z)
        output = self.make_output(self.activation_output, self.dropout_fused, "output")
        return output(z, train=train)

    def _project(self, name: str) -> Projection:
        return Projection(
            self.fused_width,
            self.activation,
            self.dropout_raw,
            self.dropout_projected,
            name=name,
            **self.inherited,
        )
