import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.text.tokens import join, tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \t!?—… ", []),
        ("Antique GOLD Ring", ["antique", "gold", "ring"]),
        ("ＧＯＬＤ", ["gold"]),
        ("Größe GROSSE", ["grösse", "grosse"]),
        ("café cafe\u0301", ["café", "café"]),
        ("ﬁne", ["fine"]),
        ("gold\u00adring", ["goldring"]),
        ("Золотое КОЛЬЦО", ["золотое", "кольцо"]),
        ("χρυσό δαχτυλίδι", ["χρυσό", "δαχτυλίδι"]),
        ("सोने की अंगूठी", ["सोने", "की", "अंगूठी"]),
        ("금반지 한국", ["금반지", "한국"]),
        ("خاتم ذهب ١٨", ["خاتم", "ذهب", "18"]),
        ("真珠の指輪 18金", ["真", "珠", "の", "指", "輪", "18", "金"]),
        ("ルビー", ["ル", "ビ", "ー"]),
        ("ทอง", ["ท", "อ", "ง"]),
        ("18k 0.5ct 1,5 g 50%", ["18", "k", "0.5", "ct", "1,5", "g", "50", "%"]),
        ("1/2 ct, 7½", ["1/2", "ct", "7", "1/2"]),
        ("12cm² no. 3.", ["12", "cm", "2", "no", "3"]),
        ("a_b women's", ["a", "b", "women", "s"]),
        ("💍gold✨ ring", ["💍", "gold", "✨", "ring"]),
        ("❤️ ❤", ["❤", "❤"]),
        ("👩🏽\u200d🎨🇯🇵🇮🇹", ["👩🏽\u200d🎨", "🇯🇵", "🇮🇹"]),
        ("\ud800 ring", ["ring"]),
    ],
)
def test_tokens_of_a_text(text, tokens):
    assert tokenize(text) == [unicodedata.normalize("NFKC", token) for token in tokens]


@pytest.mark.parametrize(
    ("left", "right", "pair"),
    [
        ("gold", "ring", "gold ring"),
        ("ring", "18", "ring 18"),
        ("真", "珠", "真珠"),
        ("珠", "ring", "珠 ring"),
        ("ring", "指", "ring 指"),
        ("золотое", "кольцо", "золотое кольцо"),
    ],
)
def test_pairs_of_neighbours(left, right, pair):
    assert join(left, right) == pair


@given(st.text())
def test_no_token_spans_blanks(text):
    assert tokenize(text) == [
        token for piece in text.split() for token in tokenize(piece)
    ]


@given(st.text())
def test_tokens_of_tokens_are_the_same(text):
    tokens = tokenize(text)
    assert all(tokens)
    assert tokenize(" ".join(tokens)) == tokens


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_is_read_as_all_text_is(text):
    assert tokenize(f"{text} ж") == [*tokenize(text), "ж"]
