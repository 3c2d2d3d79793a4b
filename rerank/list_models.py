"""Networks that ARMMT is compared with, on the same inputs and in the same house.

All see a candidate as one vector, x = W [e_1 ; .. ; e_M ; numbers ; c], and have no
auxiliary task and no history:

    prm      x + a place in the list, then a transformer across it (Pei et al.,
             "Personalized Re-ranking for Recommendation", RecSys 2019). Its vectors of
             users that another model trained before are left out.
    setrank  a transformer across the list without places (Pang et al., "SetRank", SIGIR
             2020, the variant MSAB): the same scores in any order.
    mlp      dense layers at each place; each score on its own.

Blocks have their norm in front, as ARMMT's have, so that the networks differ in what
they see alone.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from rerank.model import Encoded, Reranker

Batch = Mapping[str, jax.Array]


class Prm(Reranker):
    """PRM; attributes as of `Reranker`."""

    def setup(self):
        """Makes the layers."""
        super().setup()
        self.joined = nn.Dense(self.model.width, dtype=self.dtype)

    def encode(self, batch: Batch, train: bool = False) -> Encoded:
        """One vector a candidate; see `Reranker.encode`."""
        del train
        mask, present = batch["mask"], self.presence(batch)
        context = self.context(batch)[:, None]  # [B, 1, D]
        parts = [
            *(encode(batch, present[..., m]) for m, encode in enumerate(self.encoders)),
            self.numbers(batch),
            jnp.broadcast_to(context, (*mask.shape, self.model.width)),
        ]
        items = self.joined(jnp.concatenate(parts, axis=-1))  # [B, L, D]
        return Encoded(jnp.where(mask[..., None], items, 0))


class SetRank(Prm):
    """SetRank with multi-head self-attention blocks; attributes as of `Reranker`."""

    knows_places = False


class Pointwise(Prm):
    """Dense layers at each place; attributes as of `Reranker`."""

    attends = False
    knows_places = False


RIVALS: dict[str, type[Reranker]] = {
    "prm": Prm,
    "setrank": SetRank,
    "mlp": Pointwise,
}
