"""Rivals that know who took what and nothing else, fitted without a step of ours.

`item-knn` is `models.neighbours`; `als` and `bpr` are fitted by the library implicit and
are `models.factors` from then on. An item that training has not seen is nothing to them.
"""

import dataclasses
from typing import Any

import numpy as np
from scipy import sparse

from common.errors import UserError
from recsys.config import Config
from recsys.corpus.corpus import Corpus
from recsys.models import neighbours

_POPULAR = 1e-5  # of a score of ALS, which is near 1 for what a user has taken


def fit(config: Config, corpus: Corpus) -> dict[str, np.ndarray]:
    """Fits the rival that `model.name` names on the training interactions.

    Args:
      config: of the run; `train.seed` is that of the draws.
      corpus: users, items, splits.

    Returns:
      {name: array}, the parameters of `models.factors.Factors`, or what
      `models.neighbours.fit` returns.

    Raises:
      UserError: implicit is not there, or BPR is to weigh interactions.
    """
    train = corpus.splits["train"]
    shape = corpus.user_count, corpus.catalogue.item_count
    name = config.model.name
    if name == "item-knn":
        return neighbours.fit(train, shape, config.item_knn)
    if name == "bpr" and train.weights is not None:
        raise UserError(
            "--model.name=bpr draws every interaction as often as any other, and has no"
            " use for --data.weight: choose als, item-knn or vbpr"
        )
    model = _fit_library(config, neighbours.matrix_of(train, shape))
    users, items = (
        np.array(factors, np.float32)
        for factors in (model.user_factors, model.item_factors)
    )
    items[~corpus.seen] = 0  # BPR leaves there what it drew at the start
    width = config.model.width
    if name == "bpr":  # the last column, against which users have a 1
        bias = items[:, width:]
        # An item that nobody has taken is no better than the one that fewest have.
        bias[~corpus.seen] = bias[corpus.seen].min()
    else:  # too little to move a list, but who is unknown gets what most have taken
        counts = np.bincount(train.items, minlength=len(items))
        bias = (_POPULAR * counts / counts.max())[:, None].astype(np.float32)
    return {
        "user_factor": users[:, :width],
        "item_factor": items[:, :width],
        "item_bias": bias,
    }


def _fit_library(config: Config, taken: sparse.csr_matrix) -> Any:
    """The model of implicit that a config names, fitted to weights [U, I].

    With one thread: the same numbers on every machine, and threads of BLAS, of which
    implicit warns, only hinder each other.
    """
    name = config.model.name
    try:
        import threadpoolctl  # implicit brings it
        from implicit.als import AlternatingLeastSquares
        from implicit.bpr import BayesianPersonalizedRanking
    except ImportError:
        raise UserError(
            f"--model.name={name} needs implicit: pip install 'resale-jax[rivals]'"
        ) from None
    kind = AlternatingLeastSquares if name == "als" else BayesianPersonalizedRanking
    settings = dataclasses.asdict(config.als if name == "als" else config.bpr)
    if name == "bpr":
        settings["verify_negative_samples"] = True
    with threadpoolctl.threadpool_limits(1, "blas"):
        model = kind(
            config.model.width,
            random_state=config.train.seed,
            num_threads=1,
            **settings,
        )
        model.fit(taken, show_progress=False)
    return model
