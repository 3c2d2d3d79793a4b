"""Lists of items for users, from a state of a model."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import numpy as np

from common.parallel.execution import Execution
from recsys.corpus.corpus import Catalogue
from recsys.corpus.interactions import UserItems
from recsys.ranking.item_index import ItemIndex
from recsys.ranking.top_k import TopK, top_k
from recsys.step import Learner

# (parameters, host batch) -> host rows; of `compile_predict`.
PredictFn = Callable[[Any, Any], np.ndarray]
# rows int64 [n] -> {name: [n, ...]}
Read = Callable[[np.ndarray], dict[str, np.ndarray]]


class ListMaker(Protocol):
    """What makes lists; of which kind vectors and index are is its own affair."""

    def index_items(
        self,
        params: Any,
        known_items: np.ndarray | None = None,
        shown: np.ndarray | None = None,
    ) -> Any:
        """All items or some, ready to be ranked."""

    def user_vectors(self, params: Any, users: np.ndarray) -> Any:
        """A row for each of the users [Q]; -1 for one who is unknown."""

    def rank(
        self, index: Any, vectors: Any, length: int, hidden: UserItems | None
    ) -> TopK:
        """The best items of users."""


class Ranker(ListMaker):
    """Computes vectors and lists; its programs are compiled once."""

    def __init__(self, learner: Learner, catalogue: Catalogue, execution: Execution):
        """Prepares the programs.

        Args:
          learner: of the model.
          catalogue: the items to rank; they may be others than the model was trained
            with, see `known_items`.
          execution: what to run on.
        """
        self._learner, self._catalogue, self._execution = learner, catalogue, execution
        self._batch = learner.config.ranking.rows_at_once * execution.data_size
        self._by_user = execution.compile_predict(learner.user_vectors)
        self._by_item = execution.compile_predict(learner.item_vectors)
        self._by_leaf = execution.compile_predict(learner.leaf_vectors)

    def index_items(
        self,
        params: Any,
        known_items: np.ndarray | None = None,
        shown: np.ndarray | None = None,
    ) -> ItemIndex:
        """All items or some, ready to be ranked; arguments as of `item_columns`."""
        items, leaves = self.item_columns(params, known_items, shown)
        leaf_of_item = self._catalogue.leaf_of_item
        return ItemIndex.build(
            items,
            leaf_of_item if shown is None else leaf_of_item[shown],
            leaves,
            mesh=self._execution.line("items"),
        )

    def item_columns(
        self,
        params: Any,
        known_items: np.ndarray | None = None,
        shown: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of all items, or some, in two parts.

        Args:
          params: of the model, in device form.
          known_items: int [I], the number of each item in training, -1 for items that
            are new; None where the catalogue is that of training.
          shown: int [S], the items that are asked for; None for all, S = I.

        Returns:
          (their own columns float32 [S, w], those of the leaves float32 [C, E - w]).
        """
        catalogue, leaf_of_item = self._catalogue, self._catalogue.leaf_of_item
        everything = np.arange(catalogue.item_count)
        numbers = everything if known_items is None else known_items
        shown = everything if shown is None else shown
        count = len(shown)
        # By leaf, so that a batch needs few of the leaves' matrices.
        order = np.argsort(leaf_of_item[shown], kind="stable")

        def read(rows: np.ndarray) -> dict[str, np.ndarray]:
            items = shown[order[rows]]
            return {
                "items": numbers[items].astype(np.int32),
                "leaves": leaf_of_item[items],
                "features": catalogue.take_features(items),
            }

        columns = np.empty((count, self._learner.model.item_width), np.float32)
        for rows, vectors in self._predict(self._by_item, params, count, read):
            columns[order[rows]] = vectors
        leaves = self._predict_all(
            self._by_leaf,
            params,
            catalogue.tree.leaf_count,
            lambda rows: {"leaves": rows.astype(np.int32)},
        )
        return columns, leaves

    def user_vectors(self, params: Any, users: np.ndarray) -> np.ndarray:
        """float32 [Q, E] of users; -1 for one who is unknown."""
        users = np.asarray(users, np.int32)
        return self._predict_all(
            self._by_user, params, len(users), lambda rows: {"users": users[rows]}
        )

    def rank(
        self,
        index: ItemIndex,
        vectors: np.ndarray,
        length: int,
        hidden: UserItems | None,
    ) -> TopK:
        """The best items of users.

        Args:
          index: of `index_items`.
          vectors: float32 [Q, E] of the users.
          length: K of the lists.
          hidden: items that each of them must not get; None for none.
        """
        return top_k(index, vectors, length, hidden)

    def _predict(
        self, predict_fn: PredictFn, params: Any, count: int, read: Read
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Runs a program over `count` rows, in batches of one size.

        Args:
          predict_fn: of `compile_predict`.
          params: of the model.
          count: rows.
          read: reads some rows; each process asks for its own alone.

        Yields:
          (rows int64 [n], result [n, ...]) of all rows, in order.
        """
        size = self._batch // jax.process_count()
        part = jax.process_index() * size + np.arange(size)
        for first in range(0, count, self._batch):
            rows = np.arange(first, min(first + self._batch, count))
            # The last batch is filled up with its last row.
            outputs = predict_fn(params, read(np.minimum(first + part, count - 1)))
            yield rows, outputs[: len(rows)]

    def _predict_all(
        self, predict_fn: PredictFn, params: Any, count: int, read: Read
    ) -> np.ndarray:
        return np.concatenate(
            [part for _, part in self._predict(predict_fn, params, count, read)]
        )


def select(items: UserItems, users: np.ndarray) -> UserItems:
    """The rows of some users, in their order; none for users below 0."""
    known = np.maximum(users, 0)
    counts = np.where(users >= 0, items.counts[known], 0)
    starts = np.concatenate([[0], np.cumsum(counts)])
    shifts = np.repeat(items.starts[known] - starts[:-1], counts)
    return UserItems(starts, items.items[shifts + np.arange(starts[-1])])


def keep(items: UserItems, kept: np.ndarray) -> UserItems:
    """Those items that are kept, bool [N]; each user's other ones are dropped."""
    before = np.concatenate([[0], np.cumsum(kept)])
    return UserItems(before[items.starts], items.items[kept])


def no_items(user_count: int) -> UserItems:
    """Of users who have nothing."""
    return UserItems(np.zeros(user_count + 1, np.int64), np.zeros(0, np.int32))
