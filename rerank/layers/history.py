"""What a user took before, seen from a candidate.

Past items of the candidate's category are kept (the hard filter of ARMMT, arXiv
2408.05751) and attended to with the candidate as query, modality by modality:

    keep[l, h] = valid(h) and category(h) = category(l)
    p[l] = softmax_h(keep: q(e[l]) k(h) / sqrt(D)) v(h)

Where nothing is kept, p is a learned vector. Items without a category are of one
category together: where there are none at all, all of the history counts.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.layers.transformer import attend


def keep_history(
    category: jax.Array, history_category: jax.Array, history_mask: jax.Array
) -> jax.Array:
    """Which past items a candidate looks at.

    Args:
      category: int [B, L] of the candidates, -1 for none.
      history_category: int [B, H] of past items.
      history_mask: bool [B, H], False for padding.

    Returns:
      bool [B, L, H].
    """
    same = category[:, :, None] == history_category[:, None]  # [B, L, H]
    return same & history_mask[:, None]


class TargetAttention(nn.Module):
    """Personalised vectors of candidates in one modality."""

    dtype: Any = None

    @nn.compact
    def __call__(
        self, items: jax.Array, history: jax.Array, keep: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Attends from candidates to what is kept of the history.

        Args:
          items: [B, L, D].
          history: [B, H, D], finite where masked too.
          keep: bool [B, L, H].

        Returns:
          (p [B, L, D]; weights [B, L, H], float32, zeros where nothing is kept).
        """
        width = items.shape[-1]
        queries = nn.Dense(width, dtype=self.dtype, name="queries")(items)
        joined = nn.Dense(2 * width, dtype=self.dtype, name="history")(history)
        keys, values = jnp.split(joined, 2, axis=-1)  # [B, H, D]
        found, weights = attend(queries, keys, values, keep)
        empty = self.param("empty", nn.initializers.normal(1.0), (width,))
        some = keep.any(-1, keepdims=True)  # [B, L, 1]
        return jnp.where(some, found, empty.astype(found.dtype)), weights
