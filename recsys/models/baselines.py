"""The paper's baselines: VBPR, Sherlock and DeepStyle, and their variants I.

Each keeps its own paper's score; terms that are the same for all items of a user are
left out, for no ranking sees them. The variants I drop all that is learnt of single
items, which few interactions cannot teach, and give the whole width to the visual
part. The variants II are the same models trained on both tasks (paper, section 4.3).

As in the paper all vectors have the same length D, columns for biases aside.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from recsys.corpus.tree import CategoryTree
from recsys.models.recommender import Recommender, differences, inner


class VisualFactors(Recommender):
    """What VBPR and Sherlock share: latent factors, and a visual part beside them.

      score(u, i) = b_i + gamma_u . gamma_i + theta_u . theta_i + beta' . f_i [+ b_u]

    is the inner product of, by columns,

      user [theta_u, 1,               gamma_u, b_u]
      item [theta_i, b_i + beta' . f, gamma_i, 1  ]

    | parameter | symbol | shape |
    | --- | --- | --- |
    | user_visual | theta_u | [U, K'] |
    | user_factor | gamma_u | [U, K] |
    | item_factor | gamma_i | [I, K] |
    | item_bias | b_i, zero at the start | [I, 1] |
    | user_bias | b_u, zero at the start | [U, 1] |
    | visual_bias | beta', zero at the start | [F] |

    Attributes:
      factor_width: K of the width D, the other K' = D - K are visual; 0 for the
        variant I, which has no gamma.
      item_bias_used: whether there is b_i; None for where there is gamma.
      user_bias_used: whether there is b_u. J_1 cannot see it; in J_2 it is a prior.
    """

    factor_width: int = 64
    item_bias_used: bool | None = None
    user_bias_used: bool = False

    def setup(self) -> None:
        """Declares the parameters."""
        if not 0 <= self.factor_width < self.width:
            raise ValueError(
                f"factor_width {self.factor_width} must be 0 to {self.width - 1}, below"
                " the width"
            )
        users, items, factors = self.user_count, self.item_count, self.factor_width
        self.user_visual = self.table("user_visual", users, self.visual_width)
        if factors:
            self.user_factor = self.table("user_factor", users, factors)
            self.item_factor = self.table("item_factor", items, factors)
        if self.has_item_bias:
            self.item_bias = self.table("item_bias", items, 1, scale=0.0)
        if self.user_bias_used:
            self.user_bias = self.table("user_bias", users, 1, scale=0.0)
        self.visual_bias = self.table("visual_bias", self.feature_size, scale=0.0)
        self.declare_visual()

    def declare_visual(self) -> None:
        """Declares the parameters of theta_i."""
        raise NotImplementedError

    @property
    def visual_width(self) -> int:
        """K'."""
        return self.width - self.factor_width

    @property
    def has_item_bias(self) -> bool:
        """Whether there is b_i."""
        if self.item_bias_used is None:
            return self.factor_width > 0
        return self.item_bias_used

    @property
    def item_width(self) -> int:
        """All columns but the last: theta_i, biases and gamma_i."""
        return self.width + 1

    def user_vectors(self, users: jax.Array | None = None) -> jax.Array:
        """[..., D + 1] of users [...] or all; one more with b_u."""
        visual = self.pick(self.user_visual, "user", users)  # [..., K']
        parts = [visual, jnp.ones_like(visual, shape=(*visual.shape[:-1], 1))]
        if self.factor_width:
            parts.append(self.pick(self.user_factor, "user", users))
        if self.user_bias_used:
            parts.append(self.pick(self.user_bias, "user", users))
        return jnp.concatenate(parts, axis=-1)

    def item_vectors(
        self, items: jax.Array, leaves: jax.Array, features: jax.Array
    ) -> jax.Array:
        """[..., E] of items."""
        visual, bias = self.see(leaves, features), self.see_bias(features)
        own_bias, factors = self.own_terms(items)
        parts = [visual, bias + own_bias, factors, self.leaf_vectors(leaves)]
        return jnp.concatenate(parts, axis=-1)

    def see_bias(self, features: jax.Array) -> jax.Array:
        """beta' . f, [..., 1]."""
        return self.project_all(self.visual_bias[None], features)

    def own_terms(self, items: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(b_i [..., 1], gamma_i [..., K]) of items; zeros and [..., 0] without."""
        like = self.visual_bias
        bias = jnp.zeros_like(like, shape=(*items.shape, 1))
        factors = jnp.zeros_like(like, shape=(*items.shape, 0))
        if self.has_item_bias:
            bias = self.pick(self.item_bias, "item", items)
        if self.factor_width:
            factors = self.pick(self.item_factor, "item", items)
        return bias, factors

    def leaf_vectors(self, leaves: jax.Array) -> jax.Array:
        """[..., 1] the factor of b_u, or [..., 0]."""
        return jnp.ones_like(
            self.visual_bias, shape=(*leaves.shape, int(self.user_bias_used))
        )

    def score_parts(
        self,
        users: jax.Array,
        items: jax.Array,
        leaves: jax.Array,
        features: jax.Array,
    ) -> dict[str, jax.Array]:
        """Parts of the score, {part: [B]}.

        "visual" is theta_u . theta_i, "visual, all users" beta' . f, "factors" gamma_u
        . gamma_i, "item" b_i and "user" b_u.
        """
        visual = self.pick(self.user_visual, "user", users)  # [B, K']
        parts = {
            "visual": inner(visual, self.see(leaves, features)),
            "visual, all users": self.see_bias(features)[..., 0],
        }
        if self.factor_width:
            user = self.pick(self.user_factor, "user", users)
            parts["factors"] = inner(user, self.pick(self.item_factor, "item", items))
        if self.has_item_bias:
            parts["item"] = self.pick(self.item_bias, "item", items)[..., 0]
        if self.user_bias_used:
            parts["user"] = self.pick(self.user_bias, "user", users)[..., 0]
        return parts


class Vbpr(VisualFactors):
    """VBPR: one matrix E for all items, theta_i = E f_i.

    Parameters are those of `VisualFactors` and

    | parameter | symbol | shape |
    | --- | --- | --- |
    | visual_matrix | E | [K', F] |

    Source: He and McAuley, "VBPR: Visual Bayesian Personalized Ranking from Implicit
    Feedback", AAAI 2016; the constant alpha and b_u cancel in J_1.
    """

    def declare_visual(self) -> None:
        """Declares E."""
        self.visual_matrix = self.table(
            "visual_matrix",
            self.visual_width,
            self.feature_size,
            scale=self.visual_scale,
        )

    def see(self, leaves: jax.Array, features: jax.Array) -> jax.Array:
        """E f, [..., K']."""
        del leaves
        return self.project_all(self.visual_matrix, features)

    def item_differences(
        self, items: jax.Array, leaves: jax.Array, features: jax.Array
    ) -> jax.Array:
        """[B, n, E]; E (f+ - f-) is a product less a row than E f of each item."""
        contrast = differences(features)  # [B, n, F]
        bias, factors = map(differences, self.own_terms(items))
        parts = [
            self.see(leaves[:, 1:], contrast),
            self.see_bias(contrast) + bias,
            factors,
            differences(self.leaf_vectors(leaves)),
        ]
        return jnp.concatenate(parts, axis=-1)


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

    def see(self, leaves: jax.Array, features: jax.Array) -> jax.Array:
        """theta_i, [..., K']."""
        ancestors = jnp.asarray(self.tree.ancestors)  # [C, m]
        parts = []
        for k, width in enumerate(self.visual_widths):
            if width:
                kind, nodes = f"level{k + 1}", ancestors[:, k][leaves]
                matrices = self.level_matrices[kind]
                parts.append(self.project_by(matrices, kind, nodes, features))
        return jnp.concatenate(parts, axis=-1)


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
        style = self.see(leaves, features)
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

    def see(self, leaves: jax.Array, features: jax.Array) -> jax.Array:
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

        "visual" is p_u . E f, "leaf" -p_u . l_c, "factors" p_u . q_i and "user" b_u.
        """
        style = self.pick(self.user_style, "user", users)  # [B, D]
        parts = {
            "visual": inner(style, self.project_all(self.visual_matrix, features)),
            "leaf": -inner(style, self.pick(self.leaf_style, "leaf", leaves)),
        }
        if self.item_factors:
            parts["factors"] = inner(style, self.pick(self.item_factor, "item", items))
        if self.user_bias_used:
            parts["user"] = self.pick(self.user_bias, "user", users)[..., 0]
        return parts


# Class and fields of each baseline by name; a variant II differs in its training only.
BASELINES: Mapping[str, tuple[type[Recommender], Mapping[str, Any]]] = {
    "vbpr": (Vbpr, {}),
    "vbpr-i": (Vbpr, {"factor_width": 0}),
    "sherlock": (Sherlock, {}),
    "sherlock-i": (Sherlock, {"factor_width": 0}),
    "deepstyle": (DeepStyle, {}),
    "deepstyle-i": (DeepStyle, {"item_factors": False}),
}


def make_baseline(name: str, tree: CategoryTree, **fields: Any) -> Recommender:
    """A baseline by its name in `BASELINES`, or with "-ii", which is the same as "-i".

    Args:
      name: which.
      tree: of the categories.
      **fields: of the class; those that make the variant are set already.

    Raises:
      ValueError: there is no such baseline.
    """
    known = BASELINES.get(name.replace("-ii", "-i"))
    if known is None:
        raise ValueError(f"baseline {name!r} is none of {sorted(BASELINES)}")
    kind, variant = known
    return kind(tree=tree, **{**variant, **fields})
