"""Rivals that people would try first: boosted trees on what the networks see.

A candidate is a row of numbers: its own, those of its pair and of the request, its
vectors (NaN where a modality is missing), and the mean vectors of the past items of its
category. LambdaMART with positions known is LightGBM's unbiased variant.
"""

from typing import Any

import numpy as np

from common.reports import boosting
from rerank import evaluation, metrics
from rerank.corpus.items import NONE, take
from rerank.corpus.requests import Requests
from rerank.evaluation import labels_of
from rerank.metrics import Column
from rerank.run import Run

SETTINGS = {
    "learning_rate": 0.05,
    "num_leaves": 16,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
}
OBJECTIVES = {
    "trees": "regression",
    "lambdamart": "lambdarank",
    "unbiased": "lambdarank",
}
_GRADES = 30  # LambdaMART takes whole numbers


def evaluate(run: Run, name: str, seed: int) -> dict[str, Column]:
    """Boosts on training and measures the sorted orders of test, request by request.

    Args:
      run: its data.
      name: "trees", "lambdamart" or "unbiased".
      seed: of LightGBM's draws.

    Returns:
      Columns as `evaluation.measure` has them of the sorted order, without a prefix.

    Raises:
      UserError: LightGBM is not installed.
    """
    booster = fit(run, name, seed)
    requests = run.corpus.splits["test"]
    scores = requests.pad(booster.predict(features(run, requests)), run.length)
    shown = labels_of(run, "test")
    order = metrics.sort_places(scores, shown["mask"])
    columns = metrics.order_metrics(order, shown["mask"], shown)
    columns["gauc"] = metrics.list_auc(scores, shown["target"], shown["mask"])
    if (truth := evaluation.true_utility(run, "test", order)) is not None:
        columns["utility"] = Column(truth, np.ones(len(truth)))
    return columns


def fit(run: Run, name: str, seed: int) -> Any:
    """A booster on the training requests, stopped early on validation."""
    lightgbm = boosting.library()
    ranks = OBJECTIVES[name] == "lambdarank"
    sets: dict[str, Any] = {}
    for split in ("train", "validation"):
        requests = run.corpus.splits[split]
        target = target_of(run, requests)
        sets[split] = lightgbm.Dataset(
            features(run, requests),
            np.round(target * _grades(target)) if ranks else target,
            group=requests.lengths if ranks else None,
            position=places_of(requests)
            if name == "unbiased" and split == "train"
            else None,
            reference=sets.get("train"),
            params={"max_bin": 63, "verbosity": -1},
            free_raw_data=False,
        )
    return lightgbm.train(
        {
            **SETTINGS,
            "objective": OBJECTIVES[name],
            "bagging_freq": 1,
            "verbosity": -1,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
        },
        sets["train"],
        num_boost_round=boosting.ROUNDS,
        valid_sets=[sets["validation"]],
        callbacks=[lightgbm.early_stopping(boosting.PATIENCE, verbose=False)],
    )


def _grades(target: np.ndarray) -> int:
    """What labels in [0, 1] are taken times: whole numbers are left as they are."""
    return 1 if np.isin(target, (0, 1)).all() else _GRADES


def target_of(run: Run, requests: Requests) -> np.ndarray:
    """Labels [T] of the main task."""
    purchase = run.config.loss.target == "purchase"
    return requests.purchases if purchase else requests.clicks


def places_of(requests: Requests) -> np.ndarray:
    """Places [T] from 0 at which candidates were shown."""
    starts = np.repeat(requests.starts[:-1], requests.lengths)
    places: np.ndarray = np.arange(len(requests.items)) - starts
    return places


def features(run: Run, requests: Requests) -> np.ndarray:
    """What trees see of each candidate: float32 [T, F]."""
    items, lengths = run.corpus.items, requests.lengths
    of_request = np.repeat(np.arange(len(requests)), lengths)
    parts = [
        items.fields[requests.items],
        requests.pair_features,
        requests.context[of_request],
    ]
    for name, vectors in items.vectors.items():
        there = items.present[name][requests.items][:, None]
        parts.append(np.where(there, vectors[requests.items], np.nan))
        parts.append(_past(run, requests, vectors, items.present[name], of_request))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _past(
    run: Run,
    requests: Requests,
    vectors: np.ndarray,
    present: np.ndarray,
    of_request: np.ndarray,
) -> np.ndarray:
    """Mean vectors [T, D] of the past items of the candidates' categories."""
    counts = np.diff(requests.history_starts)
    most = int(counts.max(initial=0))
    if not most:
        return np.zeros((len(requests.items), 0))
    categories = run.corpus.items.categories
    past = np.full((len(requests), most), NONE)
    past[np.arange(most) < counts[:, None]] = requests.history
    same = (
        take(categories, past, NONE)[of_request] == categories[requests.items][:, None]
    )
    same &= (past >= 0)[of_request] & take(present, past)[of_request]  # [T, H]
    total = np.einsum("th,thd->td", same, take(vectors, past)[of_request])
    number = same.sum(1, keepdims=True)
    mean: np.ndarray = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return mean
