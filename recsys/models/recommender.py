"""What all models of recommendation here have in common: vectors, and rows of tables.

Every score is one inner product, exactly, with user and item vectors of E numbers:

    score(u, i) = user_vector(u) . item_vector(i)

Biases and products of two terms of the same side are columns of their own, against
which the other side has a 1 or the factor that is missing. Training, ranking and export
know only these vectors, and not which model they come from.

**Tables and rows.** A parameter whose name begins with "user", "item", "leaf" or
"level1", "level2", ... is a table with one row for each of these; the others are dense.
A batch needs few rows of the tables, so an optimizer may take the gradient with respect
to those alone:

    ids = model.row_ids(model.kinds, users, items, leaves)  # on the host; `pad_ids`
    rows, dense = split_rows(params, ids)
    gradients = jax.grad(
        lambda rows, dense: loss(model.apply(join_rows(rows, dense, ids), ...)),
        argnums=(0, 1),
    )(rows, dense)

Scores are the same either way: a model given `ids` looks its rows up among them.

Source: Yu et al., "Personalized Item Recommendation for Second-hand Trading Platform",
ACM MM 2020.
"""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from recsys.corpus.tree import CategoryTree
from recsys.models.projection import Form, project

# Variable collection of `join_rows`.
ROWS = "rows"

# Number of a row that stands for none; above all others, so that ids stay sorted.
NO_ROW = np.iinfo(np.int32).max

# Standard deviation of embeddings at the start, ours: the paper gives none.
EMBEDDING_SCALE = 0.1


def split_rows(
    params: Mapping[str, jax.Array], ids: Mapping[str, jax.Array]
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """Parameters as the rows of tables that a batch needs, and all the rest.

    Args:
      params: {name: array} of a model.
      ids: {kind: int [n]} of `row_ids`. Tables of other kinds stay whole.

    Returns:
      ({table: its rows [n, ...]}, {name: array}); rows of `NO_ROW` are zeros.
    """
    kinds = {name: name.split("_")[0] for name in params}
    rows = {
        name: jnp.take(params[name], ids[kind], axis=0, mode="fill", fill_value=0)
        for name, kind in kinds.items()
        if kind in ids
    }
    return rows, {name: params[name] for name in params if name not in rows}


def join_rows(
    rows: Mapping[str, jax.Array],
    dense: Mapping[str, jax.Array],
    ids: Mapping[str, jax.Array],
) -> dict[str, Any]:
    """Variables for `model.apply` from the parts of `split_rows`."""
    return {"params": {**rows, **dense}, ROWS: dict(ids)}


def pad_ids(ids: np.ndarray, size: int) -> np.ndarray:
    """Ids [n] of `row_ids` filled up to [size] with `NO_ROW`.

    Raises:
      ValueError: there are more than `size`.
    """
    if len(ids) > size:
        raise ValueError(f"{len(ids)} rows do not fit into {size}")
    padded = np.full(size, NO_ROW, np.int32)
    padded[: len(ids)] = ids
    return padded


class Recommender(nn.Module):
    """What a model's user and item vectors are used for, and where its rows come from.

    Numbers of users and items may be -1: unknown in training. Their rows are zeros, so
    such a user gets what all users have in common.

    Attributes:
      tree: of the categories.
      user_count: U.
      item_count: I; models that learn nothing of single items have no table of them.
      feature_size: F.
      width: D, length of a user's or an item's vector before columns for biases.
      feature_power: mean of |f|^2, 1 for features of unit length. Visual matrices
        start with the variance 1 / feature_power: outputs have variance 1.
      projection: form of products with a matrix for each category, see `projection`.
      dtype: of products with features; None for that of the parameters.
    """

    tree: CategoryTree
    user_count: int
    item_count: int = 0
    feature_size: int = 2048
    width: int = 128
    feature_power: float = 1.0
    projection: Form = "tiles"
    dtype: Any = None

    def user_vectors(self, users: jax.Array | None = None) -> jax.Array:
        """[..., E] of users int [...]; None for all, in order."""
        raise NotImplementedError

    def item_vectors(
        self, items: jax.Array, leaves: jax.Array, features: jax.Array
    ) -> jax.Array:
        """[..., E] of items: their numbers [...], leaves [...], features [..., F].

        The first `item_width` columns are the item's own, the others its leaf's.
        """
        raise NotImplementedError

    def item_differences(
        self, items: jax.Array, leaves: jax.Array, features: jax.Array
    ) -> jax.Array:
        """[B, n, E] vectors of the positives less those of their n negatives.

        The first task sees no more than these. Arguments as of `__call__`.
        """
        return differences(self.item_vectors(items, leaves, features))

    def leaf_vectors(self, leaves: jax.Array) -> jax.Array:
        """[..., E - item_width], the columns that all items of a leaf share."""
        return jnp.zeros((*leaves.shape, 0))

    def visual_vectors(self, leaves: jax.Array, features: jax.Array) -> jax.Array:
        """[..., d] the visual part of items: leaves [...], features [..., F]."""
        raise NotImplementedError

    @property
    def item_width(self) -> int:
        """Number of columns that differ between items of one leaf."""
        raise NotImplementedError

    def __call__(
        self,
        users: jax.Array,
        items: jax.Array,
        leaves: jax.Array,
        features: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        """(user_vectors [B, E], item_vectors [B, N, E]) of a training batch.

        Args:
          users: [B].
          items: [B, N], the user's item in column 0 and its n negatives.
          leaves: [B, N].
          features: [B, N, F].
        """
        return self.user_vectors(users), self.item_vectors(items, leaves, features)

    def score(
        self,
        users: jax.Array,
        items: jax.Array,
        leaves: jax.Array,
        features: jax.Array,
    ) -> jax.Array:
        """[B] of pairs: users [B], items [B], leaves [B], features [B, F]."""
        user, item = self(users, items, leaves, features)
        return jnp.einsum("be,be->b", user, item)

    def score_parts(
        self,
        users: jax.Array,
        items: jax.Array,
        leaves: jax.Array,
        features: jax.Array,
    ) -> dict[str, jax.Array]:
        """What the score of pairs adds up from, {part: [B]}; arguments as of `score`.

        Parts stand in tables beside ids of users and items, so none is named "user" or
        "item".
        """
        raise NotImplementedError

    @nn.nowrap
    def init_params(self, key: jax.Array) -> dict[str, jax.Array]:
        """Parameters at the start, float32."""
        none = jnp.zeros(0, jnp.int32)
        return self.init(key, none, method="user_vectors")["params"]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """{name: shape} of the parameters."""
        params = jax.eval_shape(self.init_params, jax.random.key(0))
        return {name: array.shape for name, array in params.items()}

    @property
    def kinds(self) -> frozenset[str]:
        """What the model has tables for: "user", "item", "leaf", "level1", ..."""
        names = {name.split("_")[0] for name in self.shapes}
        levels = {f"level{k + 1}" for k in range(self.tree.levels)}
        return frozenset(names & {"user", "item", "leaf", *levels})

    @nn.nowrap
    def row_ids(
        self,
        kinds: Collection[str],
        users: np.ndarray,
        items: np.ndarray,
        leaves: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """{kind: int32 [n] sorted} of all rows that a batch needs, on the host.

        Args:
          kinds: of the tables.
          users, items, leaves: numbers in arrays of any shape.
        """
        by_kind = {}
        for kind in kinds:
            needed = {"user": users, "item": items, "leaf": leaves}.get(kind)
            if needed is None:
                level = int(kind.removeprefix("level")) - 1
                needed = self.tree.ancestors[leaves, level]
            ids = np.unique(needed)
            by_kind[kind] = ids[ids >= 0].astype(np.int32)
        return by_kind

    def table(self, name: str, *shape: int, scale: float | None = None) -> jax.Array:
        """Declares a parameter with N(0, scale^2) at the start.

        Args:
          name: see the module's docstring.
          *shape: rows first.
          scale: None for `EMBEDDING_SCALE`.
        """
        scale = EMBEDDING_SCALE if scale is None else scale

        def draw():
            key = self.make_rng("params")
            return scale * jax.random.normal(key, shape, jnp.float32)

        # Not `self.param`, which insists on the shape: here may be some rows only.
        return self.variable("params", name, draw).value

    @property
    def visual_scale(self) -> float:
        """Standard deviation of visual matrices at the start."""
        return self.feature_power**-0.5

    def row_numbers(self, kind: str, ids: jax.Array) -> jax.Array:
        """Where in the tables of a kind the rows with these numbers are."""
        if not self.has_variable(ROWS, kind):
            return ids
        return jnp.searchsorted(self.get_variable(ROWS, kind), ids)

    def pick(self, table: jax.Array, kind: str, ids: jax.Array | None) -> jax.Array:
        """Rows [..., D] of a table [n, D]; zeros for -1, the table itself for None."""
        if ids is None:
            return table
        known = (ids >= 0)[..., None]
        rows = table[self.row_numbers(kind, jnp.maximum(ids, 0))]  # [..., D]
        return jnp.where(known, rows, 0)

    def project_by(
        self, matrices: jax.Array, kind: str, ids: jax.Array, features: jax.Array
    ) -> jax.Array:
        """W_id f, [..., D], with matrices [n, D, F], ids [...], features [..., F]."""
        numbers = jnp.reshape(self.row_numbers(kind, ids), -1)  # [N]
        rows = features.reshape(-1, features.shape[-1])  # [N, F]
        projected = project(
            matrices, numbers, rows, form=self.projection, dtype=self.dtype
        )
        return projected.reshape(*ids.shape, -1)  # [..., D]

    def project_all(self, matrix: jax.Array, features: jax.Array) -> jax.Array:
        """W f, [..., D], with one matrix [D, F] for all items."""
        dtype = self.dtype or matrix.dtype
        wide = jnp.promote_types(matrix.dtype, jnp.float32)
        # As one product of two matrices: with more axes its gradient takes twice as long.
        rows = features.reshape(-1, features.shape[-1]).astype(dtype)  # [N, F]
        projected = jnp.dot(rows, matrix.T.astype(dtype), preferred_element_type=wide)
        return projected.reshape(*features.shape[:-1], -1)


def inner(a: jax.Array, b: jax.Array) -> jax.Array:
    """Inner products [...] over the last axis."""
    return jnp.sum(a * b, axis=-1)


def differences(values: jax.Array) -> jax.Array:
    """[B, n, ...] of values [B, 1 + n, ...]: the first of a row less each other one.

    In float32 at least.
    """
    values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    return values[:, :1] - values[:, 1:]


def score_pairs(user_vectors: jax.Array, item_vectors: jax.Array) -> jax.Array:
    """Inner products [B, N] of vectors [B, E] and [B, N, E]."""
    return jnp.einsum("be,bne->bn", user_vectors, item_vectors)
