"""Rivals that people would try first: boosted trees on what the networks see.

A candidate is a row of numbers: its own, those of its pair and of the request, its
vectors (NaN where a modality is missing), and the mean vectors of the past items of its
category. LambdaMART with positions known is LightGBM's unbiased variant.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.reports import boosting
from rerank import evaluation, metrics
from rerank.corpus.items import NONE, take
from rerank.corpus.requests import Requests
from rerank.evaluation import labels_of
from rerank.metrics import Column
from rerank.run import Run

OBJECTIVES = {
    "trees": "regression",
    "lambdamart": "lambdarank",
    "unbiased": "lambdarank",
}
TRIALS = 10  # settings, of which the best one on validation counts
_GRADES = 30  # LambdaMART takes whole numbers

Seen = Mapping[str, np.ndarray]  # {split: features [T, F]}


def search(run: Run, name: str) -> boosting.Settings:
    """The settings that are best on validation.

    By GAUC, or by NDCG@10 where the labels are grades: what the claims are about.

    Args:
      run: its data.
      name: of `OBJECTIVES`.
    """
    shown, seen = labels_of(run, "validation"), see(run, "train", "validation")
    graded = _grades(shown["target"]) > 1

    def loss_of(settings: boosting.Settings) -> float:
        scores = score(run, fit(run, seen, name, settings, seed=0), seen, "validation")
        if graded:
            order = metrics.sort_places(scores, shown["mask"])
            return -metrics.ndcg(metrics.in_order(shown["gains"], order), 10).mean
        return -metrics.list_auc(scores, shown["target"], shown["mask"]).mean

    return boosting.search(loss_of, TRIALS, seed=0)


def evaluate(
    run: Run, name: str, settings: boosting.Settings, seed: int
) -> dict[str, Column]:
    """Boosts on training and measures the sorted orders of test, request by request.

    Args:
      run: its data.
      name: of `OBJECTIVES`.
      settings: of `search`.
      seed: of LightGBM's draws.

    Returns:
      Columns as `evaluation.measure` has them of the sorted order, without a prefix.

    Raises:
      UserError: LightGBM is not installed.
    """
    seen = see(run, *run.corpus.splits)
    scores = score(run, fit(run, seen, name, settings, seed), seen, "test")
    shown = labels_of(run, "test")
    order = metrics.sort_places(scores, shown["mask"])
    columns = metrics.order_metrics(order, shown["mask"], shown)
    columns["gauc"] = metrics.list_auc(scores, shown["target"], shown["mask"])
    if (truth := evaluation.true_utility(run, "test", order)) is not None:
        columns["utility"] = Column(truth, np.ones(len(truth)))
    return columns


def see(run: Run, *splits: str) -> Seen:
    """What trees see of the candidates of splits."""
    return {split: features(run, run.corpus.splits[split]) for split in splits}


def score(run: Run, booster: Any, seen: Seen, split: str) -> np.ndarray:
    """Scores [R, L] of the candidates of a split."""
    return run.corpus.splits[split].pad(booster.predict(seen[split]), run.length)


def fit(run: Run, seen: Seen, name: str, settings: boosting.Settings, seed: int) -> Any:
    """A booster on the training requests, stopped early on validation."""
    parts = {split: run.corpus.splits[split] for split in ("train", "validation")}
    counts = [len(part.items) for part in parts.values()]
    rows = np.split(np.arange(sum(counts)), counts[:1])
    labels = [part.labels(run.config.loss.target) for part in parts.values()]
    target = np.concatenate(labels)
    ranks = OBJECTIVES[name] == "lambdarank"
    places = np.concatenate([part.places for part in parts.values()])
    return boosting.fit(
        np.concatenate([seen[split] for split in parts]),
        np.round(target * _grades(target)) if ranks else target,
        dict(zip(parts, rows, strict=True)),
        {**settings, "objective": OBJECTIVES[name], "eval_at": 10},
        seed,
        groups={s: part.lengths for s, part in parts.items()} if ranks else None,
        positions=places if name == "unbiased" else None,
    )


def _grades(target: np.ndarray) -> int:
    """What labels in [0, 1] are taken times: whole numbers are left as they are."""
    return 1 if np.isin(target, (0, 1)).all() else _GRADES


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
