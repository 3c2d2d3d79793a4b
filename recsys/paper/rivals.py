"""Rivals of another kind: neighbours and factors of items, by the library implicit.

They know who took what and nothing else, so an item that training has not seen is never
in their lists. All are ranked over all items, with the same items left out, and evaluated
by the same metrics as the models here.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from common.errors import UserError
from recsys import evaluation
from recsys.config import Config
from recsys.corpus.corpus import Corpus
from recsys.ranking.ranker import select

NEIGHBOURS = 1000  # of an item
FACTORS = 64


def _item_knn(seed: int) -> Any:
    from implicit.nearest_neighbours import CosineRecommender

    del seed  # nothing is drawn
    return CosineRecommender(K=NEIGHBOURS, num_threads=1)


def _als(seed: int) -> Any:
    from implicit.als import AlternatingLeastSquares

    return AlternatingLeastSquares(FACTORS, random_state=seed, num_threads=1)


def _bpr(seed: int) -> Any:
    from implicit.bpr import BayesianPersonalizedRanking

    return BayesianPersonalizedRanking(
        FACTORS, random_state=seed, num_threads=1, verify_negative_samples=True
    )


RIVALS: dict[str, Callable[[int], Any]] = {
    "item-knn": _item_knn,
    "als": _als,
    "bpr": _bpr,
}


def evaluate(config: Config, corpus: Corpus, name: str, seed: int) -> dict[str, Any]:
    """Fits a rival on training and evaluates its lists on test.

    Args:
      config: of the runs beside it.
      corpus: users, items, splits.
      name: of `RIVALS`.
      seed: of its draws.

    Returns:
      {"test/ndcg@10": …}.

    Raises:
      UserError: implicit is not there.
    """
    try:
        model = RIVALS[name](seed)
    except ImportError:
        raise UserError(
            f"--reproduce.rows={name} needs implicit: pip install 'resale-jax[rivals]'"
        ) from None
    from scipy import sparse

    train = corpus.train
    ones = np.ones(len(train.items), np.float32)
    shape = corpus.user_count, corpus.catalogue.item_count
    matrix = sparse.csr_matrix((ones, train.items, train.starts), shape=shape)
    model.fit(matrix, show_progress=False)
    users = evaluation.evaluated_users(config, corpus, "test")
    lists = _rank(config, corpus, model, matrix, users)
    evaluated = evaluation.evaluate_lists(config, corpus, users, lists, "test")
    return {f"test/{name}": value for name, value in evaluated.values.items()}


def _rank(
    config: Config, corpus: Corpus, model: Any, matrix: Any, users: np.ndarray
) -> np.ndarray:
    """Lists int32 [Q, K] of a fitted model, -1 where it has no more items."""
    length = max(config.ranking.lengths)
    hidden = evaluation.hidden_splits(config, "test")
    left_out = select(corpus.of_users(*hidden), users) if hidden else None
    most = 0 if left_out is None else int(left_out.counts.max(initial=0))
    count = min(length + most, corpus.catalogue.item_count)
    items, scores = model.recommend(
        users, matrix[users], N=count, filter_already_liked_items=False
    )
    lists = np.full((len(users), length), -1, np.int32)
    for row in range(len(users)):
        # What is filled up has the lowest score there is, or no number.
        kept = items[row][(items[row] >= 0) & (scores[row] > -1e30)]
        if left_out is not None:
            kept = kept[~np.isin(kept, left_out.items_of(row))]
        kept = kept[:length]
        lists[row, : len(kept)] = kept
    return lists
