"""Batches of requests, padded to a length that few programs are compiled for.

Batch k of training is a function of the seed and k alone.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from common.data import array_batches
from common.data.pipeline import Batch
from rerank.corpus.items import NONE, Items, take
from rerank.corpus.requests import Requests

BUCKETS = (8, 16, 32, 50)  # lengths of lists that programs are compiled for
_STEP = 50  # between those beyond


def bucket(length: int) -> int:
    """The least length that programs are compiled for and that holds a list."""
    return next((b for b in BUCKETS if b >= length), -(-length // _STEP) * _STEP)


def buckets_up_to(length: int) -> list[int]:
    """All lengths that programs are compiled for, up to that of the longest list."""
    longest = bucket(length)
    beyond = range(BUCKETS[-1] + _STEP, longest + 1, _STEP)
    return [b for b in (*BUCKETS, *beyond) if b <= longest]


def gather(
    items: Items, requests: Requests, rows: np.ndarray, length: int, history: int
) -> Batch:
    """Reads some requests; what stands in padding is 0 or False.

    Args:
      items: the store.
      requests: R lists, none longer than `length`.
      rows: int [B] numbers of requests.
      length: L, places of a list.
      history: H; of a longer history the newest are taken.

    Returns:
      mask: bool [B, L] of the candidates.
      fields: float32 [B, L, F + G] numbers of the item, then of its pair.
      category: int32 [B, L], -1 where it is not known.
      prices: float32 [B, L], 0 where it is not known.
      present: bool [B, L, M]; and the modalities, see `Items.take_modalities`.
      context: float32 [B, C].
      query_ids, query_weights: [B, Lq], where there are queries.
      history_mask: bool [B, H], newest last, padding behind.
      history_category: int32 [B, H]; history_present and the modalities alike.
      clicks, purchases: float32 [B, L]; randomised: bool [B]; where they are known.
    """
    starts, ends = requests.starts[rows], requests.starts[rows + 1]
    places = _places(starts, ends, length)
    numbers = take(requests.items, places, NONE)  # [B, L]
    starts, ends = requests.history_starts[rows], requests.history_starts[rows + 1]
    past = _places(np.maximum(starts, ends - history), ends, history)
    past_numbers = take(requests.history, past, NONE)  # [B, H]
    prices = np.nan_to_num(take(items.prices, numbers), nan=0.0)
    pairs = take(requests.pair_features, places)
    batch = {
        "mask": places >= 0,
        "fields": np.concatenate([take(items.fields, numbers), pairs], axis=-1),
        "category": take(items.categories, numbers, NONE),
        "prices": prices,
        "context": requests.context[rows],
        **items.take_modalities(numbers),
        "history_mask": past_numbers >= 0,
        "history_category": take(items.categories, past_numbers, NONE),
    }
    for name, values in items.take_modalities(past_numbers).items():
        batch[f"history_{name}"] = values
    if requests.words is not None:
        words = requests.words.take(rows)
        batch["query_ids"], batch["query_weights"] = words.ids, words.weights
    if requests.labelled:
        batch["clicks"] = take(requests.clicks, places)
        batch["purchases"] = take(requests.purchases, places)
        batch["randomised"] = requests.randomised[rows]
    return batch


def train_batches(
    items: Items, requests: Requests, length: int, history: int, **options: Any
) -> Iterator[Batch]:
    """Iterates for ever over shuffled requests; close it.

    Args:
      items: the store.
      requests: to train on.
      length: L, as in `gather`.
      history: H, as in `gather`.
      options: of `array_batches.train_batches`.
    """
    return array_batches.train_batches(
        len(requests),
        lambda rows: gather(items, requests, rows, length, history),
        **options,
    )


def eval_batches(
    items: Items, requests: Requests, length: int, history: int, **options: Any
) -> Iterator[Batch]:
    """Iterates once over all requests, in order; close it.

    Args: as in `train_batches`; options of `array_batches.eval_batches`.

    Returns:
      Iterator of batches of one size. The last one is filled up with requests without
      candidates: their "mask", "clicks" and "purchases" are all 0.
    """

    def read(rows: np.ndarray) -> Batch:
        batch = gather(items, requests, rows, length, history)
        return {"candidates": batch.pop("mask"), **batch}  # "mask" is that of rows

    batches = array_batches.eval_batches(len(requests), read, **options)
    with contextlib.closing(batches):  # type: ignore[type-var]
        for batch in batches:
            real = batch.pop("mask")[:, None]  # [B, 1]
            batch["mask"] = batch.pop("candidates") & (real > 0)
            for name in {"clicks", "purchases"} & set(batch):
                batch[name] = batch[name] * real
            yield batch


def _places(starts: np.ndarray, ends: np.ndarray, length: int) -> np.ndarray:
    """Where the members of lists [B] lie: int64 [B, length], `NONE` behind the end."""
    places = starts[:, None] + np.arange(length)
    return np.where(places < ends[:, None], places, NONE)
