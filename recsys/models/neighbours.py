"""ItemKNN: the items most like those that a user has taken.

With w_ui the weight of an interaction, 1 where none are given, n_i = sum_u w_ui^2, and
the items' neighbours N_K(j), the K of highest similarity,

    cosine   s(j, i) = sum_u w_uj w_ui / (sqrt(n_j n_i) + shrink)
    bm25     s(j, i) = sum_u b_uj b_ui,  b_ui = w_ui (k + 1) / (k l_i + w_ui) idf_u,
             l_i = 1 - b + b |i| / mean |i|,  idf_u = log I - log(1 + |u|)

    score(u, i) = sum over j that u has taken, i in N_K(j), of w_uj s(j, i)

with |i| = sum_u w_ui and |u| the number of items of u. `shrink` takes trust from pairs
that few users tell of: without it two items of the same one user are as like as can be.
Items that no neighbour speaks for follow those that one does, the ones that most users
have first, so that lists are full.

Sources: Deshpande and Karypis, "Item-based top-N recommendation algorithms", TOIS 2004;
the weights of BM25 are those of the library implicit, k = 1.2 and b = 0.75 as there.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse

from recsys.config import ItemKnnConfig
from recsys.corpus.interactions import Interactions, UserItems
from recsys.ranking.ranker import ListMaker
from recsys.ranking.top_k import TopK

K1, B = 1.2, 0.75  # of BM25
_BLOCK = 512  # items, or users, at a time
_PARTS = ("starts", "items", "values")


def fit(
    interactions: Interactions, shape: tuple[int, int], config: ItemKnnConfig
) -> dict[str, np.ndarray]:
    """Neighbours of all items, and what each user has taken.

    Args:
      interactions: of training.
      shape: (U, I).
      config: settings.

    Returns:
      Two matrices in compressed rows, {"taken_starts": [U + 1], "taken_items" and
      "taken_values": [N], "near_starts": [I + 1], "near_items" and "near_values"}.
    """
    taken = matrix_of(interactions, shape)
    near = find_neighbours(taken, config)
    return {
        f"{name}_{part}": array
        for name, matrix in (("taken", taken), ("near", near))
        for part, array in zip(
            _PARTS, (matrix.indptr, matrix.indices, matrix.data), strict=True
        )
    }


def matrix_of(interactions: Interactions, shape: tuple[int, int]) -> sparse.csr_matrix:
    """Weights of interactions, float32 [U, I]."""
    weights = interactions.weights
    if weights is None:
        weights = np.ones(len(interactions))
    pairs = interactions.users, interactions.items
    return sparse.csr_matrix((weights.astype(np.float32), pairs), shape=shape)


def find_neighbours(
    taken: sparse.csr_matrix, config: ItemKnnConfig
) -> sparse.csr_matrix:
    """Similarities [I, I], of which each row keeps the K highest.

    Args:
      taken: weights [U, I].
      config: kind of the similarity, K and shrink.
    """
    taken = taken.astype(np.float64)
    if config.similarity == "bm25":
        weights, lengths = _weigh(taken), None
    else:
        weights, lengths = taken, np.sqrt(np.asarray(taken.power(2).sum(0)).ravel())
    by_item = weights.T.tocsr()
    starts, near, similarities = [0], [], []
    for first in range(0, taken.shape[1], _BLOCK):
        block = (by_item[first : first + _BLOCK] @ weights).tocsr()
        block.sort_indices()
        if lengths is not None:
            rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
            below = lengths[rows + first] * lengths[block.indices] + config.shrink
            block.data /= below
        for row in range(block.shape[0]):
            part = slice(block.indptr[row], block.indptr[row + 1])
            items, values = block.indices[part], block.data[part]
            kept = (items != first + row) & (values > 0)
            items, values = items[kept], values[kept]
            best = _highest(values, config.neighbours)
            starts.append(starts[-1] + len(best))
            near.append(items[best])
            similarities.append(values[best].astype(np.float32))
    columns = np.concatenate(similarities), np.concatenate(near), starts
    return sparse.csr_matrix(columns, shape=(taken.shape[1],) * 2)


def _highest(values: np.ndarray, count: int) -> np.ndarray:
    """Where the highest of some values are, ascending; of equal ones the first."""
    if len(values) <= count:
        return np.arange(len(values))
    least = np.partition(values, -count)[-count]
    above = np.flatnonzero(values > least)
    equal = np.flatnonzero(values == least)[: count - len(above)]
    return np.sort(np.concatenate([above, equal]))


def _weigh(taken: sparse.csr_matrix) -> sparse.csr_matrix:
    """Weights b_ui of BM25, with items as the texts and users as their words."""
    pairs = taken.tocoo()
    users = np.bincount(pairs.row, minlength=taken.shape[0])
    lengths = np.asarray(taken.sum(0)).ravel()
    rarity = np.log(taken.shape[1]) - np.log1p(users)
    length = 1 - B + B * lengths / lengths.mean()
    damped = pairs.data * (K1 + 1) / (K1 * length[pairs.col] + pairs.data)
    pairs.data = damped * rarity[pairs.row]
    return pairs.tocsr()


class NeighbourRanker(ListMaker):
    """Makes lists where the vector of a user is what that user has taken."""

    def index_items(
        self,
        params: Mapping[str, np.ndarray],
        known_items: np.ndarray | None = None,
        shown: np.ndarray | None = None,
    ) -> tuple[sparse.csr_matrix, np.ndarray]:
        """All items or some, ready to be ranked; arguments as of `Ranker.index_items`.

        Returns:
          (similarities [I, S], how many users have taken each item, [S]).
        """
        near, taken = _matrix(params, "near"), _matrix(params, "taken")
        counts = np.bincount(taken.indices, minlength=taken.shape[1]).astype(np.float64)
        numbers = np.arange(len(counts)) if known_items is None else known_items
        numbers = numbers if shown is None else numbers[shown]
        columns = near.tocsc()[:, np.maximum(numbers, 0)]
        columns.data[np.repeat(numbers < 0, np.diff(columns.indptr))] = 0
        return columns.tocsr(), np.where(numbers < 0, 0, counts[numbers])

    def user_vectors(
        self, params: Mapping[str, np.ndarray], users: np.ndarray
    ) -> sparse.csr_matrix:
        """What users [Q] have taken in training, [Q, I]; nothing for -1."""
        taken = _matrix(params, "taken")
        rows = taken[np.maximum(users, 0)]
        rows.data[np.repeat(np.asarray(users) < 0, np.diff(rows.indptr))] = 0
        return rows

    def add(
        self, vectors: sparse.csr_matrix, new: UserItems, known_items: np.ndarray
    ) -> sparse.csr_matrix:
        """Vectors [Q, I] of users who have taken more since.

        Args:
          vectors: of `user_vectors`.
          new: items of the catalogue, which count 1 each.
          known_items: int [I'], the number of each of these in training, or -1.
        """
        users, items = np.repeat(np.arange(new.user_count), new.counts), new.items
        items = known_items[items]
        pairs = users[items >= 0], items[items >= 0]
        ones = np.ones(len(pairs[0]), np.float32)
        return vectors + sparse.csr_matrix((ones, pairs), shape=vectors.shape)

    def rank(
        self,
        index: tuple[sparse.csr_matrix, np.ndarray],
        vectors: sparse.csr_matrix,
        length: int,
        hidden: UserItems | None,
    ) -> TopK:
        """The best items of users; arguments as of `Ranker.rank`."""
        similarities, counts = index
        length = min(length, len(counts))
        usual = counts / (1 + counts.max(initial=0))  # below 1
        lists, best = [], []
        for first in range(0, vectors.shape[0], _BLOCK):
            scores = np.asarray(
                (vectors[first : first + _BLOCK] @ similarities).todense()
            )
            order = np.where(scores > 0, 1 + scores.astype(np.float64), usual)
            if hidden is not None:
                for row in range(len(scores)):
                    order[row, hidden.items_of(first + row)] = -np.inf
            items = np.argsort(-order, axis=1, kind="stable")[:, :length]
            ended = np.isneginf(np.take_along_axis(order, items, 1))
            lists.append(np.where(ended, -1, items))
            best.append(np.where(ended, -np.inf, np.take_along_axis(scores, items, 1)))
        return TopK(
            np.concatenate(lists).astype(np.int32),
            np.concatenate(best).astype(np.float32),
            0.0,
        )


def _matrix(params: Mapping[str, Any], name: str) -> sparse.csr_matrix:
    starts, items, values = (params[f"{name}_{part}"] for part in _PARTS)
    count = len(params["near_starts"]) - 1
    shape = len(starts) - 1, count
    return sparse.csr_matrix((values, items, starts), shape=shape)
