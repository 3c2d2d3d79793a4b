"""Lists for users from a trained model: the Python door of recsys.

model = recsys.load("runs/closet")
table = model.recommend(["17", "23"], length=20)
"""

import functools
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from common.errors import UserError
from common.parallel import processes
from common.parallel.execution import make_execution
from common.training import workdirs
from recsys import data, fold_in, saved_model
from recsys.config import Config
from recsys.corpus import row_faults
from recsys.corpus.interactions import Interactions, UserItems
from recsys.negatives import NegativeSampler
from recsys.ranking.item_index import ItemIndex
from recsys.ranking.ranker import Ranker, select
from recsys.ranking.top_k import TopK
from recsys.run import choose_form
from recsys.step import Task

COLUMNS = ("user", "rank", "item", "score", "user_is", "error")


class Model:
    """A trained model that recommends items.

    The catalogue is the one it was trained with, or another: an item that was not there
    in training is ranked by its features and its category.

    Args:
      workdir: of a finished training run.
      config: of that run where it shall differ, say in the tables of items; None as
        trained.

    Attributes:
      config: of the run.
      trained: parameters and all that stands beside them.
      catalogue: the items that can be recommended.
      network: the module of the score.
      left_out: rows of the table of items that are not in the catalogue, with the
        reason of each.
    """

    def __init__(self, workdir: str | pathlib.Path, config: Config | None = None):
        workdir = pathlib.Path(workdir)
        self.config = config or workdirs.load_config(workdir, Config, "recsys")
        self.trained = saved_model.load(workdir, self.config)
        processes.start(self.config.parallel)
        execution = make_execution(self.config.parallel)
        self.catalogue, self.left_out = data.load_catalogue(
            self.config,
            self.trained.tree,
            self.trained.scaling,
            self.trained.encoder,
        )
        ids = pd.Index(self.trained.item_ids)
        # Number of each item of the catalogue in training, and the other way round.
        self._known_items = ids.get_indexer(self.catalogue.item_ids).astype(np.int32)
        self._place = pd.Index(self.catalogue.item_ids).get_indexer(ids)
        self.network = self.trained.network(choose_form(self.config, execution))
        self._task = Task(self.config, self.network, execution.devices)
        self._ranker = Ranker(self._task, self.catalogue, execution)
        self._params = execution.replicate(dict(self.trained.params))
        self._plain_params = {
            name: jnp.asarray(value) for name, value in self.trained.params.items()
        }
        self._user_ids = pd.Index(self.trained.user_ids.astype(str))
        self._index: ItemIndex | None = None

    def recommend(
        self,
        users: Sequence[str] | None = None,
        length: int = 20,
        *,
        new_interactions: Iterable[tuple[str, str]] = (),
    ) -> pd.DataFrame:
        """The best items for users, without those that they have taken.

        Args:
          users: their ids; None for all of training. Who is named twice has one list.
          length: K of the lists.
          new_interactions: (user, item) pairs that training has not seen. A user who
            was not there in training is folded in by them; for all users the items are
            left out of the lists.

        Returns:
          K rows for each user, in the order asked for:
            user: id.
            rank: 1 for the best.
            item: id.
            score: of the model; comparable between items of one user only.
            user_is: "known" in training, "folded in", or "unknown": the list of an
              unknown user without interactions is what all users have in common.
            error: "" or why there is no list; item and score are empty then.
        """
        pairs = [(str(user), str(item)) for user, item in new_interactions]
        named = self.trained.user_ids if users is None else users
        asked = list(dict.fromkeys(str(user) for user in named))
        if not asked:
            return pd.DataFrame(columns=list(COLUMNS))
        number = self._user_ids.get_indexer(asked)
        given = self._number_pairs(pairs, asked)
        vectors = np.array(self._ranker.user_vectors(self._params, number), np.float32)
        folded = np.flatnonzero((number < 0) & (given.counts > 0))
        if len(folded):
            vectors[folded] = self._fold_in(select(given, folded))
        found = self._ranker.rank(
            self.index, vectors, length, self._hidden(number, given)
        )
        kinds = np.where(number >= 0, "known", "unknown").astype(object)
        kinds[folded] = "folded in"
        return self._table(asked, found.items, found.scores, kinds)

    @property
    def index(self) -> ItemIndex:
        """All items of the catalogue, ready to be ranked."""
        if self._index is None:
            self._index = self._ranker.index_items(self._params, self._known_items)
        return self._index

    def rank(self, vectors: np.ndarray, length: int) -> np.ndarray:
        """Items of the catalogue int32 [Q, K] for user vectors [Q, E], none left out."""
        return self._ranker.rank(self.index, vectors, length, None).items

    def rank_without(
        self, vectors: np.ndarray, length: int, left_out: np.ndarray
    ) -> TopK:
        """The best items for one user vector [1, E], but for some."""
        hidden = UserItems(np.array([0, len(left_out)]), np.sort(left_out))
        return self._ranker.rank(self.index, vectors, length, hidden)

    def knows(self, user: str) -> bool:
        """Whether training had a user."""
        return user in self._user_ids

    def number_of(self, user: str) -> int:
        """The number of a user of training.

        Raises:
          UserError: training had no such user.
        """
        number = int(self._user_ids.get_indexer([user])[0])
        if number < 0:
            raise UserError(f"user {user!r} is not known from training")
        return number

    def taken(self, number: int) -> np.ndarray:
        """What a user of training has taken, in numbers of the catalogue."""
        places = self._place[self.trained.taken.items_of(number)]
        return places[places >= 0]

    def category_of(self, item: int) -> tuple[str, ...]:
        """Category path of an item of the catalogue, from the top."""
        return self.trained.tree.leaves[self.catalogue.leaf_of_item[item]]

    @functools.cached_property
    def photo_names(self) -> np.ndarray | None:
        """Name of each item's photo [I], "" for none; None where no column has any."""
        own = self.config.data
        if not own.photo or not own.items:
            return None
        frame = row_faults.open_table(own.items, [own.item, own.photo]).frame
        named = frame.drop_duplicates(own.item).set_index(own.item)[own.photo]
        return named.reindex(self.catalogue.item_ids).fillna("").to_numpy(object)

    def score_parts(self, number: int, items: np.ndarray) -> dict[str, np.ndarray]:
        """What a user's scores of items add up from: {part: [n]}."""
        catalogue = self.catalogue
        found: Any = self.network.apply(
            {"params": self._plain_params},
            jnp.full(len(items), number, jnp.int32),
            jnp.asarray(self._known_items[items]),
            jnp.asarray(catalogue.leaf_of_item[items]),
            jnp.asarray(catalogue.take_features(items)),
            method="score_parts",
        )
        return {name: np.asarray(values) for name, values in found.items()}

    def visual_vectors(self, items: np.ndarray) -> np.ndarray:
        """What the model sees of items of the catalogue: [n, d]."""
        catalogue = self.catalogue
        found: Any = self.network.apply(
            {"params": self._plain_params},
            jnp.asarray(catalogue.leaf_of_item[items]),
            jnp.asarray(catalogue.take_features(items)),
            method="visual_vectors",
        )
        return np.asarray(found)

    def user_vectors(self, users: np.ndarray | None = None) -> np.ndarray:
        """float32 [Q, E] of users of training by number; None for all."""
        if users is None:
            users = np.arange(len(self.trained.user_ids))
        return self._ranker.user_vectors(self._params, users)

    def item_vectors(self) -> np.ndarray:
        """float32 [I, E] of the catalogue; inner products with users are scores."""
        own, leaves = self._ranker.item_columns(self._params, self._known_items)
        return np.concatenate([own, leaves[self.catalogue.leaf_of_item]], axis=1)

    def _number_pairs(
        self, pairs: Sequence[tuple[str, str]], asked: Sequence[str]
    ) -> UserItems:
        """Items of the catalogue, by row of the users asked for."""
        users = pd.Index(asked).get_indexer([user for user, _ in pairs])
        items = pd.Index(self.catalogue.item_ids.astype(str)).get_indexer(
            [item for _, item in pairs]
        )
        known = (users >= 0) & (items >= 0)
        distinct, _ = Interactions(
            users[known].astype(np.int32), items[known].astype(np.int32)
        ).deduplicate()
        return distinct.by_user(len(asked))

    def _hidden(self, number: np.ndarray, given: UserItems) -> UserItems:
        """What each user has taken, in numbers of the catalogue."""
        taken = select(self.trained.taken, number)
        rows = np.repeat(np.arange(len(number)), taken.counts)
        places = self._place[taken.items]
        kept = places >= 0
        users = np.concatenate(
            [rows[kept], np.repeat(np.arange(len(number)), given.counts)]
        )
        items = np.concatenate([places[kept], given.items])
        distinct, _ = Interactions(
            users.astype(np.int32), items.astype(np.int32)
        ).deduplicate()
        return distinct.by_user(len(number))

    def _fold_in(self, given: UserItems) -> np.ndarray:
        """Vectors [Q, E] of new users from their items."""
        catalogue, config = self.catalogue, self.config.fold_in
        users = np.repeat(np.arange(given.user_count), given.counts)
        sampler = NegativeSampler(
            catalogue.tree, catalogue.leaf_of_item, given, "uniform"
        )
        # One by one, so that nobody's list depends on who else is asked for.
        drawn = [
            sampler.sample(
                np.full(given.counts[user], user),
                given.items_of(user),
                config.negatives,
                seed=self.config.train.seed,
                step=0,
            ).items
            for user in range(given.user_count)
        ]
        items = np.concatenate([given.items[:, None], np.concatenate(drawn)], axis=1)
        params = self._plain_params
        rows = fold_in.fold_in(
            self.network,
            params,
            config,
            jnp.asarray(users),
            jnp.asarray(self._known_items[items]),
            jnp.asarray(catalogue.leaf_of_item[items]),
            jnp.asarray(catalogue.take_features(items)),
            given.user_count,
        )
        vectors: Any = self.network.apply(
            {"params": {**params, **rows}},
            np.arange(given.user_count),
            method="user_vectors",
        )
        return np.asarray(jax.device_get(vectors))

    def _table(
        self,
        asked: Sequence[str],
        items: np.ndarray,
        scores: np.ndarray,
        kinds: np.ndarray,
    ) -> pd.DataFrame:
        listed = items >= 0
        # A user who has taken all but a few gets a shorter list, and one row at least.
        kept = listed.copy()
        kept[:, 0] = True
        rows, ranks = np.nonzero(kept)
        there = listed[rows, ranks]
        ids = self.catalogue.item_ids.astype(str).astype(object)
        chosen = np.where(there, ids[np.maximum(items[rows, ranks], 0)], "")
        return pd.DataFrame(
            {
                "user": np.asarray(asked, object)[rows],
                "rank": ranks + 1,
                "item": chosen,
                "score": np.where(there, scores[rows, ranks], np.nan),
                "user_is": kinds[rows],
                "error": np.where(there, "", "there is no item left for this user"),
            },
            columns=list(COLUMNS),
        )
