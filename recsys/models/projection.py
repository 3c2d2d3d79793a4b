"""Features projected by a matrix that depends on the row: y_n = W_c(n) f_n.

Each category has its own visual matrix W_c (paper, Eq. 2), so a batch of N rows needs
up to N different matrices of D x F numbers. Two forms with the same values:

  "gather"  copies the matrix of every row, N x D x F numbers, and multiplies all at
            once. The plain reference, and what spreads over the devices of a mesh.
  "tiles"   brings rows of the same category together and walks over tiles of a few
            rows, reading each matrix where it stands. Its own gradient sums the tiles
            of a category before it writes them, so nothing of the size N x D x F is
            ever held. For CPUs: the tiles run one after another.
"""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Form = Literal["gather", "tiles"]

MIN_TILE, MAX_TILE = 8, 128


def project(
    matrices: jax.Array,
    matrix_of_row: jax.Array,
    features: jax.Array,
    *,
    form: Form = "tiles",
    dtype: Any = None,
    tile: int | None = None,
) -> jax.Array:
    """y_n = W_p(n) f_n for N rows in any order.

    Source: the paper's W f of Eq. 2.

    The gradient of `matrices` has their shape. Where only the few that a batch needs
    are given, and `matrix_of_row` counts among those, nothing of the size of the whole
    table is computed.

    Args:
      matrices: [R, D, F].
      matrix_of_row: int [N], which matrix is each row's, 0 to R - 1.
      features: [N, F].
      form: see above.
      dtype: that the products are taken in; None for that of the matrices. Sums are in
        float32 at least.
      tile: rows of a tile; None for about the number of rows that share a matrix.

    Returns:
      [N, D] with the dtype of the matrices, float32 at least.
    """
    matrices, matrix_of_row, features = map(
        jnp.asarray, (matrices, matrix_of_row, features)
    )
    dtype = jnp.dtype(dtype or matrices.dtype)
    if form == "gather":
        wide = jnp.promote_types(matrices.dtype, jnp.float32)
        by_row = matrices[matrix_of_row].astype(dtype)  # [N, D, F]
        return jnp.einsum(
            "nf,ndf->nd", features.astype(dtype), by_row, preferred_element_type=wide
        )
    tile = tile or _tile_size(len(matrices), len(features))
    return _project_tiles(tile, dtype, matrices, matrix_of_row, features)


def _tile_size(matrices: int, rows: int) -> int:
    """The power of two below the mean number of rows a matrix, within bounds."""
    mean = rows // matrices
    return min(max(MIN_TILE, 1 << max(mean.bit_length() - 1, 0)), MAX_TILE)


class _Tiles(NamedTuple):
    """Consecutive pieces of the rows sorted by matrix; at most `tile` rows of one.

    Attributes:
      order: [N + tile] which row stands where; the last `tile` are filled up.
      starts: [T] where each tile begins in that order.
      sizes: [T] its rows.
      matrix: [T] which it is for.
      opens: bool [T], whether it is the first of its matrix.
      real: [] how many of the T there are.
    """

    order: jax.Array
    starts: jax.Array
    sizes: jax.Array
    matrix: jax.Array
    opens: jax.Array
    real: jax.Array


def _cut_tiles(matrix_of_row: jax.Array, matrices: int, tile: int) -> _Tiles:
    rows = len(matrix_of_row)
    order = jnp.argsort(matrix_of_row)
    ordered = matrix_of_row[order]  # [N]
    position = jnp.arange(rows, dtype=jnp.int32)
    new = jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
    within = position - lax.cummax(jnp.where(new, position, 0))  # [N]
    begins = within % tile == 0
    # n_g rows of one matrix are ceil(n_g / tile) tiles.
    most = (rows + min(rows, matrices) * (tile - 1)) // tile
    starts = jnp.nonzero(begins, size=most, fill_value=rows)[0].astype(jnp.int32)
    ends = jnp.append(starts[1:], jnp.int32(rows))
    padding = jnp.zeros(tile, order.dtype)
    first = jnp.minimum(starts, rows - 1)  # [T]
    return _Tiles(
        jnp.concatenate([order, padding]),
        starts,
        ends - starts,
        ordered[first],
        new[first],
        jnp.sum(begins),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _project_tiles(tile, dtype, matrices, matrix_of_row, features):
    return _walk_tiles(tile, dtype, matrices, matrix_of_row, features)[0]


def _walk_tiles(tile, dtype, matrices, matrix_of_row, features):
    tiles = _cut_tiles(matrix_of_row, len(matrices), tile)
    ordered = features[tiles.order].astype(dtype)  # [N + tile, F]
    wide = jnp.promote_types(matrices.dtype, jnp.float32)

    def step(t, y):
        part = _slice(ordered, tiles.starts[t], tile)  # [tile, F]
        matrix = _row(matrices, tiles.matrix[t]).astype(dtype)  # [D, F]
        part = jnp.dot(part, matrix.T, preferred_element_type=wide)
        # Rows past the end of the tile are wrong until the next tiles write them.
        return lax.dynamic_update_slice_in_dim(y, part, tiles.starts[t], 0)

    y = jnp.zeros((len(tiles.order), matrices.shape[1]), wide)
    y = lax.fori_loop(0, tiles.real, step, y)
    # Of `features` only the type is needed again.
    saved = matrices, tiles, ordered, jnp.zeros(0, features.dtype)
    return _unsort(y, tiles.order, len(features)), saved


def _project_tiles_gradient(tile, dtype, saved, dy):
    matrices, tiles, ordered, like = saved
    dy = dy[tiles.order]  # [N + tile, D]
    by_matrix = _matrix_gradient(matrices, tiles, ordered, dy, tile)
    # A loop of its own, which the compiler drops where nobody wants the result.
    by_feature = _feature_gradient(matrices, tiles, dy, tile, dtype)
    return by_matrix, None, by_feature.astype(like.dtype)


_project_tiles.defvjp(_walk_tiles, _project_tiles_gradient)


def _matrix_gradient(matrices, tiles, ordered, dy, tile):
    """dW_r = sum over the rows n of matrix r of dy_n f_n^T: [R, D, F]."""
    row_numbers = jnp.arange(tile)

    def step(t, carry):
        total, gradient = carry
        valid = row_numbers < tiles.sizes[t]
        part = _slice(dy, tiles.starts[t], tile) * valid[:, None]  # [tile, D]
        part = part.astype(ordered.dtype)
        rows = _slice(ordered, tiles.starts[t], tile)  # [tile, F]
        product = jnp.dot(part.T, rows, preferred_element_type=dy.dtype)  # [D, F]
        total = jnp.where(tiles.opens[t], product, total + product)
        # Written again by each tile of the matrix, never read: this way the compiler
        # writes in place, where adding to what stands there copies all of it.
        return total, lax.dynamic_update_index_in_dim(
            gradient, total.astype(gradient.dtype), tiles.matrix[t], 0
        )

    start = jnp.zeros(matrices.shape[1:], dy.dtype), jnp.zeros_like(matrices)
    return lax.fori_loop(0, tiles.real, step, start)[1]


def _feature_gradient(matrices, tiles, dy, tile, dtype):
    """df_n = W_p(n)^T dy_n: [N, F]."""

    def step(t, gradient):
        matrix = _row(matrices, tiles.matrix[t]).astype(dtype)  # [D, F]
        part = _slice(dy, tiles.starts[t], tile).astype(dtype)  # [tile, D]
        part = jnp.dot(part, matrix, preferred_element_type=dy.dtype)
        return lax.dynamic_update_slice_in_dim(gradient, part, tiles.starts[t], 0)

    start = jnp.zeros((len(tiles.order), matrices.shape[2]), dy.dtype)
    ordered = lax.fori_loop(0, tiles.real, step, start)
    return _unsort(ordered, tiles.order, len(tiles.order) - tile)


def _row(table, row):
    return lax.dynamic_index_in_dim(table, row, keepdims=False)


def _slice(array, start, size):
    return lax.dynamic_slice_in_dim(array, start, size)


def _unsort(ordered, order, rows):
    """Brings [N + tile, ...] back into the order of the rows, [N, ...]."""
    empty = jnp.zeros_like(ordered, shape=(rows, *ordered.shape[1:]))
    return empty.at[order[:rows]].set(ordered[:rows], unique_indices=True)
