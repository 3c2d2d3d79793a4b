"""Batches of requests, padded to a length that few programs are compiled for.

Batch k of training is a function of the seed and k alone.
"""

import contextlib
from collections.abc import Iterator

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
    items: Items,
    requests: Requests,
    rows: np.ndarray,
    length: int,
    history: int,
    cap_label: str = "",
) -> Batch:
    """Reads some requests; what stands in padding is 0, False or `NONE`.

    Args:
      items: the store.
      requests: R lists, none longer than `length`.
      rows: int [B] numbers of requests.
      length: L, places of a list.
      history: H; of a longer history the newest are taken.
      cap_label: label of the items that is capped; "" for none.

    Returns:
      mask: bool [B, L] of the candidates.
      fields: float32 [B, L, F + G] numbers of the item, then of its pair.
      category: int32 [B, L], `NONE` where it is not known.
      prices: float32 [B, L], 0 where it is not known.
      present: bool [B, L, M]; and the modalities, see `Items.take_modalities`.
      context: float32 [B, C].
      query_ids, query_weights: [B, Lq], where there are queries.
      history_mask: bool [B, H], newest last, padding behind.
      history_category: int32 [B, H]; history_present and the modalities alike.
      pins, cap_labels: int32 [B, L], see `constraints`; where orders are bound.
      clicks, purchases: float32 [B, L]; where they are known.
    """
    starts, ends = requests.starts[rows], requests.starts[rows + 1]
    places = _places(starts, ends, length)
    numbers = take(requests.items, places, NONE)  # [B, L]
    starts, ends = requests.history_starts[rows], requests.history_starts[rows + 1]
    past = _places(np.maximum(starts, ends - history), ends, history)
    past_numbers = take(requests.history, past, NONE)  # [B, H]
    pairs = take(requests.pair_features, places)
    batch = {
        "mask": places >= 0,
        "fields": np.concatenate([take(items.fields, numbers), pairs], axis=-1),
        "category": take(items.categories, numbers, NONE),
        "prices": np.nan_to_num(take(items.prices, numbers), nan=0.0),
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
    if requests.pins is not None:
        batch["pins"] = take(requests.pins, places, NONE)
    if cap_label:
        batch["cap_labels"] = take(items.labels[cap_label][0], numbers, NONE)
    if requests.labelled:
        batch["clicks"] = take(requests.clicks, places)
        batch["purchases"] = take(requests.purchases, places)
    return batch


def eval_batches(
    count: int, gather: array_batches.Gather, batch_size: int
) -> Iterator[Batch]:
    """Iterates once over the rows of this process, in order; close it.

    The last batch is filled up with requests without candidates: their "mask", "clicks"
    and "purchases" are all 0. Arguments as of `array_batches.eval_batches`.
    """

    def read(rows: np.ndarray) -> Batch:
        batch = gather(rows)
        return {"candidates": batch.pop("mask"), **batch}  # "mask" is that of rows

    batches = array_batches.eval_batches(count, read, batch_size=batch_size)
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
