"""How good the lists of a trained model are, on a split."""

import dataclasses
from typing import Any

import numpy as np

from common.errors import UserError
from recsys import metrics
from recsys.config import Config
from recsys.corpus.corpus import Corpus
from recsys.corpus.interactions import UserItems
from recsys.generated import closet
from recsys.ranking.item_index import NotFiniteError
from recsys.ranking.ranker import ListMaker, select


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluatedLists:
    """Lists of users and what they are worth.

    Attributes:
      users: int64 [Q], who they are for.
      lists: int32 [Q, K], items by rank, -1 after the last one.
      tests: the items of the split, by row of `users`.
      values: of `ranking_metrics`; for a model's lists also of `planted`, and "ties@K"
        of `count_ties`.
    """

    users: np.ndarray
    lists: np.ndarray
    tests: UserItems
    values: dict[str, float]


def hidden_splits(config: Config, split: str) -> tuple[str, ...]:
    """Splits whose items a user's list leaves out when it is held against `split`."""
    ranking, hidden = config.ranking, []
    if ranking.hide_training and split != "train":
        hidden.append("train")
    if ranking.hide_validation and split == "test":
        hidden.append("validation")
    return tuple(hidden)


def evaluated_users(config: Config, corpus: Corpus, split: str) -> np.ndarray:
    """Users whose lists are evaluated on a split, ascending int64 [Q].

    Those with an item there, or all. Of validation it may be a random part, which is
    the same in every evaluation of a run.
    """
    ranking = config.ranking
    users = np.unique(corpus.splits[split].users).astype(np.int64)
    if ranking.count_without_test:
        users = np.arange(corpus.user_count)
    if split == "validation" and 0 < ranking.validation_users < len(users):
        rng = np.random.default_rng(config.train.seed)
        users = np.sort(rng.permutation(users)[: ranking.validation_users])
    return users


def evaluate(
    config: Config, corpus: Corpus, ranker: ListMaker, params: Any, split: str
) -> EvaluatedLists:
    """Ranks all items for the users of a split.

    Args:
      config: of the run.
      corpus: users, items, splits.
      ranker: of the model.
      params: of the model, in device form.
      split: "validation" or "test".

    Raises:
      UserError: parameters have grown so far that there are no scores.
    """
    users = evaluated_users(config, corpus, split)
    hidden = hidden_splits(config, split)
    left_out = select(corpus.of_users(*hidden), users) if hidden else None
    length = max(config.ranking.lengths)
    try:
        index = ranker.index_items(params)
        vectors = ranker.user_vectors(params, users)
        ranked = ranker.rank(index, vectors, length, left_out)
    except NotFiniteError as error:
        raise UserError(
            f"training has diverged ({error}): lower --optimizer.learning_rate="
            f"{config.optimizer.learning_rate:g} or --optimizer.weight_decay="
            f"{config.optimizer.weight_decay:g}"
        ) from None
    evaluated = evaluate_lists(config, corpus, users, ranked.items, split)
    truth = planted(config, users, ranked.items)
    ties = {
        f"ties@{k}": metrics.count_ties(ranked.scores, k)
        for k in config.ranking.lengths
    }
    return dataclasses.replace(evaluated, values={**evaluated.values, **truth, **ties})


def planted(config: Config, users: np.ndarray, lists: np.ndarray) -> dict[str, float]:
    """What only the makers of the closet know: "branch_need@K" of `branch_needs`."""
    if config.data.interactions:
        return {}
    return {
        f"branch_need@{length}": closet.branch_needs(
            config.closet, users, lists, length
        )
        for length in config.ranking.lengths
    }


def evaluate_lists(
    config: Config, corpus: Corpus, users: np.ndarray, lists: np.ndarray, split: str
) -> EvaluatedLists:
    """What lists [Q, K] of users [Q] are worth on a split, whoever made them."""
    tests = select(corpus.of_users(split), users)
    values = metrics.ranking_metrics(
        lists,
        tests.starts,
        tests.items,
        corpus.catalogue.item_count,
        seen=corpus.seen,
        ks=config.ranking.lengths,
        count_without_test=config.ranking.count_without_test,
        all_hits_auc=config.ranking.all_hits_auc,
    )
    return EvaluatedLists(users, lists, tests, values)


def by_user(
    config: Config, corpus: Corpus, evaluated: EvaluatedLists
) -> dict[str, np.ndarray]:
    """The metrics user by user; see `metrics.per_user`."""
    return metrics.per_user(
        evaluated.lists,
        evaluated.tests.starts,
        evaluated.tests.items,
        seen=corpus.seen,
        ks=config.ranking.lengths,
        count_without_test=config.ranking.count_without_test,
        all_hits_auc=config.ranking.all_hits_auc,
    )


def popular_lists(
    config: Config, corpus: Corpus, split: str, users: np.ndarray
) -> np.ndarray:
    """Lists int32 [Q, K] of the items that most users have in training.

    Ties go to the item with the smaller number, as everywhere.
    """
    counts = np.bincount(
        corpus.splits["train"].items, minlength=corpus.catalogue.item_count
    )
    hidden = hidden_splits(config, split)
    left_out = select(corpus.of_users(*hidden), users) if hidden else None
    length = max(config.ranking.lengths)
    most = 0 if left_out is None else int(left_out.counts.max(initial=0))
    # So many at the top that each user has enough left.
    best = np.argsort(-counts, kind="stable")[: length + most]
    lists = np.full((len(users), length), -1, np.int32)
    for row in range(len(users)):
        kept = best
        if left_out is not None:
            kept = best[~np.isin(best, left_out.items_of(row))]
        kept = kept[:length]
        lists[row, : len(kept)] = kept
    return lists
