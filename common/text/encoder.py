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

from common.text.tokens import join, tokenize

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
        found = _read(texts)
        rows, terms = _distinct(found.rows, found.terms)
        seen = np.bincount(terms, minlength=len(found.words) + len(found.pairs))
        often = np.flatnonzero(seen >= _FEWEST_ROWS)
        counted = zip(seen[often].tolist(), found.names(often), often, strict=True)
        ordered = sorted(counted, key=lambda term: (-term[0], term[1]))[:most_terms]
        ids = np.zeros(len(seen), np.int64)
        ids[: len(found.words)] = [*map(_bucket, found.words)]
        ids[[number for _, _, number in ordered]] = FIRST + np.arange(len(ordered))
        rows, ids = _distinct(rows, ids[terms])
        counts = np.bincount(ids, minlength=FIRST + len(ordered))[1:]
        entries = np.bincount(rows[ids != PADDING], minlength=1).max()
        return cls(
            tuple(name for _, name, _ in ordered),
            np.count_nonzero(np.bincount(rows)).item(),
            tuple(counts.tolist()),
            max(1, min(int(entries), MOST_ENTRIES)),
        )

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
        found = _read(texts)
        ids = self._find(found)[found.terms]
        known = ids != PADDING
        rows, ids, places = found.rows[known], ids[known], found.places[known]
        # One entry for each id of a row, where it stands first.
        keys, first, times = np.unique(
            rows * self.size + ids, return_index=True, return_counts=True
        )
        rows, ids, places = keys // self.size, keys % self.size, places[first]
        weights = times * self.idf[ids]
        norms = np.sqrt(np.bincount(rows, weights**2, len(texts)))
        weights = weights / norms[rows]
        kept = np.ones(len(rows), bool)
        many = np.flatnonzero(np.bincount(rows)[rows] > self.length)
        many = many[np.lexsort((places[many], -weights[many], rows[many]))]
        kept[many] = _count_in_runs(rows[many]) < self.length
        kept = np.flatnonzero(kept)
        kept = kept[np.lexsort((places[kept], rows[kept]))]
        at = rows[kept], _count_in_runs(rows[kept])
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
        encoded = self.encode([text])
        tokens = tokenize(text) if isinstance(text, str) else []
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

    def _find(self, found: "_Terms") -> np.ndarray:
        """The id of every distinct term, padding for unknown pairs: int64 [W + Q]."""
        find, count = self._index.get, len(found.words)
        pairs = found.names(np.arange(count, count + len(found.pairs)))
        ids = [find(word) or _bucket(word) for word in found.words]
        return np.array(ids + [find(pair, PADDING) for pair in pairs], np.int64)


@dataclasses.dataclass(frozen=True)
class _Terms:
    """The words and pairs of N texts.

    A text is cut at blanks, which no token spans, so that a piece that stands in many
    texts is tokenised once.

    Attributes:
      words: the W distinct ones.
      pairs: int64 [Q, 2] the distinct pairs of neighbours as numbers of words.
      rows: int64 [M] of each word, then of each pair: the text it stands in,
      terms: the same, which it is: word number or W + number of the pair,
      places: the same, where: word i of a text has place 2 i, the pair that begins
        there 2 i + 1.
    """

    words: Sequence[str]
    pairs: np.ndarray
    rows: np.ndarray
    terms: np.ndarray
    places: np.ndarray

    def names(self, terms: np.ndarray) -> list[str]:
        """What the terms with these numbers, in order, are."""
        words, count = self.words, len(self.words)
        alone, joined = terms[terms < count], terms[terms >= count] - count
        names = [words[number] for number in alone.tolist()]
        pairs = self.pairs[joined].tolist()
        return names + [join(words[left], words[right]) for left, right in pairs]


def _read(texts: Iterable[Any]) -> _Terms:
    parts = [text.split() if isinstance(text, str) else [] for text in texts]
    pieces, piece, widths = _number(parts)
    words, word, sizes = _number([*map(_tokens, pieces)])
    at = np.repeat(np.arange(len(piece)), sizes[piece])  # the piece of each token [T]
    begins = (np.cumsum(sizes) - sizes)[piece]
    numbers = word[begins[at] + _count_in_runs(at)]
    rows = np.repeat(np.arange(len(widths)), widths)[at]
    places = _count_in_runs(rows)
    paired = rows[1:] == rows[:-1]
    keys = numbers[:-1][paired] * len(words) + numbers[1:][paired]
    distinct, pair = np.unique(keys, return_inverse=True)
    return _Terms(
        words,
        np.stack(np.divmod(distinct, max(1, len(words))), axis=1),
        np.concatenate([rows, rows[:-1][paired]]),
        np.concatenate([numbers, len(words) + pair]),
        np.concatenate([2 * places, 2 * places[:-1][paired] + 1]),
    )


def _number(lists: list[list[str]]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """What the lists hold: distinct, which each one is, and the lists' lengths."""
    known: dict[str, int] = collections.defaultdict(itertools.count().__next__)
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    names = itertools.chain.from_iterable(lists)
    numbers = np.fromiter(map(known.__getitem__, names), np.int64, lengths.sum())
    return list(known), numbers, lengths


def _distinct(rows: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each pair of a row and a number once."""
    width = 1 + numbers.max(initial=0)
    # np.unique would hash, 20 times as slow on numbers that are nearly in order.
    keys = np.sort(rows * width + numbers, kind="stable")
    return np.divmod(keys[np.diff(keys, prepend=-1) > 0], width)


# Fitting and encoding meet the same pieces.
_tokens = functools.lru_cache(maxsize=1 << 14)(tokenize)


@functools.lru_cache(maxsize=1 << 16)
def _bucket(word: str) -> int:
    """The id of a word that the vocabulary does not hold, the same everywhere."""
    return 1 + zlib.crc32(word.encode()) % BUCKETS


def _count_in_runs(numbers: np.ndarray) -> np.ndarray:
    """0, 1, 2 … within each run of equal numbers."""
    every = np.arange(len(numbers))
    begins = np.diff(numbers, prepend=-1) != 0
    return every - np.maximum.accumulate(every * begins)
