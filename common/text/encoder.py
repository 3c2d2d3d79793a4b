"""Words and word pairs as ids with TF-IDF weights, fitted on the training rows.

This file is copied into exports, so it needs the standard library and numpy alone.
"""

import collections
import dataclasses
import functools
import itertools
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from common.text.tokens import join_pairs, tokenize

PADDING = 0  # id of the places that a short text leaves empty
BUCKETS = 256  # ids of the words that the vocabulary does not hold
FIRST = 1 + BUCKETS  # id of the first word or pair of the vocabulary

MOST_TERMS = 16_384  # words and pairs in a vocabulary
MOST_ENTRIES = 64  # of one text
_FEWEST_ROWS = 2  # a word of one row is told apart from no other one


@dataclasses.dataclass(frozen=True)
class TextEncoder:
    """Turns texts into weighted words.

    The vocabulary holds the words and the pairs of neighbouring words that stand in
    most training texts. Other words share 256 buckets by a stable hash (CRC-32); other
    pairs are left out, since their words are there.

    Attributes:
      terms: of the vocabulary, those of most texts first, equals by name; term i has id
        i + 257. The ids 1 to 256 are buckets, 0 is padding.
      texts: number of training texts that have any word, n.
      counts: [256 + terms] in how many of these each id but padding stands, df.
      length: L, entries that are kept of one text.
    """

    terms: tuple[str, ...]
    texts: int
    counts: tuple[int, ...]
    length: int

    @classmethod
    def fit(
        cls, texts: Iterable[Any], *, most_terms: int = MOST_TERMS
    ) -> "TextEncoder":
        """Fits a vocabulary and its weights.

        Args:
          texts: of training rows, and only those; what is no text counts as empty.
          most_terms: size of the vocabulary.
        """
        words = [found for text in texts if (found := _tokens(text))]
        distinct = [{*tokens, *join_pairs(tokens)} for tokens in words]
        rows = collections.Counter(itertools.chain.from_iterable(distinct))
        often = [term for term, count in rows.items() if count >= _FEWEST_ROWS]
        terms = sorted(often, key=lambda term: (-rows[term], term))[:most_terms]
        known = set(terms)
        buckets: collections.Counter[int] = collections.Counter()
        entries = 1
        for tokens, row in zip(words, distinct, strict=True):
            rest = {_bucket(token) for token in tokens if token not in known}
            buckets.update(rest)
            entries = max(entries, len(rest) + len(known & row))
        counts = [buckets[i] for i in range(1, FIRST)] + [rows[term] for term in terms]
        length = min(entries, MOST_ENTRIES)
        return cls(tuple(terms), len(words), tuple(counts), length)

    @property
    def size(self) -> int:
        """Number of ids, padding and buckets included."""
        return FIRST + len(self.terms)

    @functools.cached_property
    def _index(self) -> dict[str, int]:
        return {term: i + FIRST for i, term in enumerate(self.terms)}

    @functools.cached_property
    def idf(self) -> np.ndarray:
        """Weight of each id, float64 [size]: ln((1 + n) / (1 + df)) + 1, padding 0.

        That is scikit-learn's TfidfVectorizer with smooth_idf.
        """
        weights = np.log((1 + self.texts) / (1 + np.array(self.counts))) + 1
        return np.concatenate([[0.0], weights])

    def encode(self, texts: Sequence[Any]) -> dict[str, np.ndarray]:
        """Encodes texts, each by itself; total: any text has an encoding.

        An id that stands tf times in a text has the weight tf idf / norm, where norm is
        the Euclidean one over all ids of the text: TF-IDF as TfidfVectorizer has it. Of
        a text with more than L ids the L heaviest are kept with their weights.

        Args:
          texts: N; what is no text (None, NaN) counts as empty.

        Returns:
          ids: int32 [N, L] in the order of the text, each once, then padding.
          positions: int32 [N, L] which token of `tokenize` the id is, or with which its
            pair begins, where it stands first; 0 for padding.
          weights: float32 [N, L], 0 for padding.
          present: float32 [N], 0 for a text without any word.
        """
        rows, ids, places = self._look_up(texts)
        # One entry for each id of a row, where it stands first.
        keys, first, times = np.unique(
            rows * self.size + ids, return_index=True, return_counts=True
        )
        rows, ids, places = keys // self.size, keys % self.size, places[first]
        weights = times * self.idf[ids]
        norms = np.sqrt(np.bincount(rows, weights**2, len(texts)))
        weights = weights / norms[rows]
        heaviest = np.lexsort((places, -weights, rows))
        kept = heaviest[_places_in_row(rows[heaviest]) < self.length]
        kept = kept[np.lexsort((places[kept], rows[kept]))]
        at = rows[kept], _places_in_row(rows[kept])
        shape = (len(texts), self.length)
        encoded = {
            "ids": np.full(shape, PADDING, np.int32),
            "positions": np.zeros(shape, np.int32),
            "weights": np.zeros(shape, np.float32),
            "present": (norms > 0).astype(np.float32),
        }
        encoded["ids"][at] = ids[kept]
        encoded["positions"][at] = places[kept] // 2
        encoded["weights"][at] = weights[kept]
        return encoded

    def name_entries(self, text: Any) -> list[str]:
        """The word or pair of each entry of `encode([text])`, padding left out."""
        encoded, tokens = self.encode([text]), _tokens(text)
        entries = zip(encoded["ids"][0], encoded["positions"][0], strict=True)
        return [
            self.terms[number - FIRST] if number >= FIRST else tokens[position]
            for number, position in entries
            if number != PADDING
        ]

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` turns back into an equal encoder."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "TextEncoder":
        """Rebuilds an encoder.

        Raises:
          ValueError: the value was not written by `to_json`.
        """
        try:
            terms = tuple(map(str, value["terms"]))
            counts = tuple(map(int, value["counts"]))
            texts, length = int(value["texts"]), int(value["length"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"no encoder of texts: {error}") from error
        if len(counts) != BUCKETS + len(terms) or length < 1:
            raise ValueError("no encoder of texts: its lengths do not fit")
        return cls(terms, texts, counts, length)

    def _look_up(self, texts: Sequence[Any]) -> tuple[np.ndarray, ...]:
        """Rows, ids and places of all words and known pairs, int64 [M].

        Word i of a text has place 2 i, the pair that begins there 2 i + 1.
        """
        find, lengths = self._index.get, []
        ids: list[int] = []
        for text in texts:
            tokens = _tokens(text)
            ids += [find(token) or _bucket(token) for token in tokens]
            ids += [find(pair, PADDING) for pair in join_pairs(tokens)]
            lengths.append(len(tokens))
        widths = np.maximum(2 * np.array(lengths, np.int64) - 1, 0)
        rows = np.repeat(np.arange(len(lengths)), widths)
        starts = np.cumsum(widths) - widths
        within = np.arange(len(rows)) - starts[rows]
        words = np.array(lengths, np.int64)[rows]
        is_pair = within >= words
        places = 2 * (within - is_pair * words) + is_pair
        found = np.array(ids, np.int64)
        known = found != PADDING
        return rows[known], found[known], places[known]


def _tokens(text: Any) -> list[str]:
    return tokenize(text) if isinstance(text, str) else []


@functools.lru_cache(maxsize=1 << 16)
def _bucket(word: str) -> int:
    """The id of a word that the vocabulary does not hold, the same everywhere."""
    return 1 + zlib.crc32(word.encode()) % BUCKETS


def _places_in_row(rows: np.ndarray) -> np.ndarray:
    """0, 1, 2 … within each run of equal numbers."""
    return np.arange(len(rows)) - np.searchsorted(rows, rows)
