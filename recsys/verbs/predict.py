"""Lists for users from a trained model: the Python door of recsys.

model = recsys.load("runs/closet")
table = model.recommend(["17", "23"], length=20, category="Women > Shoes")
"""

import functools
import pathlib
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from common.cli import verbs
from common.cli.app import Command
from common.errors import UserError
from common.parallel import processes
from common.parallel.execution import Execution, make_execution
from common.training import workdirs
from recsys import data, fold_in, saved_model
from recsys.config import Config
from recsys.corpus import requests
from recsys.corpus.interactions import Interactions, UserItems
from recsys.corpus.user_files import read_users
from recsys.models.neighbours import NeighbourRanker
from recsys.models.recommender import Recommender
from recsys.ranking import list_tables, shown_items
from recsys.ranking.list_tables import COLUMNS
from recsys.ranking.ranker import ListMaker, Ranker, keep, no_items, select
from recsys.ranking.top_k import TopK
from recsys.run import choose_form
from recsys.step import Learner
from recsys.verbs import notes


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
      item_ids: theirs, text [I].
      user_ids: of training, text [U].
      left_out: rows of the table of items that are not in the catalogue, with the
        reason of each.
      notes: lines on what differs between the catalogue and that of training.

    Raises:
      UserError: the folder holds no trained model, the tables of items can't be read,
        or their features are those of other rows, see `SavedModel.check_features`.
    """

    def __init__(self, workdir: str | pathlib.Path, config: Config | None = None):
        workdir = pathlib.Path(workdir)
        self.config = config or workdirs.load_config(workdir, Config, "recsys")
        self.trained = saved_model.load(workdir, self.config)
        processes.start(self.config.parallel)
        self._execution = make_execution(self.config.parallel)
        self.catalogue, self.left_out = data.load_catalogue(
            self.config,
            self.trained.tree,
            self.trained.scaling,
            self.trained.encoder,
        )
        ids = pd.Index(self.trained.item_ids)
        self.item_ids = pd.Index(self.catalogue.item_ids.astype(str).astype(object))
        # Number of each item of the catalogue in training, and the other way round.
        self._known_items = ids.get_indexer(self.catalogue.item_ids).astype(np.int32)
        self._number_of_known = pd.Index(self.catalogue.item_ids).get_indexer(ids)
        self.notes = [
            *notes.describe_catalogue(self._known_items, self._number_of_known),
            *self.trained.check_features(self.catalogue),
        ]
        self._ranker, self._params = self._make_ranker(self._execution)
        self.user_ids = pd.Index(self.trained.user_ids.astype(str))
        self._shown: tuple[bytes, Any] | None = None  # of the call before

    def _make_ranker(self, execution: Execution) -> tuple[ListMaker, Any]:
        """(what makes lists, the parameters that it takes)."""
        params = self.trained.params
        if not self.config.model.has_vectors:
            return NeighbourRanker(), params
        learner = Learner(self.config, self.network, execution.devices)
        ranker = Ranker(learner, self.catalogue, execution)
        return ranker, execution.replicate(dict(params))

    @functools.cached_property
    def _plain_params(self) -> dict[str, jax.Array]:
        return {k: jnp.asarray(value) for k, value in self.trained.params.items()}

    @functools.cached_property
    def network(self) -> Recommender:
        """The module of the score; item-knn has none."""
        return self.trained.network(choose_form(self.config, self._execution))

    def recommend(
        self,
        users: Iterable[str] | None = None,
        length: int = 20,
        *,
        new_interactions: Iterable[tuple[str, str]] = (),
        items: Iterable[str] | None = None,
        category: str | Iterable[str] | None = None,
    ) -> pd.DataFrame:
        """The best items for users, without those that they have taken.

        What they have taken may stand in the lists where `ranking.hide_training` of the
        config is off.

        Args:
          users: their ids; None for all of training. Who is named twice has one list.
            A whole number is its digits, see `whole_numbers`.
          length: K of the lists.
          new_interactions: (user, item) pairs that training has not seen. A user who
            was not there in training is folded in by them; for all users the items are
            left out of the lists. Those of users who are not asked for do not count.
          items: ids of those that may be shown; None for all.
          category: whose items may be shown, at any level: "Women > Shoes"; several by
            "|" or as a list; None for all. With `items`, those that are in both.

        Returns:
          K rows for each user, in the order asked for:
            user: id.
            rank: 1 for the best.
            item: id.
            score: of the model; comparable between items of one user only.
            user_is: "known" in training, "folded in", or "unknown": the list of an
              unknown user without interactions is what all users have in common.
            note: "" or what is not known: the user, or some of the new items.
            error: "" or why there is no list; item and score are empty then.

        Raises:
          UserError: users, pairs or items are no ids, the length is no whole number
            above 0, there is no such category, or nothing is left to be shown.
        """
        pairs = requests.read_pairs(new_interactions, "new_interactions")
        length = requests.read_length(length)
        asked = self.user_ids if users is None else requests.read_ids(users, "users")
        distinct = list(dict.fromkeys(asked))
        shown, unknown = shown_items.choose(
            self.catalogue, self.item_ids, items, category
        )
        if unknown:
            warnings.warn(shown_items.describe_unknown(unknown, "items="), stacklevel=2)
        if not distinct:
            return pd.DataFrame(columns=list(COLUMNS))
        number = self.user_ids.get_indexer(distinct)
        new = self._number_pairs(pairs, distinct)
        hidden = self.hidden_items(number, new)
        most = len(self.item_ids) if shown is None else len(shown)
        best = self._best_items(number, new, hidden, min(length, most), shown)
        kinds = np.where(number >= 0, "known", "unknown").astype(object)
        kinds[(number < 0) & (new.counts > 0)] = "folded in"
        unknown_notes = list_tables.make_notes(
            distinct, kinds, pairs, self.user_ids, self.item_ids
        )
        return list_tables.make_table(
            distinct, best, kinds, unknown_notes, self.item_ids.to_numpy()
        )

    def list_items(self, number: np.ndarray, hidden: UserItems, length: int) -> TopK:
        """The best items for users of training.

        Args:
          number: int [Q] of the users.
          hidden: items of the catalogue that the lists of each leave out.
          length: K.
        """
        return self._best_items(number, no_items(len(number)), hidden, length)

    def _best_items(
        self,
        number: np.ndarray,
        new: UserItems,
        hidden: UserItems,
        length: int,
        shown: np.ndarray | None = None,
    ) -> TopK:
        """The best items for users; all lists are made here.

        Args:
          number: int [Q] of the users in training, -1 for unknown ones.
          new: items of the catalogue that each has taken since; an unknown user is
            folded in by them.
          hidden: items of the catalogue that the lists of each leave out.
          length: K.
          shown: int32 [S], ascending, the items that may be listed; None for all.

        Returns:
          Lists [Q, K] of numbers of the catalogue.
        """
        vectors = self._find_vectors(number, new)
        if shown is None:
            return self._ranker.rank(self.index, vectors, length, hidden)
        place = np.searchsorted(shown, hidden.items)
        inside = np.isin(hidden.items, shown)
        left_out = UserItems(hidden.starts, place.astype(np.int32))
        index = self._index_shown(shown)
        best = self._ranker.rank(index, vectors, length, keep(left_out, inside))
        return best._replace(items=np.where(best.items < 0, -1, shown[best.items]))

    def _find_vectors(self, number: np.ndarray, new: UserItems) -> Any:
        """A row for each user; arguments as of `_best_items`."""
        vectors = self._ranker.user_vectors(self._params, number)
        if isinstance(self._ranker, NeighbourRanker):
            return self._ranker.add(vectors, new, self._known_items)
        folded = np.flatnonzero((number < 0) & (new.counts > 0))
        if not len(folded):
            return vectors
        vectors = np.array(vectors)
        vectors[folded] = fold_in.find_vectors(
            self.network,
            self._plain_params,
            self.config.fold_in,
            self.catalogue,
            self._known_items,
            select(new, folded),
            self.config.train.seed,
        )
        return vectors

    def _index_shown(self, shown: np.ndarray) -> Any:
        key = shown.tobytes()
        if self._shown is None or self._shown[0] != key:
            index = self._ranker.index_items(self._params, self._known_items, shown)
            self._shown = key, index
        return self._shown[1]

    @functools.cached_property
    def index(self) -> Any:
        """All items of the catalogue, ready to be ranked."""
        return self._ranker.index_items(self._params, self._known_items)

    def rank(self, vectors: np.ndarray, length: int) -> np.ndarray:
        """Items of the catalogue int32 [Q, K] for user vectors [Q, E], none left out."""
        return self._ranker.rank(self.index, vectors, length, None).items

    def knows(self, user: str) -> bool:
        """Whether training had a user."""
        return user in self.user_ids

    def number_of(self, user: str) -> int:
        """The number of a user of training.

        Raises:
          UserError: training had no such user.
        """
        number = int(self.user_ids.get_indexer([user])[0])
        if number < 0:
            raise UserError(f"user {user!r} is not known from training")
        return number

    def category_of(self, item: int) -> tuple[str, ...]:
        """Category path of an item of the catalogue, from the top."""
        return self.trained.tree.leaves[self.catalogue.leaf_of_item[item]]

    def score_parts(self, number: int, items: np.ndarray) -> dict[str, np.ndarray]:
        """What a user's scores of items add up from: {part: [n]}."""
        catalogue = self.catalogue
        parts: Any = self.network.apply(
            {"params": self._plain_params},
            jnp.full(len(items), number, jnp.int32),
            jnp.asarray(self._known_items[items]),
            jnp.asarray(catalogue.leaf_of_item[items]),
            jnp.asarray(catalogue.take_features(items)),
            method="score_parts",
        )
        return {name: np.asarray(values) for name, values in parts.items()}

    def visual_vectors(self, items: np.ndarray) -> np.ndarray:
        """What the model sees of items of the catalogue: [n, d]."""
        catalogue = self.catalogue
        vectors: Any = self.network.apply(
            {"params": self._plain_params},
            jnp.asarray(catalogue.leaf_of_item[items]),
            jnp.asarray(catalogue.take_features(items)),
            method="visual_vectors",
        )
        return np.asarray(vectors)

    def user_vectors(self, users: np.ndarray | None = None) -> np.ndarray:
        """float32 [Q, E] of users of training by number; None for all."""
        if users is None:
            users = np.arange(len(self.trained.user_ids))
        return self._ranker.user_vectors(self._params, users)

    def item_vectors(self) -> np.ndarray:
        """float32 [I, E] of the catalogue; inner products with users are scores.

        Raises:
          UserError: the model is item-knn, which has no vectors.
        """
        if not isinstance(self._ranker, Ranker):
            raise UserError("item-knn has no vectors to be exported: predict lists")
        items, leaves = self._ranker.item_columns(self._params, self._known_items)
        return np.concatenate([items, leaves[self.catalogue.leaf_of_item]], axis=1)

    def _number_pairs(
        self, pairs: Sequence[tuple[str, str]], user_ids: Sequence[str]
    ) -> UserItems:
        """Items of the catalogue, by row of the users asked for."""
        users = pd.Index(user_ids).get_indexer([user for user, _ in pairs])
        items = self.item_ids.get_indexer([item for _, item in pairs])
        known = (users >= 0) & (items >= 0)
        distinct, _ = Interactions(
            users[known].astype(np.int32), items[known].astype(np.int32)
        ).deduplicate()
        return distinct.by_user(len(user_ids))

    def hidden_items(self, number: np.ndarray, new: UserItems) -> UserItems:
        """What lists leave out: `taken_items`, or nothing without `hide_training`."""
        if self.config.ranking.hide_training:
            return self.taken_items(number, new)
        return no_items(len(number))

    def taken_items(self, number: np.ndarray, new: UserItems) -> UserItems:
        """All that users have taken, in whatever split, and since.

        Args:
          number: int [Q] of the users in training, -1 for unknown ones.
          new: items of the catalogue that each has taken since.

        Returns:
          Numbers of the catalogue.
        """
        taken = select(self.trained.taken, number)
        everyone = np.arange(len(number))
        users = np.concatenate(
            [np.repeat(everyone, each.counts) for each in (taken, new)]
        )
        items = np.concatenate([self._number_of_known[taken.items], new.items])
        distinct, _ = Interactions(users[items >= 0], items[items >= 0]).deduplicate()
        return distinct.by_user(len(number))


def run(config: Config, command: Command) -> None:
    """Writes the lists of the users of --input, as CSV or Parquet.

    The table has a column of users and may have one of items: interactions that are
    newer than training. They are left out of the lists, and fold new users in. With
    --predict.items or --predict.category other items than these are left out, too.
    """
    output = verbs.table_output(command)
    asked = read_users(command.need("input"), config)
    model = Model(command.workdir, config)
    shown = notes.read_shown(
        config.predict.items, config.data.item, model.item_ids, command.say
    )
    left_out = output.with_name(f"{output.stem}_left_out_items.csv")
    notes.list_left_out(model.notes, model.left_out, left_out, command.say)
    notes.say_hidden(config, command.say)
    notes.say_unknown(
        asked, pd.Index(model.trained.user_ids.astype(str)), model.item_ids, command.say
    )
    length = max(config.ranking.lengths)
    table = model.recommend(
        asked.users,
        length,
        new_interactions=asked.pairs,
        items=shown,
        category=config.predict.category or None,
    )
    verbs.write_table(pd.concat([table, asked.failed], ignore_index=True), output)
    kinds = table.drop_duplicates("user")["user_is"].value_counts()
    command.show(
        f"lists of {length} for {len(asked.users):,} users"
        f" ({', '.join(f'{count:,} {kind}' for kind, count in kinds.items())}),"
        f" {len(asked.failed):,} errors: {output}"
    )
