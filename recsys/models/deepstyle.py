"""DeepStyle: one visual matrix, and what is left of the look without the category."""

import jax
import jax.numpy as jnp

from recsys.models.recommender import Recommender, differences, inner


class DeepStyle(Recommender):
    """DeepStyle: style is what is left of the look without the category.

      score(u, i) = p_u . (E f_i - l_c + q_i) [+ b_u]

    with one vector l_c for each leaf. Where l is learnt for each item instead, as in a
    public implementation, -l_i + q_i is one free vector and the category plays no part.

    | parameter | symbol | shape |
    | --- | --- | --- |
    | user_style | p_u | [U, D] |
    | visual_matrix | E | [D, F] |
    | leaf_style | l_c | [C, D] |
    | item_factor | q_i | [I, D] |
    | user_bias | b_u, zero at the start | [U, 1] |

    Source: Liu, Wu and Wang, "DeepStyle: Learning User Preferences for Visual
    Recommendation", SIGIR 2017.

    Attributes:
      item_factors: whether there is q_i; False for the variant I.
      user_bias_used: whether there is b_u. J_1 cannot see it; in J_2 it is a prior.
    """

    item_factors: bool = True
    user_bias_used: bool = False

    def setup(self) -> None:
        """Declares the parameters."""
        width = self.width
        self.user_style = self.table("user_style", self.user_count, width)
        self.visual_matrix = self.table(
            "visual_matrix", width, self.feature_size, scale=self.visual_scale
        )
        self.leaf_style = self.table("leaf_style", self.tree.leaf_count, width)
        if self.item_factors:
            self.item_factor = self.table("item_factor", self.item_count, width)
        if self.user_bias_used:
            self.user_bias = self.table("user_bias", self.user_count, 1, scale=0.0)

    @property
    def item_width(self) -> int:
        """D, all columns but the factor of b_u."""
        return self.width

    def user_vectors(self, users: jax.Array | None = None) -> jax.Array:
        """[..., D] of users [...] or all; one more with b_u."""
        style = self.pick(self.user_style, "user", users)
        if not self.user_bias_used:
            return style
        bias = self.pick(self.user_bias, "user", users)
        return jnp.concatenate([style, bias], axis=-1)

    def item_vectors(
        self, items: jax.Array, leaves: jax.Array, features: jax.Array
    ) -> jax.Array:
        """[..., E] of items."""
        style = self.visual_vectors(leaves, features)
        if self.item_factors:
            style = style + self.pick(self.item_factor, "item", items)
        return jnp.concatenate([style, self.leaf_vectors(leaves)], axis=-1)

    def item_differences(
        self, items: jax.Array, leaves: jax.Array, features: jax.Array
    ) -> jax.Array:
        """[B, n, E]; E (f+ - f-) is a product less a row than E f of each item."""
        style = self.project_all(self.visual_matrix, differences(features))
        style = style - differences(self.pick(self.leaf_style, "leaf", leaves))
        if self.item_factors:
            style = style + differences(self.pick(self.item_factor, "item", items))
        parts = [style, differences(self.leaf_vectors(leaves))]
        return jnp.concatenate(parts, axis=-1)

    def visual_vectors(self, leaves: jax.Array, features: jax.Array) -> jax.Array:
        """E f - l_c, [..., D]."""
        style = self.project_all(self.visual_matrix, features)
        return style - self.pick(self.leaf_style, "leaf", leaves)

    def leaf_vectors(self, leaves: jax.Array) -> jax.Array:
        """[..., 1] the factor of b_u, or [..., 0]."""
        return jnp.ones_like(
            self.leaf_style, shape=(*leaves.shape, int(self.user_bias_used))
        )

    def score_parts(
        self,
        users: jax.Array,
        items: jax.Array,
        leaves: jax.Array,
        features: jax.Array,
    ) -> dict[str, jax.Array]:
        """Parts of the score, {part: [B]}.

        "visual" is p_u . E f, "leaf" -p_u . l_c, "factors" p_u . q_i and "user bias"
        b_u.
        """
        style = self.pick(self.user_style, "user", users)  # [B, D]
        parts = {
            "visual": inner(style, self.project_all(self.visual_matrix, features)),
            "leaf": -inner(style, self.pick(self.leaf_style, "leaf", leaves)),
        }
        if self.item_factors:
            parts["factors"] = inner(style, self.pick(self.item_factor, "item", items))
        if self.user_bias_used:
            parts["user bias"] = self.pick(self.user_bias, "user", users)[..., 0]
        return parts
