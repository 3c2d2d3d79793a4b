"""What counts: how much worse test lists are told apart once something is taken away.

A modality and the history are hidden; the context, the query and each number are
exchanged between requests or items, so that they keep their distribution and tell
nothing. What is lost is GAUC of the list-wise evaluator at the shown orders.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from rerank import metrics
from rerank.config import LISTWISE
from rerank.corpus.corpus import Corpus
from rerank.corpus.items import Items
from rerank.corpus.requests import Requests
from rerank.run import Run
from rerank.step import State

SHARES = (0.25, 0.5, 0.75, 1.0)  # of a modality that are hidden
MOST_REQUESTS = 2000  # that are looked at
MOST_NUMBERS = 20  # of items and of pairs, the first ones


def measure(run: Run, params: Any) -> dict[str, float]:
    """What each part is worth on test.

    Args:
      run: whose test lists are read.
      params: of the list-wise evaluator, in device form.

    Returns:
      {"test/lost/<part>": GAUC lost without the part,
      "test/hidden/<modality>/<share>": GAUC with that share of it hidden}.
    """
    learner = run.learners[LISTWISE]
    predict = run.execution.predict_all(
        lambda params, batch: learner.predict(State(params, None), batch).logits
    )
    test = run.corpus.splits["test"]
    test = test.select(np.arange(min(len(test), MOST_REQUESTS)))

    def gauc(items: Items, requests: Requests) -> float:
        corpus = dataclasses.replace(run.corpus, items=items)
        changed = dataclasses.replace(run, corpus=corpus)
        with contextlib.closing(changed.eval_batches(requests)) as batches:  # type: ignore[type-var]
            logits = predict(params, batches, len(requests))
        target = requests.pad(requests.labels(run.config.loss.target), run.length)
        return metrics.list_auc(logits, target, requests.mask(run.length)).mean

    whole = gauc(run.corpus.items, test)
    values = {}
    for name in (m.name for m in learner.network.modalities):
        for share in SHARES:
            found = gauc(hide(run.corpus.items, name, share), test)
            values[f"test/hidden/{name}/{share:g}"] = found
        values[f"test/lost/{name}"] = whole - found
    for part, items, requests in _exchanged(run.corpus, test):
        values[f"test/lost/{part}"] = whole - gauc(items, requests)
    return values


def hide(items: Items, modality: str, share: float) -> Items:
    """The store without a share of a modality, drawn item by item.

    What is hidden at one share is hidden at all larger ones.
    """
    luck = np.random.default_rng(0).random(len(items))
    bits = items.present[modality] & (luck >= share)
    return dataclasses.replace(items, present={**items.present, modality: bits})


def _exchanged(corpus: Corpus, test: Requests) -> Iterator[tuple[str, Items, Requests]]:
    """(part, items, requests) where the part tells nothing."""
    items, rng = corpus.items, np.random.default_rng(1)
    other = rng.permutation(len(test))
    if len(test.history):
        none, starts = test.history[:0], test.history_starts * 0
        without = dataclasses.replace(test, history=none, history_starts=starts)
        yield "history", items, without
    if test.context.shape[1]:
        yield "context", items, dataclasses.replace(test, context=test.context[other])
    if test.words is not None:
        yield "query", items, dataclasses.replace(test, words=test.words.take(other))
    shown = np.unique(test.items)
    for column, name in enumerate(items.field_names[:MOST_NUMBERS]):
        fields = items.fields.copy()
        fields[shown, column] = fields[rng.permutation(shown), column]
        yield name, dataclasses.replace(items, fields=fields), test
    for column, name in enumerate(corpus.pair_names[:MOST_NUMBERS]):
        pairs = test.pair_features.copy()
        pairs[:, column] = rng.permutation(pairs[:, column])
        yield name, items, dataclasses.replace(test, pair_features=pairs)
