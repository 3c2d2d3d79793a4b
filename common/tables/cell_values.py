"""Python values as the text that stands for them in the cells of a table."""

import decimal
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from common.errors import UserError
from common.tables.whole_numbers import whole_number_text

LISTS = (list, tuple, set, frozenset, np.ndarray)
LIST_SEPARATOR = "|"  # joins the members of a list that becomes text


def cell_text(value: Any, where: str) -> str | None:
    """The text of a value, None for an empty cell.

    None and NaN are empty cells, the members of a list are joined by "|", a mapping
    becomes its JSON text, True becomes true, 2.0 becomes 2 (see `whole_numbers`),
    everything else its `str`.

    Args:
      value: that a row holds.
      where: it stands, for messages.

    Raises:
      UserError: a list's member holds "|", or the value is nested too deeply.
    """
    try:
        if isinstance(value, Mapping):
            return _encodable(json.dumps(_json_value(value), ensure_ascii=False))
        return _joined(value, where) if isinstance(value, LISTS) else _text(value)
    except RecursionError as error:
        raise UserError(f"{where}: a value is nested too deeply") from error


def _joined(values: Any, where: str) -> str:
    members = [cell_text(member, where) or "" for member in values]
    if any(LIST_SEPARATOR in member for member in members):
        raise UserError(f"{where}: a list's member holds {LIST_SEPARATOR!r}")
    return LIST_SEPARATOR.join(members)


def _json_value(value: Any) -> Any:
    """The value with mappings as dicts, lists as lists and all else as text."""
    if isinstance(value, Mapping):
        return {str(key): _json_value(entry) for key, entry in value.items()}
    if isinstance(value, LISTS):
        return [_json_value(entry) for entry in value]
    return _text(value)


def _text(value: Any) -> str | None:
    if pd.isna(value):
        return None
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    text = str(value)
    if isinstance(value, float | np.floating):
        text = whole_number_text(text)
    elif isinstance(value, decimal.Decimal) and value == value.to_integral_value():
        text = f"{value:.0f}"  # exact at any size
    return _encodable(text)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
