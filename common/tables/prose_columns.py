"""Which columns of free text are worth reading: titles and descriptions."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from common.tables.cells import parse_number
from common.tables.prices import plain_number, split_currency
from common.text.tokens import tokenize

_WORDS = 3  # a row, at least, on average: fewer are names
_ROWS = 2000  # that are looked at
_ECHOES = 0.05  # share of rows, beyond chance, that may hold their own price


def choose(columns: Iterable[pd.Series], prices: pd.Series | None) -> dict[str, str]:
    """Chooses the columns of several words a row.

    Args:
      columns: [N] text each, of many different values.
      prices: [N] text, the target; None where there is none.

    Returns:
      {name of a column: why it must not be read, "" for one to be read}; columns of
      few words are not named.
    """
    chosen = {}
    for cells in columns:
        filled = cells[cells.notna()]
        filled = filled.iloc[:: -(-len(filled) // _ROWS) or 1]
        tokens = [tokenize(text) for text in filled]
        words = sum(token[0].isalpha() for row in tokens for token in row)
        if words >= _WORDS * len(tokens) > 0:
            chosen[str(cells.name)] = _find_echo(tokens, filled.index, prices)
    return chosen


def _find_echo(
    tokens: list[list[str]], index: pd.Index, prices: pd.Series | None
) -> str:
    """A reason where rows hold their own price more often than that of another row."""
    if prices is None:
        return ""
    numbers = [
        {_number(token) for token in row if token[0].isdigit()} for row in tokens
    ]
    own = [
        _number(cell) if isinstance(cell, str) else None for cell in prices.loc[index]
    ]
    others = [*own[1:], *own[:1]]
    told, by_chance = (
        np.mean(
            [
                price is not None and price in row
                for price, row in zip(each, numbers, strict=True)
            ]
        )
        for each in (own, others)
    )
    if told - by_chance <= _ECHOES:
        return ""
    return f"text that tells the price: {told:.0%} of the rows hold their own"


def _number(text: str) -> float | None:
    text, factor = plain_number(split_currency(text)[0])
    try:
        return factor * parse_number(text)
    except ValueError:
        return None
