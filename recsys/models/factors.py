"""Vectors of users and items that know who took what, and nothing else: ALS and BPR."""

import jax
import jax.numpy as jnp

from recsys.models.recommender import Recommender, inner


class Factors(Recommender):
    """score(u, i) = gamma_u . gamma_i + b_i, with user vectors [gamma_u, 1].

    | parameter | symbol | shape |
    | --- | --- | --- |
    | user_factor | gamma_u | [U, D] |
    | item_factor | gamma_i | [I, D] |
    | item_bias | b_i, next to nothing for ALS | [I, 1] |

    An item that training has not seen has the vector 0.

    Sources: Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback
    Datasets", ICDM 2008 (ALS); Rendle et al., "BPR: Bayesian Personalized Ranking from
    Implicit Feedback", UAI 2009.
    """

    def setup(self) -> None:
        """Declares the parameters."""
        self.user_factor = self.table("user_factor", self.user_count, self.width)
        self.item_factor = self.table("item_factor", self.item_count, self.width)
        self.item_bias = self.table("item_bias", self.item_count, 1, scale=0.0)

    @property
    def item_width(self) -> int:
        """D + 1, all columns."""
        return self.width + 1

    def user_vectors(self, users: jax.Array | None = None) -> jax.Array:
        """[..., D + 1] of users [...] or all."""
        factors = self.pick(self.user_factor, "user", users)
        one = jnp.ones_like(factors, shape=(*factors.shape[:-1], 1))
        return jnp.concatenate([factors, one], axis=-1)

    def item_vectors(
        self, items: jax.Array, leaves: jax.Array, features: jax.Array
    ) -> jax.Array:
        """[..., D + 1] of items [...]."""
        del leaves, features
        factors = self.pick(self.item_factor, "item", items)
        bias = self.pick(self.item_bias, "item", items)
        return jnp.concatenate([factors, bias], axis=-1)

    def score_parts(
        self,
        users: jax.Array,
        items: jax.Array,
        leaves: jax.Array,
        features: jax.Array,
    ) -> dict[str, jax.Array]:
        """Parts of the score, {part: [B]}: "factors" and "item bias"."""
        del leaves, features
        user = self.pick(self.user_factor, "user", users)
        return {
            "factors": inner(user, self.pick(self.item_factor, "item", items)),
            "item bias": self.pick(self.item_bias, "item", items)[..., 0],
        }
