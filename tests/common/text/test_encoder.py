import ast
import collections
import dataclasses
import itertools
import json
import sys
import types
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.serving import export
from common.text import encoder as text_encoder
from common.text import tokens as text_tokens
from common.text.encoder import BUCKETS, FIRST, MOST_ENTRIES, TextEncoder
from common.text.tokens import join, tokenize

TITLES = [
    "Gold ring 18k",
    "Antique gold ring, ruby",
    "Silver ring ring",
    None,
    "silver brooch 💍 真珠の指輪",
    "真珠 💍 gold",
    "",
]
ENCODER = TextEncoder.fit(TITLES)
TEXTS = st.lists(st.one_of(st.none(), st.text(), st.sampled_from(TITLES)), max_size=8)


def dense(encoder, encoded):
    matrix = np.zeros((len(encoded["ids"]), encoder.size))
    rows = np.arange(len(matrix))[:, None]
    np.add.at(matrix, (rows, encoded["ids"]), encoded["weights"])
    return matrix


def read_plainly(texts):
    """Of each text its (place, word or pair); word i has place 2 i."""
    for text in texts:
        tokens = tokenize(text) if isinstance(text, str) else []
        pairs = list(itertools.starmap(join, itertools.pairwise(tokens)))
        yield (
            [(2 * i, t) for i, t in enumerate(tokens)],
            [(2 * i + 1, t) for i, t in enumerate(pairs)],
        )


def fit_plainly(texts, most_terms, most_entries=MOST_ENTRIES):
    """`TextEncoder.fit` by counting in dictionaries."""
    read = [words + pairs for words, pairs in read_plainly(texts) if words]
    rows = collections.Counter()
    for entries in read:
        rows.update({term for _, term in entries})
    often = sorted((-n, term) for term, n in rows.items() if n > 1)[:most_terms]
    terms = [term for _, term in often]
    buckets, length = collections.Counter(), 1
    for entries in read:
        words = {term for place, term in entries if place % 2 == 0} - set(terms)
        rest = {1 + zlib.crc32(word.encode()) % BUCKETS for word in words}
        buckets.update(rest)
        length = max(length, len(rest | ({t for _, t in entries} & set(terms))))
    counts = [buckets[i] for i in range(1, FIRST)] + [-n for n, _ in often]
    return TextEncoder(
        tuple(terms), len(read), tuple(counts), min(length, most_entries)
    )


def encode_plainly(encoder, text):
    """(id, position, weight) of the entries of a text, by dictionaries."""
    index = {term: i + FIRST for i, term in enumerate(encoder.terms)}
    ((words, pairs),) = read_plainly([text])
    found = [
        (place, index.get(word) or 1 + zlib.crc32(word.encode()) % BUCKETS)
        for place, word in words
    ]
    found += [(place, index[pair]) for place, pair in pairs if pair in index]
    first = {}
    for place, number in sorted(found):
        first.setdefault(number, place)
    times = collections.Counter(number for _, number in found)
    weight = {number: times[number] * encoder.idf[number] for number in times}
    norm = np.sqrt(sum(value**2 for value in weight.values()))
    kept = sorted(first, key=lambda n: (-weight[n], first[n]))[: encoder.length]
    return [
        (number, first[number] // 2, weight[number] / norm)
        for number in sorted(kept, key=first.__getitem__)
    ]


WORDS = st.sampled_from([*"abcdefgh", "真", "珠", "18k", "Gold", "💍"])
SENTENCES = st.lists(
    st.one_of(st.none(), st.text(), st.lists(WORDS, max_size=12).map(" ".join)),
    max_size=12,
)


@given(SENTENCES, SENTENCES, st.integers(0, 20), st.integers(1, 9))
def test_it_is_counting_in_dictionaries(texts, others, most_terms, length):
    encoder = TextEncoder.fit(iter(texts), most_terms=most_terms)
    assert encoder == fit_plainly(texts, most_terms)
    encoder = dataclasses.replace(encoder, length=length)
    encoded = encoder.encode(others)
    for row, text in enumerate(others):
        expected = encode_plainly(encoder, text)
        ids, positions, weights = zip(*expected, strict=True) if expected else [()] * 3
        pad = (0,) * (length - len(expected))
        assert encoded["ids"][row].tolist() == [*ids, *pad]
        assert encoded["positions"][row].tolist() == [*positions, *pad]
        np.testing.assert_allclose(encoded["weights"][row], [*weights, *pad], rtol=1e-6)


def test_the_vocabulary_holds_what_two_rows_have_most_frequent_first():
    terms = ("gold", "ring", "gold ring", "silver", "珠", "真", "真珠", "💍")
    assert ENCODER.terms == terms
    assert ENCODER.counts[BUCKETS:] == (3, 3, 2, 2, 2, 2, 2, 2)
    assert ENCODER.texts == 5
    assert TextEncoder.fit(TITLES, most_terms=2).terms == terms[:2]


def test_entries_by_hand():
    encoder = TextEncoder.fit(["gold ring", "gold ring", "gold", "ring"])
    encoded = encoder.encode(["Ring, gold ring!", "zinc", None, float("nan"), "--"])
    gold = ring = np.log(5 / 4) + 1
    pair = np.log(5 / 3) + 1
    weights = np.array([2 * ring, gold, pair])
    assert encoder.length == 3
    ids = {"gold": FIRST, "ring": FIRST + 1, "gold ring": FIRST + 2}
    assert encoded["ids"][0].tolist() == [ids["ring"], ids["gold"], ids["gold ring"]]
    assert encoded["positions"][0].tolist() == [0, 1, 1]
    np.testing.assert_allclose(
        encoded["weights"][0], weights / np.linalg.norm(weights), rtol=1e-6
    )
    assert 0 < encoded["ids"][1, 0] < FIRST  # a bucket
    assert encoded["weights"][1].tolist() == [1, 0, 0]
    assert encoded["present"].tolist() == [1, 1, 0, 0, 0]
    assert not encoded["ids"][2:].any() and not encoded["weights"][2:].any()
    assert encoder.name_entries("Ring, gold ring!") == ["ring", "gold", "gold ring"]
    assert encoder.name_entries("zinc") == ["zinc"]
    assert encoder.name_entries(None) == []


def test_buckets_are_the_same_everywhere():
    """CRC-32 of "zinc" as zlib's and PNG's standard has it."""
    crc = 0xFFFFFFFF
    for byte in b"zinc":
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    bucket = 1 + (crc ^ 0xFFFFFFFF) % 256
    assert ENCODER.encode(["zinc"])["ids"][0, 0] == bucket


def test_weights_are_those_of_scikit_learn():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    rng = np.random.default_rng(0)
    words = np.array([*"abcdefghij", "真", "珠", "18", "💍", "кольцо"])
    titles = [" ".join(rng.choice(words, rng.integers(1, 12))) for _ in range(60)]
    # Words of one row each: the vocabulary leaves them to the buckets.
    titles = [
        f"{title} q{chr(97 + i % 26) * (i + 1)}" for i, title in enumerate(titles)
    ]
    encoder = TextEncoder.fit(titles[:40], most_terms=50)
    index = {term: i + FIRST for i, term in enumerate(encoder.terms)}

    def analyze(title):
        tokens = tokenize(title)
        found = encoder.encode(tokens)["ids"][:, 0]  # each by itself
        pairs = itertools.starmap(join, itertools.pairwise(tokens))
        known = [pair for pair in pairs if pair in index]
        return [f"{number}" for number in [*found, *(index[p] for p in known)]]

    vocabulary = list(map(str, range(encoder.size)))
    peer = text.TfidfVectorizer(analyzer=analyze, vocabulary=vocabulary)
    peer.fit(titles[:40])
    expected = peer.transform(titles).toarray()
    found = dense(encoder, encoder.encode(titles))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(encoder.terms) == 50 and (found[:, 1:FIRST] > 0).any()


def test_of_a_long_text_the_heaviest_entries_stay_in_order():
    long = " ".join(f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(100))
    encoder = TextEncoder.fit([long, long, "waa", "wba"])
    assert encoder.length == MOST_ENTRIES
    encoded = encoder.encode([long])
    # Two words stand in a third text, so they weigh least.
    assert not {"waa", "wba"} & set(encoder.name_entries(long))
    assert (np.diff(encoded["positions"][0]) >= 0).all()
    whole = 2 * 100 - 1
    assert np.linalg.norm(encoded["weights"]) < np.sqrt(MOST_ENTRIES / whole) * 1.01


@given(TEXTS)
def test_any_text_has_an_encoding_of_its_own(texts):
    encoded = ENCODER.encode(texts)
    norms = np.linalg.norm(encoded["weights"], axis=1)
    assert (norms <= 1 + 1e-6).all() and (encoded["ids"] < ENCODER.size).all()
    for row, text in enumerate(texts):
        alone = ENCODER.encode([text])
        for key, value in encoded.items():
            np.testing.assert_array_equal(value[row], alone[key][0])
        named = ENCODER.name_entries(text)
        assert len(named) == (encoded["ids"][row] != 0).sum()
        assert bool(named) == bool(encoded["present"][row])


@given(TEXTS)
def test_json_gives_an_equal_encoder(texts):
    encoder = TextEncoder.fit(texts)
    again = TextEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder
    for key, value in encoder.encode(texts).items():
        np.testing.assert_array_equal(value, again.encode(texts)[key])


def test_an_export_can_carry_the_very_modules():
    source = export.join_modules("Texts.", (text_tokens, text_encoder))
    imported = {
        name.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    tops = {name.partition(".")[0] for name in imported}
    assert tops - {"numpy"} <= sys.stdlib_module_names
    copied = types.ModuleType("copied_texts")
    sys.modules["copied_texts"] = copied  # dataclasses look their module up
    try:
        exec(source, copied.__dict__)  # noqa: S102 - our own source
    finally:
        del sys.modules["copied_texts"]
    again = copied.TextEncoder.from_json(ENCODER.to_json())
    for key, value in ENCODER.encode(TITLES).items():
        np.testing.assert_array_equal(again.encode(TITLES)[key], value)


@pytest.mark.parametrize("value", [{}, [], {"terms": ["a"], "counts": [1], "texts": 1}])
def test_damaged_json_is_refused(value):
    with pytest.raises(ValueError, match="no encoder of texts"):
        TextEncoder.from_json(value)
