"""Trained vectors of words, for tables of words to start from."""

import pathlib
from collections.abc import Sequence

import numpy as np

from common.errors import UserError
from common.text.encoder import FIRST, PADDING, TextEncoder


def vectors_of(terms: Sequence[str]) -> np.ndarray:
    """Vectors float32 [n, 256] of words and pairs: means over their tokens.

    Source: WordLlama, token vectors of a language model, 256 numbers each.

    Raises:
      UserError: the package is not installed.
    """
    try:
        import wordllama
    except ImportError:
        raise UserError(
            "--attributes.word_vectors=wordllama needs its package: pip install wordllama"
        ) from None
    # The package looks for the tokenizer that it brings in its cache alone.
    brought = pathlib.Path(wordllama.__file__).parent
    model = wordllama.WordLlama.load(cache_dir=brought, disable_download=True)
    return np.asarray(model.embed([*terms], norm=False), np.float32)


def start_table(encoder: TextEncoder, width: int, seed: int) -> np.ndarray:
    """Rows float32 [size, D] for the ids of an encoder, alike for like words.

    Vectors of the terms, each number standardised over them, are projected by a random
    matrix to the width, where they have unit variance as random rows have. Buckets of
    unknown words stay random; padding is zero.

    Args:
      encoder: of the texts.
      width: D.
      seed: of the projection and of the random rows.
    """
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((encoder.size, width), np.float32)
    rows[PADDING] = 0
    if encoder.terms:
        vectors = vectors_of(encoder.terms)
        vectors = (vectors - vectors.mean(0)) / np.maximum(vectors.std(0), 1e-6)
        project = rng.standard_normal((vectors.shape[1], width), np.float32)
        rows[FIRST:] = vectors @ project / np.sqrt(vectors.shape[1])
    return rows
