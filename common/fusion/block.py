"""BLOCK: bilinear superdiagonal fusion."""

import itertools
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.fusion.cores import FullCore, RankCore
from common.fusion.norms import power_normalise
from common.fusion.projection import ProjectedFusion, Projection


class Block(ProjectedFusion):
    """z = C [D_1(A_1 x, B_1 y), ..., D_R(A_R x, B_R y)], a block-term bilinear map.

    Both sides are projected to `width` and cut into `chunks` blocks; every block is
    a small bilinear map of its own, a full core tensor (`rank=None`) or a sum of
    `rank` products of linear maps; their outputs are concatenated and mapped to
    `features`. Equal blocks are one batched contraction of stacked parameters.

    Source: Ben-younes et al., BLOCK: Bilinear Superdiagonal Fusion for Visual
    Question Answering and Visual Relationship Detection (AAAI 2019); ICAN, equations
    14 to 16, whose form is `width=3200, chunks=100, rank=None`. The defaults are the
    BLOCK paper's; its code calls the full-core form "block tucker".

    Attributes:
      width: of both projections and of the fused vector, as in `ProjectedFusion`.
      chunks: number of blocks; it must divide the width.
      rank: products per block; None for full core tensors.
      normalise: power norm and L2 of each block ("before" concatenation), of the
        concatenation ("after"), or none.
      shared: whether both sides share their projection and, if of limited rank,
        their maps inside the blocks.
      block_sizes: widths of the blocks, for weights trained with uneven ones; None
        for equal blocks.
      dropout_projected: rate on both projections.
      dropout_fused: rate on the fused vector, before the output map.
    """

    width: int | None = 1600
    chunks: int = 20
    rank: int | None = 15
    normalise: Literal["before", "after", "none"] = "before"
    shared: bool = False
    block_sizes: tuple[int, ...] | None = None
    dropout_projected: float = 0.0
    dropout_fused: float = 0.0

    @nn.compact
    def fuse(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """Projects, fuses block by block, normalises and maps to the output."""
        x, y = self._project(x, y, train)
        parts = []
        start = 0
        for i, (count, size) in enumerate(self._runs()):
            stop = start + count * size
            z = self._core(size, f"blocks_{i}")(
                _cut(x[..., start:stop], count), _cut(y[..., start:stop], count)
            )  # [C, ..., size]
            if self.normalise == "before":
                z = power_normalise(z)
            z = jnp.moveaxis(z, 0, -2)  # [..., C, size]
            parts.append(z.reshape(*z.shape[:-2], count * size))
            start = stop
        z = jnp.concatenate(parts, axis=-1)  # [..., width]
        if self.normalise == "after":
            z = power_normalise(z)
        output = self.make_output(dropout_fused=self.dropout_fused, name="output")
        return output(z, train=train)

    def _project(
        self, x: jax.Array, y: jax.Array, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        def projection(name: str) -> Projection:
            return Projection(
                self.fused_width,
                dropout=self.dropout_projected,
                name=name,
                **self.inherited,
            )

        project_x = projection("project_x")
        project_y = project_x if self.shared else projection("project_y")
        return project_x(x, train=train), project_y(y, train=train)

    def _core(self, size: int, name: str) -> nn.Module:
        if self.rank is None:
            return FullCore(size, dtype=self.dtype, name=name)
        return RankCore(size, self.rank, self.shared, dtype=self.dtype, name=name)

    def _runs(self) -> list[tuple[int, int]]:
        """Groups the blocks into runs of equal size: (count, size) each."""
        width = self.fused_width
        if self.block_sizes is None:
            if width % self.chunks:
                raise ValueError(
                    f"BLOCK: width {width} is not divisible by {self.chunks} chunks"
                )
            return [(self.chunks, width // self.chunks)]
        if min(self.block_sizes) < 1 or sum(self.block_sizes) != width:
            raise ValueError(
                f"BLOCK: block sizes {self.block_sizes} must be positive and sum to "
                f"the width {width}"
            )
        runs = itertools.groupby(self.block_sizes)
        return [(len(list(group)), size) for size, group in runs]


def _cut(x: jax.Array, blocks: int) -> jax.Array:
    """Cuts x [..., C * I] into blocks [C, ..., I]."""
    return jnp.moveaxis(x.reshape(*x.shape[:-1], blocks, -1), -2, 0)
