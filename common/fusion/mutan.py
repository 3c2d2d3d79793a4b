"""MUTAN: multimodal Tucker fusion with a core of limited rank."""

import jax
from flax import linen as nn

from common.fusion.cores import RankCore
from common.fusion.norms import power_normalise
from common.fusion.projection import Activation, ProjectedFusion, Projection


class Mutan(ProjectedFusion):
    """z = C sum over r of (U_r f(Ax + a) + u_r) o (V_r f(By + b) + v_r) + c.

    Source: Ben-younes et al., MUTAN: Multimodal Tucker Fusion for Visual Question
    Answering (ICCV 2017), equations 7 to 9. The defaults are that paper's (its
    classifier is the output map, or comes after with `width=None`); its authors drop
    half of the raw inputs (`dropout_raw=0.5`). The BLOCK repository's variant has no
    activation, and drops after the projections instead.

    Attributes:
      width: of the fused vector, as in `ProjectedFusion`.
      width_x: of the projection of x; None for the fused width.
      width_y: of the projection of y; None for the fused width.
      rank: number of products that are summed.
      activation: f, on both projections.
      normalise: whether power norm and L2 follow the sum.
      shared: whether both sides share their projection and the maps after it.
      dropout_raw: rate on both inputs, before the projections.
      dropout_projected: rate on both projections.
      dropout_fused: rate on the fused vector, before the output map.
    """

    width: int | None = 360
    width_x: int | None = None
    width_y: int | None = None
    rank: int = 10
    activation: Activation = "tanh"
    normalise: bool = False
    shared: bool = False
    dropout_raw: float = 0.0
    dropout_projected: float = 0.0
    dropout_fused: float = 0.0

    @nn.compact
    def fuse(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """Projects both sides, applies the core and maps to the output."""
        if self.shared and self.width_x != self.width_y:
            raise ValueError("MUTAN: shared maps need width_x equal to width_y")
        project_x = self._projection("project_x", self.width_x)
        if self.shared:
            project_y = project_x
        else:
            project_y = self._projection("project_y", self.width_y)
        core = RankCore(
            self.fused_width, self.rank, self.shared, dtype=self.dtype, name="core"
        )
        # A core of one block.
        z = core(
            project_x(x, train=train)[None],
            project_y(y, train=train)[None],
        )[0]  # [..., width]
        if self.normalise:
            z = power_normalise(z)
        output = self.make_output(dropout_fused=self.dropout_fused, name="output")
        return output(z, train=train)

    def _projection(self, name: str, width: int | None) -> Projection:
        return Projection(
            self.fused_width if width is None else width,
            self.activation,
            self.dropout_raw,
            self.dropout_projected,
            name=name,
            **self.inherited,
        )
