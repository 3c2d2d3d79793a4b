"""Training batches: positives, their negatives, and all that the step needs of them.

Batch k is a function of the seed and k alone. Every process draws the whole of it,
which are a few thousand numbers, and reads the features of its own rows only.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from common.data.array_batches import read_ahead, shuffled_rows
from common.data.generated import generator
from common.data.pipeline import Batch
from recsys.config import Config
from recsys.corpus.corpus import Corpus
from recsys.corpus.interactions import UserItems
from recsys.models.recommender import Recommender, pad_ids
from recsys.negatives import Negatives, NegativeSampler
from recsys.step import row_kinds

_STREAM = int.from_bytes(b"recsys users", "big")


@dataclasses.dataclass(frozen=True, eq=False)
class HostBatch:
    """One batch, on the host.

    Attributes:
      rows: arrays [b, ...] of this process' rows: "users", "items", "leaves",
        "features", "weights" where interactions have any, and "others" where these
        are left out of the second task.
      shared: arrays that are the same on all processes: "ids" by kind, and
        "sampled_users".
      fallback: int8 [b, n] of `Negatives`.
    """

    rows: Batch
    shared: dict[str, Any]
    fallback: np.ndarray


class Batches:
    """Makes the training batches of a run."""

    def __init__(self, config: Config, corpus: Corpus, model: Recommender):
        """Prepares the draws.

        Args:
          config: of the run.
          corpus: its training split is used, and nothing else of its interactions.
          model: says which rows of its tables a batch needs.
        """
        self._config, self._corpus, self._model = config, corpus, model
        self._kinds = tuple(kind for kind in row_kinds(config) if kind in model.kinds)
        catalogue = corpus.catalogue
        self._sampler = NegativeSampler(
            catalogue.tree,
            catalogue.leaf_of_item,
            corpus.train,
            config.negatives.kind,
        )
        if config.loss.mask_other_users:
            self._takers = _takers(corpus)
            self._most_takers = int(self._takers.counts.max(initial=0))

    def iterate(
        self, first_step: int, process_index: int = 0, process_count: int = 1
    ) -> Iterator[Any]:
        """Iterates for ever over `HostBatch`es, from the one of a step on; close it."""
        loop = self._config.train
        part = loop.batch_size // process_count
        local = slice(process_index * part, (process_index + 1) * part)
        order = shuffled_rows(
            len(self._corpus.splits["train"]),
            batch_size=loop.batch_size,
            seed=loop.seed,
            start_step=first_step,
        )
        steps = enumerate(order, start=first_step)
        return read_ahead(steps, lambda numbered: self.make(*numbered, local))  # type: ignore[arg-type,return-value]

    def make(self, step: int, positions: np.ndarray, local: slice) -> HostBatch:
        """One batch.

        Args:
          step: its number.
          positions: int64 [B] in the training split.
          local: this process' rows of it.
        """
        train, config = self._corpus.splits["train"], self._config
        users, positives = train.users[positions], train.items[positions]
        drawn: Negatives = self._sampler.sample(
            users,
            positives,
            config.negatives.count,
            seed=config.train.seed,
            step=step,
        )
        items = np.concatenate([positives[:, None], drawn.items], axis=1)  # [B, 1 + n]
        leaves = self._corpus.catalogue.leaf_of_item[items]
        rows: dict[str, np.ndarray] = {
            "users": users[local],
            "items": items[local],
            "leaves": leaves[local],
            "features": self._corpus.catalogue.take_features(items[local]),
        }
        if train.weights is not None:
            rows["weights"] = train.weights[positions[local]].astype(np.float32)
        if config.task_weights[1] and config.loss.mask_other_users:
            rows["others"] = self._others(positives[local])
        return HostBatch(
            rows, self._shared(step, users, items, leaves), drawn.fallback[local]
        )

    def _shared(
        self, step: int, users: np.ndarray, items: np.ndarray, leaves: np.ndarray
    ) -> dict[str, Any]:
        config = self._config
        shared: dict[str, Any] = {}
        if samples_users(config):
            rng = generator(config.train.seed, step, _STREAM)
            count = config.loss.sampled_users
            sampled = rng.integers(self._corpus.user_count, size=count, dtype=np.int32)
            shared["sampled_users"] = sampled
            users = np.concatenate([users, sampled])
        if self._kinds:
            needed = self._model.row_ids(self._kinds, users, items, leaves)
            shared["ids"] = {
                kind: pad_ids(ids, self._most_rows(kind, users, items))
                for kind, ids in needed.items()
            }
        return shared

    def _most_rows(self, kind: str, users: np.ndarray, items: np.ndarray) -> int:
        """The largest number of rows of a kind that any batch can need."""
        tree = self._corpus.catalogue.tree
        if kind == "user":
            return min(users.size, self._corpus.user_count)
        if kind == "item":
            return min(items.size, self._corpus.catalogue.item_count)
        level = tree.levels if kind == "leaf" else int(kind.removeprefix("level"))
        return min(items.size, tree.level_sizes[level - 1])

    def _others(self, positives: np.ndarray) -> np.ndarray:
        """The training users of each item [b, X], filled up with -1."""
        low, high = self._takers.rows(positives)
        positions = low[:, None] + np.arange(self._most_takers)  # [b, X]
        users = self._takers.items.take(positions, mode="clip")
        return np.where(positions < high[:, None], users, -1).astype(np.int32)


def samples_users(config: Config) -> bool:
    """Whether the second task sees some users only."""
    return config.task_weights[1] > 0 and config.loss.softmax == "sampled"


def _takers(corpus: Corpus) -> UserItems:
    """The training users of each item, as the items of a user."""
    train = corpus.splits["train"]
    turned = dataclasses.replace(train, users=train.items, items=train.users)
    return turned.by_user(corpus.catalogue.item_count)
