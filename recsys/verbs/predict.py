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

from common.cli import verbs
from common.cli.app import Command
from common.data.table_files import open_table
from common.errors import UserError
from common.parallel import processes
from common.parallel.execution import make_execution
from common.tables.faults import write_rejected
from common.tables.whole_numbers import whole_number_text
from common.training import workdirs
from recsys import data, fold_in, saved_model
from recsys.config import Config
from recsys.corpus.interactions import Interactions, UserItems
from recsys.corpus.user_files import COLUMNS, UserTable, read_users
from recsys.negatives import NegativeSampler
from recsys.ranking.item_index import ItemIndex
from recsys.ranking.ranker import Ranker, select
from recsys.ranking.top_k import TopK
from recsys.run import choose_form
from recsys.step import Learner


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
        self._number_of_known = pd.Index(self.catalogue.item_ids).get_indexer(ids)
        self.notes = [
            *self._describe_catalogue(),
            *self.trained.check_features(self.catalogue),
        ]
        self.network = self.trained.network(choose_form(self.config, execution))
        self._learner = Learner(self.config, self.network, execution.devices)
        self._ranker = Ranker(self._learner, self.catalogue, execution)
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
            A whole number is its digits, see `whole_numbers`.
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
        pairs = [(_name(user), _name(item)) for user, item in new_interactions]
        asked = self.trained.user_ids if users is None else map(_name, users)
        distinct = list(dict.fromkeys(map(str, asked)))
        if not distinct:
            return pd.DataFrame(columns=list(COLUMNS))
        number = self._user_ids.get_indexer(distinct)
        new = self._number_pairs(pairs, distinct)
        vectors = np.array(self._ranker.user_vectors(self._params, number), np.float32)
        folded = np.flatnonzero((number < 0) & (new.counts > 0))
        if len(folded):
            vectors[folded] = self._fold_in(select(new, folded))
        best = self._ranker.rank(self.index, vectors, length, self._hidden(number, new))
        kinds = np.where(number >= 0, "known", "unknown").astype(object)
        kinds[folded] = "folded in"
        return self._table(distinct, best.items, best.scores, kinds)

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

    def _describe_catalogue(self) -> list[str]:
        new, gone = (
            int((numbers < 0).sum())
            for numbers in (self._known_items, self._number_of_known)
        )
        if not new and not gone:
            return []
        note = (
            f"note: the catalogue is not that of training: {new:,} of its"
            f" {len(self._known_items):,} items are new, and {gone:,} of the"
            f" {len(self._number_of_known):,} of training are not in it"
        )
        return [note]

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
        items = self._number_of_known[self.trained.taken.items_of(number)]
        return items[items >= 0]

    def category_of(self, item: int) -> tuple[str, ...]:
        """Category path of an item of the catalogue, from the top."""
        return self.trained.tree.leaves[self.catalogue.leaf_of_item[item]]

    @functools.cached_property
    def photo_names(self) -> np.ndarray | None:
        """Name of each item's photo [I], "" for none; None where no column has any."""
        columns = self.config.data
        if not columns.photo or not columns.items:
            return None
        frame = open_table(columns.items, [columns.item], [columns.photo]).frame
        by_item = frame.drop_duplicates(columns.item).set_index(columns.item)
        return (
            by_item[columns.photo]
            .reindex(self.catalogue.item_ids)
            .fillna("")
            .to_numpy(object)
        )

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
        """float32 [I, E] of the catalogue; inner products with users are scores."""
        items, leaves = self._ranker.item_columns(self._params, self._known_items)
        return np.concatenate([items, leaves[self.catalogue.leaf_of_item]], axis=1)

    def _number_pairs(
        self, pairs: Sequence[tuple[str, str]], user_ids: Sequence[str]
    ) -> UserItems:
        """Items of the catalogue, by row of the users asked for."""
        users = pd.Index(user_ids).get_indexer([user for user, _ in pairs])
        items = pd.Index(self.catalogue.item_ids.astype(str)).get_indexer(
            [item for _, item in pairs]
        )
        known = (users >= 0) & (items >= 0)
        distinct, _ = Interactions(
            users[known].astype(np.int32), items[known].astype(np.int32)
        ).deduplicate()
        return distinct.by_user(len(user_ids))

    def _hidden(self, number: np.ndarray, new: UserItems) -> UserItems:
        """What each user has taken, in numbers of the catalogue."""
        taken = select(self.trained.taken, number)
        rows = np.repeat(np.arange(len(number)), taken.counts)
        items = self._number_of_known[taken.items]
        kept = items >= 0
        users = np.concatenate(
            [rows[kept], np.repeat(np.arange(len(number)), new.counts)]
        )
        items = np.concatenate([items[kept], new.items])
        distinct, _ = Interactions(
            users.astype(np.int32), items.astype(np.int32)
        ).deduplicate()
        return distinct.by_user(len(number))

    def _fold_in(self, new: UserItems) -> np.ndarray:
        """Vectors [Q, E] of new users from their items."""
        catalogue, config = self.catalogue, self.config.fold_in
        users = np.repeat(np.arange(new.user_count), new.counts)
        sampler = NegativeSampler(
            catalogue.tree, catalogue.leaf_of_item, new, "uniform"
        )
        # One by one, so that nobody's list depends on who else is asked for.
        drawn = [
            sampler.sample(
                np.full(new.counts[user], user),
                new.items_of(user),
                config.negatives,
                seed=self.config.train.seed,
                step=0,
            ).items
            for user in range(new.user_count)
        ]
        items = np.concatenate([new.items[:, None], np.concatenate(drawn)], axis=1)
        params = self._plain_params
        rows = fold_in.fold_in(
            self.network,
            params,
            config,
            jnp.asarray(users),
            jnp.asarray(self._known_items[items]),
            jnp.asarray(catalogue.leaf_of_item[items]),
            jnp.asarray(catalogue.take_features(items)),
            new.user_count,
        )
        vectors: Any = self.network.apply(
            {"params": {**params, **rows}},
            np.arange(new.user_count),
            method="user_vectors",
        )
        return np.asarray(jax.device_get(vectors))

    def _table(
        self,
        users: Sequence[str],
        items: np.ndarray,
        scores: np.ndarray,
        kinds: np.ndarray,
    ) -> pd.DataFrame:
        listed = items >= 0
        # A user who has taken all but a few gets a shorter list, and one row at least.
        kept = listed.copy()
        kept[:, 0] = True
        rows, ranks = np.nonzero(kept)
        is_item = listed[rows, ranks]
        ids = self.catalogue.item_ids.astype(str).astype(object)
        chosen = np.where(is_item, ids[np.maximum(items[rows, ranks], 0)], "")
        return pd.DataFrame(
            {
                "user": np.asarray(users, object)[rows],
                "rank": ranks + 1,
                "item": chosen,
                "score": np.where(is_item, scores[rows, ranks], np.nan),
                "user_is": kinds[rows],
                "error": np.where(is_item, "", "there is no item left for this user"),
            },
            columns=list(COLUMNS),
        )


def _name(value: Any) -> str:
    """An id as tables have it."""
    return whole_number_text(str(value))


def run(config: Config, command: Command) -> None:
    """Writes the lists of the users of --input, as CSV or Parquet.

    The table has a column of users and may have one of items: interactions that are
    newer than training. They are left out of the lists, and fold new users in.
    """
    output = verbs.table_output(command)
    asked = read_users(command.need("input"), config)
    model = Model(command.workdir, config)
    left_out = output.with_name(f"{output.stem}_left_out_items.csv")
    list_left_out(model, left_out, command)
    say_unknown(model, asked, command)
    length = max(config.ranking.lengths)
    table = model.recommend(asked.users, length, new_interactions=asked.pairs)
    verbs.write_table(pd.concat([table, asked.failed], ignore_index=True), output)
    kinds = table.drop_duplicates("user")["user_is"].value_counts()
    command.show(
        f"lists of {length} for {len(asked.users):,} users"
        f" ({', '.join(f'{count:,} {kind}' for kind, count in kinds.items())}),"
        f" {len(asked.failed):,} errors: {output}"
    )


def say_unknown(model: Model, asked: UserTable, command: Command) -> None:
    """Says which users and items of --input are not known, above all where most are."""
    items = set(model.catalogue.item_ids.astype(str))
    if unknown := [item for _, item in asked.pairs if item not in items]:
        command.say(
            f"note: {len(unknown):,} interactions do not count, for their items are not"
            f" there to be recommended: {_some(unknown)}"
        )
    of_users = [user for user in asked.users if not model.knows(user)]
    of_items = list(dict.fromkeys(unknown))
    named = len({item for _, item in asked.pairs})
    for what, missing, total, known in (
        ("users", of_users, len(asked.users), model.trained.user_ids),
        ("items", of_items, named, model.catalogue.item_ids),
    ):
        if 2 * len(missing) > total:
            command.say(
                f"warning: {len(missing):,} of {total:,} {what} are unknown, such as"
                f" {_some(missing)}: are ids written as in training, such as"
                f" {_some(known[:3].astype(str).tolist())}?"
            )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def list_left_out(model: Model, path: pathlib.Path, command: Command) -> None:
    """Says how the catalogue differs, and accounts for what can't be recommended."""
    for note in model.notes:
        command.say(note)
    if count := len(model.left_out):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rejected(path, model.left_out)
        command.say(
            f"note: {count:,} rows of items are left out, each with its reason: {path}"
        )
