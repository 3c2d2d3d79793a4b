"""A small store and requests over it, for tests."""

import numpy as np

from common.text.encoder import TextEncoder
from rerank.corpus.items import Items, WordTable
from rerank.corpus.requests import Requests

TITLES = ("red coat", "blue coat", "red hat", "", "green hat")


def words_of(texts, encoder=None) -> WordTable:
    encoder = encoder or TextEncoder.fit(TITLES)
    encoded = encoder.encode(texts)
    return WordTable(encoded["ids"], encoded["weights"], encoder)


def make_items(words: bool = False, count: int = 5) -> Items:
    """Items whose numbers tell which they are: item i has the text vector [i, 10 i]."""
    numbers = np.arange(count, dtype=np.float32)
    text = {} if words else {"text": np.stack([numbers, 10 * numbers], axis=1)}
    return Items(
        ids=np.array([f"i{n}" for n in range(count)]),
        categories=np.arange(count, dtype=np.int32) % 2,
        category_names=("even", "odd"),
        fields=numbers[:, None] / 10,
        field_names=("price",),
        prices=np.where(numbers == 2, np.nan, 1 + numbers).astype(np.float32),
        present={"image": numbers != 1, "text": numbers != 3},
        vectors={"image": np.repeat(-numbers[:, None], 3, axis=1), **text},
        words=words_of(TITLES[:count]) if words else None,
        labels={"brand": (np.zeros(count, np.int32), ("acme",))},
    )


def make_requests(
    lists=((0, 1, 2), (4,), (), (3, 0)),
    histories=((), (1, 2), (3,), (0, 1, 4)),
    labels: bool = True,
    **changes,
) -> Requests:
    """Requests r with the context [r]; every item has its place in all lists as pair."""
    starts = np.cumsum([0, *map(len, lists)])
    items = np.array([i for one in lists for i in one], np.int32)
    places = np.arange(len(items), dtype=np.float32)
    values = {
        "ids": np.array([f"r{n}" for n in range(len(lists))]),
        "starts": starts,
        "items": items,
        "pair_features": places[:, None],
        "context": np.arange(len(lists), dtype=np.float32)[:, None],
        "clicks": np.float32(places % 2 == 0) if labels else places + np.nan,
        "purchases": np.float32(places % 4 == 0) if labels else places + np.nan,
        "randomised": np.arange(len(lists)) % 2 == 1,
        "history": np.array([i for one in histories for i in one], np.int32),
        "history_starts": np.cumsum([0, *map(len, histories)]),
    }
    return Requests(**{**values, **changes})
