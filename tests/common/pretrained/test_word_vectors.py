import sys
import types

import numpy as np
import pytest

from common.errors import UserError
from common.pretrained import word_vectors
from common.text.encoder import FIRST, PADDING, TextEncoder

TITLES = ["gold ring", "gold ring", "silver spoon", "silver spoon", "a ring", "a spoon"]


class WordLlama:
    """Stands in for the package: a vector a term, that of a pair between its words'."""

    @classmethod
    def load(cls, cache_dir, disable_download):
        assert disable_download and (cache_dir / "tokenizers").name == "tokenizers"
        return cls()

    def embed(self, texts, norm):
        words = {
            word: np.random.default_rng(sum(map(ord, word))).normal(size=256)
            for text in texts
            for word in text.split()
        }
        return np.array([np.mean([words[w] for w in t.split()], 0) for t in texts])


def test_like_words_start_alike(monkeypatch):
    package = types.SimpleNamespace(WordLlama=WordLlama, __file__="/at/__init__.py")
    monkeypatch.setitem(sys.modules, "wordllama", package)
    encoder = TextEncoder.fit(TITLES)
    table = word_vectors.start_table(encoder, 400, seed=1)
    assert table.shape == (encoder.size, 400) and not table[PADDING].any()
    rows = dict(zip(encoder.terms, table[FIRST:], strict=True))

    def likeness(one, other):
        return np.corrcoef(rows[one], rows[other])[0, 1]

    assert likeness("gold ring", "ring") > 0.4 > likeness("spoon", "ring")
    # Rows of the vocabulary have the scale of those that stay random.
    assert np.std(table[FIRST:]) == pytest.approx(np.std(table[1:FIRST]), rel=0.1)
    again = word_vectors.start_table(encoder, 400, seed=1)
    np.testing.assert_array_equal(again, table)


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "wordllama", None)
    with pytest.raises(UserError, match="pip install wordllama"):
        word_vectors.vectors_of(["gold"])


def test_the_package_knows_its_words():
    pytest.importorskip("wordllama")
    vectors = word_vectors.vectors_of(["brooch", "brooch pin", "18"])
    assert vectors.shape == (3, 256)
    similar, other = np.corrcoef(vectors)[0, 1:]
    assert similar > 0.6 and other < 0.3
