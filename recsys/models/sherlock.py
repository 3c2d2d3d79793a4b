"""Sherlock: VBPR with a visual matrix for each path of categories."""

import jax
import jax.numpy as jnp

from recsys.models.vbpr import VisualFactors


class Sherlock(VisualFactors):
    """Sherlock: each node of an item's path gives some rows of its matrix.

      theta_i = [E_(node at level 1) f, ..., E_(node at level m) f]

    Items under a node share its rows, and theta_u is shared by all categories.
    Parameters are those of `VisualFactors` and

    | parameter | symbol | shape |
    | --- | --- | --- |
    | level{k}_matrix | E of the nodes of level k = 1..m | [n_k, K'_k, F] |

    Source: He, Lin, Wang and McAuley, "Sherlock: Sparse Hierarchical Embeddings for
    Visually-aware One-class Collaborative Filtering", IJCAI 2016.

    Attributes:
      level_widths: K'_1 to K'_m, which add up to K'; None for half of K' at the top and
        equal parts below, 32, 16 and 16 of 64. A level may have 0.
    """

    level_widths: tuple[int, ...] | None = None

    @property
    def visual_widths(self) -> tuple[int, ...]:
        """K'_1 to K'_m."""
        if self.level_widths is not None:
            return self.level_widths
        below = self.tree.levels - 1
        part = self.visual_width // 2 // below if below else 0
        return (self.visual_width - below * part, *[part] * below)

    def declare_visual(self) -> None:
        """Declares the matrices of all levels."""
        widths, tree = self.visual_widths, self.tree
        if len(widths) != tree.levels or sum(widths) != self.visual_width:
            raise ValueError(
                f"level_widths {widths} must be {tree.levels} numbers that add up to"
                f" {self.visual_width}"
            )
        self.level_matrices = {
            f"level{k + 1}": self.table(
                f"level{k + 1}_matrix",
                tree.level_sizes[k],
                width,
                self.feature_size,
                scale=self.visual_scale,
            )
            for k, width in enumerate(widths)
            if width
        }

    def visual_vectors(self, leaves: jax.Array, features: jax.Array) -> jax.Array:
        """theta_i, [..., K']."""
        ancestors = jnp.asarray(self.tree.ancestors)  # [C, m]
        parts = []
        for k, width in enumerate(self.visual_widths):
            if width:
                kind, nodes = f"level{k + 1}", ancestors[:, k][leaves]
                matrices = self.level_matrices[kind]
                parts.append(self.project_by(matrices, kind, nodes, features))
        return jnp.concatenate(parts, axis=-1)
