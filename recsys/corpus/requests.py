"""What is asked of a model in Python: ids, pairs and the length of lists.

Where a table is read, a cell that can't be an id is a row of its own with an error.
Here it is a mistake of the caller, told in one line.
"""

import math
import numbers
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from common.errors import UserError
from common.tables.whole_numbers import EXACT, is_inexact, whole_number_text

# Between ids that stand in one cell; a blank may be part of an id.
_BETWEEN = re.compile(r"[|,;]")


def read_id(value: Any, where: str) -> str:
    """The text of an id; a whole number is its digits, see `whole_numbers`.

    Args:
      value: text or a whole number.
      where: it stands, for the message.

    Raises:
      UserError: it is something else: empty, None, NaN, a fraction, a truth value, a
        float whose last digits are lost, a collection.
    """
    if isinstance(value, str):
        text = whole_number_text(value.strip())
        if text and not is_inexact(text):
            return text
    elif isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return str(int(value))
    elif isinstance(value, float | np.floating):
        number = float(value)
        if math.isfinite(number) and number.is_integer() and abs(number) < EXACT:
            return str(int(number))
    raise UserError(f"{where} is {_shown(value)}: an id is text or a whole number")


def read_ids(values: Any, what: str) -> list[str]:
    """The texts of ids, in their order.

    Args:
      values: ids, see `read_id`.
      what: the argument, for messages.

    Raises:
      UserError: values are no collection of ids.
    """
    return [
        read_id(value, f"{what}: entry {place} (counted from 0)")
        for place, value in enumerate(_entries(values, what, "ids"))
    ]


def read_pairs(values: Any, what: str) -> list[tuple[str, str]]:
    """The texts of (user, item) pairs, in their order.

    Args:
      values: pairs of ids.
      what: the argument, for messages.

    Raises:
      UserError: values are no collection of pairs of ids.
    """
    pairs = []
    for place, value in enumerate(_entries(values, what, "pairs (user, item)")):
        where = f"{what}: entry {place} (counted from 0)"
        row = isinstance(value, np.ndarray) and value.ndim == 1
        if not (row or isinstance(value, tuple | list)) or len(value) != 2:
            raise UserError(f"{where} is {_shown(value)}, not a pair (user, item)")
        user, item = value
        pairs.append(
            (read_id(user, f"{where}, its user"), read_id(item, f"{where}, its item"))
        )
    return pairs


def read_length(value: Any) -> int:
    """The length of lists.

    Raises:
      UserError: it is no whole number of at least 1.
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1:
        raise UserError(f"length={_shown(value)}: give a whole number of at least 1")
    return int(value)


def holds_several(text: str, known: Container[str]) -> bool:
    """Whether an unknown id looks like several in one: `i1|i2|i3` with a known part."""
    parts = [part.strip(" []()'\"") for part in _BETWEEN.split(text)]
    return len(parts) > 1 and any(whole_number_text(part) in known for part in parts)


def some(names: Sequence[str], count: int = 3) -> str:
    """The first names of many."""
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")


def _entries(values: Any, what: str, of: str) -> Iterable[Any]:
    if isinstance(values, str | bytes):
        raise UserError(f"{what}={_shown(values)} is one text: give a list of {of}")
    if isinstance(values, pd.DataFrame | Mapping):
        raise UserError(f"{what} is a {type(values).__name__}: give a list of {of}")
    try:
        return iter(values)
    except TypeError:
        raise UserError(f"{what}={_shown(values)}: give a list of {of}") from None


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:59] + "…"
