"""The paper's model: what is needed by category, which one of it by sight.

Source: Yu et al., "Personalized Item Recommendation for Second-hand Trading Platform",
ACM MM 2020, section 3.2.
"""

import jax
import jax.numpy as jnp
import numpy as np

from recsys.models.recommender import Recommender, inner


class CoarseFine(Recommender):
    """Coarse category vectors and a fine visual vector beside each other.

    With the path C^1..C^m of an item, its leaf c = C^m and its features f:

      e^1 = e_base,  e^k = W_cat e^(k-1)                     (Eq. 1)
      e_vis = W_item f + b_item                              (Eq. 2)
      e_i = [e^1, ..., e^m, e_vis]                           (Eq. 3)
      p_ui = [p_u^1, ..., p_u^m, p_u^vis + b_user]           (Eq. 4)
      score(u, i) = p_ui . (e_i + p_u^bias)                  (Eq. 5, 6)

    where matrices and biases are those of the node or leaf. Multiplied out, with
    P_u = [p_u^1, ..., p_u^m, p_u^vis], the score is

      P_u . e_i + b_user . e_vis + P_u . p_u^bias + b_user . p_u^bias,vis

    or the inner product of these columns:

      user [p_u^vis, 1,              p_u^1, ..., p_u^m, p_u^bias,vis, P_u . p_u^bias]
      item [e_vis,   b_user . e_vis, e^1, ..., e^m,     b_user,       1             ]

    The last column is one number for each user: it moves neither a ranking nor J_1, and
    is a prior of the user in J_2. The category part of p_u^bias acts through it alone.

    | parameter | symbol | shape |
    | --- | --- | --- |
    | user_preference | p_u^1, ..., p_u^m, p_u^vis side by side | [U, D] |
    | user_bias | p_u^bias, the same columns | [U, D] |
    | category_base | e_c^base of level 1 | [n_1, d_1] |
    | category_transition{k} | W_c^cat of level k = 2..m | [n_k, d_k, d_(k-1)] |
    | leaf_matrix | W_c^item | [C, d_vis, F] |
    | leaf_item_bias | b_c^item | [C, d_vis] |
    | leaf_user_bias | b_c^user | [C, d_vis] |

    A level that repeats the one above (`tree.repeated`) has the identity as its
    transition; where the sizes differ, its first rows, and zeros below.

    Source: paper, section 3.2, Eq. 1 to 6.

    Attributes:
      level_widths: d_1 to d_m; None for D / (m + 1) each, rounded down. What is left of
        D is d_vis.
    """

    level_widths: tuple[int, ...] | None = None

    def setup(self) -> None:
        """Declares the parameters."""
        tree, sizes, visual = self.tree, self.category_widths, self.visual_width
        if len(sizes) != tree.levels or min(*sizes, visual) < 1:
            raise ValueError(
                f"level_widths {sizes} must be {tree.levels} numbers above 0 that"
                f" leave some of the width {self.width}"
            )
        self.user_preference = self.table(
            "user_preference", self.user_count, self.width
        )
        self.user_bias = self.table("user_bias", self.user_count, self.width)
        nodes = tree.level_sizes
        self.category_base = self.table("category_base", nodes[0], sizes[0])
        self.category_transitions = [
            self.table(
                f"category_transition{k + 1}",
                nodes[k],
                sizes[k],
                sizes[k - 1],
                scale=sizes[k - 1] ** -0.5,
            )
            for k in range(1, tree.levels)
        ]
        leaves = tree.leaf_count
        self.leaf_matrix = self.table(
            "leaf_matrix", leaves, visual, self.feature_size, scale=self.visual_scale
        )
        self.leaf_item_bias = self.table("leaf_item_bias", leaves, visual)
        self.leaf_user_bias = self.table("leaf_user_bias", leaves, visual)

    @property
    def category_widths(self) -> tuple[int, ...]:
        """d_1 to d_m."""
        levels = self.tree.levels
        return self.level_widths or (self.width // (levels + 1),) * levels

    @property
    def visual_width(self) -> int:
        """d_vis."""
        return self.width - sum(self.category_widths)

    @property
    def item_width(self) -> int:
        """d_vis and one more: e_vis and b_user . e_vis."""
        return self.visual_width + 1

    def category_vectors(self) -> jax.Array:
        """e^1 to e^m side by side for every leaf, [C, d_1 + ... + d_m] (Eq. 1)."""
        tree, vectors = self.tree, [self.category_base]
        for level, transition in enumerate(self.category_transitions, start=1):
            above = vectors[-1][tree.parents[level]]  # [n_k, d_(k-1)]
            projected = jnp.einsum("nde,ne->nd", transition, above)
            same = above @ jnp.eye(
                above.shape[1], projected.shape[1], dtype=projected.dtype
            )
            repeats = np.zeros(len(projected), bool)
            repeats[tree.ancestors[:, level]] = tree.repeated[:, level]
            vectors.append(jnp.where(repeats[:, None], same, projected))
        by_leaf = [part[tree.ancestors[:, k]] for k, part in enumerate(vectors)]
        return jnp.concatenate(by_leaf, axis=1)

    def user_vectors(self, users: jax.Array | None = None) -> jax.Array:
        """[..., E] of users [...] or all; E = D + d_vis + 2."""
        preference = self.pick(self.user_preference, "user", users)  # [..., D]
        bias = self.pick(self.user_bias, "user", users)  # [..., D]
        coarse, fine = jnp.split(preference, [sum(self.category_widths)], axis=-1)
        prior = jnp.sum(preference * bias, axis=-1, keepdims=True)  # [..., 1]
        parts = [
            fine,
            jnp.ones_like(prior),
            coarse,
            bias[..., -self.visual_width :],
            prior,
        ]
        return jnp.concatenate(parts, axis=-1)

    def item_vectors(
        self, items: jax.Array, leaves: jax.Array, features: jax.Array
    ) -> jax.Array:
        """[..., E] of items; their numbers do not count."""
        del items
        fine = self.visual_vectors(leaves, features)  # [..., d_vis]
        shift = self.pick(self.leaf_user_bias, "leaf", leaves)  # [..., d_vis]
        offset = jnp.sum(shift * fine, axis=-1, keepdims=True)  # [..., 1]
        parts = [fine, offset, self.leaf_vectors(leaves)]
        return jnp.concatenate(parts, axis=-1)

    def visual_vectors(self, leaves: jax.Array, features: jax.Array) -> jax.Array:
        """e_vis [..., d_vis] (Eq. 2)."""
        seen = self.project_by(self.leaf_matrix, "leaf", leaves, features)
        return seen + self.pick(self.leaf_item_bias, "leaf", leaves)

    def leaf_vectors(self, leaves: jax.Array) -> jax.Array:
        """e^1 to e^m, b_user and 1 of leaves [...]: [..., E - d_vis - 1]."""
        coarse = self.category_vectors()[leaves]  # [..., d_1 + ... + d_m]
        shift = self.pick(self.leaf_user_bias, "leaf", leaves)
        one = jnp.ones_like(coarse, shape=(*leaves.shape, 1))
        return jnp.concatenate([coarse, shift, one], axis=-1)

    def score_parts(
        self,
        users: jax.Array,
        items: jax.Array,
        leaves: jax.Array,
        features: jax.Array,
    ) -> dict[str, jax.Array]:
        """Parts of the score, {part: [B]}.

        - "level 1", ...: p_u^k . e^k, what the user needs by category.
        - "visual": p_u^vis . e_vis, what the user likes of the item's look.
        - "visual, all users": b_user . e_vis, what everybody likes in its leaf.
        - "user bias": P_u . p_u^bias + b_user . p_u^bias,vis, which does not depend on
          the look, and only through the leaf on the item.
        """
        preference = self.pick(self.user_preference, "user", users)  # [B, D]
        bias = self.pick(self.user_bias, "user", users)  # [B, D]
        edges = np.cumsum(self.category_widths).tolist()
        *coarse, fine = jnp.split(preference, edges, axis=-1)
        nodes = jnp.split(self.category_vectors()[leaves], edges[:-1], axis=-1)
        vectors = self.item_vectors(items, leaves, features)
        seen, offset = (
            vectors[..., : self.visual_width],
            vectors[..., self.visual_width],
        )
        shift = self.pick(self.leaf_user_bias, "leaf", leaves)
        parts = {
            f"level {k}": inner(need, node)
            for k, (need, node) in enumerate(zip(coarse, nodes, strict=True), start=1)
        }
        prior = inner(preference, bias) + inner(shift, bias[..., edges[-1] :])
        return parts | {
            "visual": inner(fine, seen),
            "visual, all users": offset,
            "user bias": prior,
        }
