"""MFH: multi-modal factorized high-order pooling."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.fusion.mfb import MFB
from common.fusion.projection import Activation, ProjectedFusion


class MFH(ProjectedFusion):
    """A cascade of MFB stages, pooled and normalised one by one and concatenated.

    Stage p multiplies its own expanded product by that of stage p - 1 (before
    pooling, after dropout), so it holds interactions of order 2p.

    Source: Yu et al., Beyond Bilinear: Generalized Multimodal Factorized High-Order
    Pooling for Visual Question Answering (TNNLS 2018), section IV. The defaults are
    that paper's. The BLOCK repository's variant has `width` (`stages` times its
    mm_dim), relu on all maps, and no normalisation unless asked.

    Attributes:
      width: of all stages together, as in `ProjectedFusion`; `stages` must divide
        the fused width.
      stages: number p of MFB stages.
      factor: k, the number of products summed into one entry.
      activation: on the projections of every stage.
      activation_output: on the output map, where there is one.
      normalise: whether power norm and L2 follow the pooling of every stage.
      joint_norm: as in `MFB`.
      dropout_projected: rate on all projections.
      dropout_product: rate on every product before it is pooled.
    """

    stages: int = 2
    factor: int = 5
    activation: Activation = "none"
    activation_output: Activation = "none"
    normalise: bool = True
    joint_norm: bool = False
    dropout_projected: float = 0.0
    dropout_product: float = 0.0

    @nn.compact
    def fuse(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """Runs the cascade and maps to the output."""
        if self.fused_width % self.stages:
            raise ValueError(
                f"MFH: width {self.fused_width} is not divisible by "
                f"{self.stages} stages"
            )
        product = None
        pooled = []
        for i in range(self.stages):
            stage = MFB(
                self.fused_width // self.stages,
                factor=self.factor,
                activation=self.activation,
                normalise=self.normalise,
                joint_norm=self.joint_norm,
                dropout_projected=self.dropout_projected,
                dropout_product=self.dropout_product,
                name=f"stage_{i}",
                **self.inherited,
            )
            px, py = stage.project_x(x), stage.project_y(y)
            product = stage.expand(px, py, previous=product, train=train)
            pooled.append(stage.squeeze(product))
        z = jnp.concatenate(pooled, axis=-1)  # [..., width]
        output = self.make_output(self.activation_output, name="output")
        return output(z, train=train)
