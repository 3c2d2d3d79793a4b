"""VBPR, and the terms that Sherlock shares with it.

As in the paper all vectors have the same length D, columns for biases aside. Terms that
are the same for all items of a user are left out, for no ranking sees them. The variant
I drops all that is learnt of single items, which few interactions cannot teach, and
gives the whole width to the visual part.
"""

import jax
import jax.numpy as jnp

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
        visual, bias = (
            self.visual_vectors(leaves, features),
            self.feature_bias(features),
        )
        own_bias, factors = self.own_terms(items)
        parts = [visual, bias + own_bias, factors, self.leaf_vectors(leaves)]
        return jnp.concatenate(parts, axis=-1)

    def feature_bias(self, features: jax.Array) -> jax.Array:
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
        . gamma_i, "item bias" b_i and "user bias" b_u.
        """
        visual = self.pick(self.user_visual, "user", users)  # [B, K']
        parts = {
            "visual": inner(visual, self.visual_vectors(leaves, features)),
            "visual, all users": self.feature_bias(features)[..., 0],
        }
        if self.factor_width:
            user = self.pick(self.user_factor, "user", users)
            parts["factors"] = inner(user, self.pick(self.item_factor, "item", items))
        if self.has_item_bias:
            parts["item bias"] = self.pick(self.item_bias, "item", items)[..., 0]
        if self.user_bias_used:
            parts["user bias"] = self.pick(self.user_bias, "user", users)[..., 0]
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

    def visual_vectors(self, leaves: jax.Array, features: jax.Array) -> jax.Array:
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
            self.visual_vectors(leaves[:, 1:], contrast),
            self.feature_bias(contrast) + bias,
            factors,
            differences(self.leaf_vectors(leaves)),
        ]
        return jnp.concatenate(parts, axis=-1)
