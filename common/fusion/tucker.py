"""Tucker fusion: one full bilinear map between the projections of two inputs."""

import jax
from flax import linen as nn

from common.fusion.cores import FullCore
from common.fusion.norms import power_normalise
from common.fusion.projection import ProjectedFusion, Projection


class Tucker(ProjectedFusion):
    """z = C (D x1 (Ax + a) x2 (By + b) + d) + c, with a full core tensor D.

    The core has width^3 entries.

    Source: Ben-younes et al., MUTAN (ICCV 2017), equations 4 to 6; the class of that
    name in the BLOCK repository.

    Attributes:
      width: of both projections and of the fused vector, as in `ProjectedFusion`.
      normalise: whether power norm and L2 follow the core.
      dropout_projected: rate on both projections.
      dropout_fused: rate on the fused vector, before the output map.
    """

    width: int | None = 160
    normalise: bool = False
    dropout_projected: float = 0.0
    dropout_fused: float = 0.0

    @nn.compact
    def fuse(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """Projects both sides, applies the core and maps to the output."""
        x = self._projection("project_x")(x, train=train)
        y = self._projection("project_y")(y, train=train)
        core = FullCore(self.fused_width, dtype=self.dtype, name="core")
        z = core(x[None], y[None])[0]  # [..., width], a core of one block
        if self.normalise:
            z = power_normalise(z)
        output = self.make_output(dropout_fused=self.dropout_fused, name="output")
        return output(z, train=train)

    def _projection(self, name: str) -> Projection:
        return Projection(
            self.fused_width,
            dropout=self.dropout_projected,
            name=name,
            **self.inherited,
        )
