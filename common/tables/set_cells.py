"""Cells that hold a set: joined by a separator, or JSON as a marketplace's free
attribute map.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from common.tables.whole_numbers import whole_number_text

if TYPE_CHECKING:  # models import this module where pandas may be absent
    import pandas as pd

# Stands in a schema for the separator of a set whose cells are JSON.
SEPARATOR = "json"


def members(text: str, separator: str) -> list[str]:
    """The members of a set cell, blanks around them and empty ones removed.

    Whole numbers that are written as floats become their digits, see `whole_numbers`;
    a text in quotes within JSON is left as it is.

    Args:
      text: the cell.
      separator: what parts it; "json" for a JSON object or list, see `json_members`.

    Raises:
      ValueError: the cell is no such JSON; `table.check_rows` rejects its row.
    """
    if separator == SEPARATOR:
        return json_members(text)
    parts = map(str.strip, text.split(separator))
    return [whole_number_text(part) for part in parts if part]


def json_members(text: str) -> list[str]:
    """The members of a cell that holds a JSON object or a JSON list.

    An object gives a member "key: value" for each entry, and one for each value of an
    entry that is a list: {"Neck": "Polo", "Fabric": ["wool", "silk"]} gives "Neck:
    Polo", "Fabric: wool" and "Fabric: silk". A list gives its values. Blanks around
    keys and values are removed; numbers, true and false become text, 2.0 and 2 the
    same one; null, empty texts and empty lists give no member. Of equal keys in one
    object the last one counts.

    Raises:
      ValueError: with the reason, worded so that the cell may stand before it.
    """
    value = _parse(text)
    if isinstance(value, dict):
        return [
            f"{key.strip()}: {member}"
            for key, entry in value.items()
            for member in _texts(entry)
        ]
    if isinstance(value, list) or value is None:
        return _texts(value)
    raise ValueError("is neither a JSON object {…} nor a JSON list […]")


def find_faults(cells: pd.Series) -> dict[int, str]:
    """Finds the cells that `json_members` can't read.

    Args:
      cells: [N] text; empty cells are NaN.

    Returns:
      {position: reason}.
    """
    # Imported late: it needs pandas, which models do without.
    from common.tables.cells import quoted

    reasons = {}
    codes, uniques = cells.factorize()
    for code, text in enumerate(uniques):
        try:
            json_members(text)
        except ValueError as error:
            reasons[code] = f"{quoted(text)} {error}"
    if not reasons:
        return {}
    return {row: reasons[code] for row, code in enumerate(codes) if code in reasons}


def from_joined(text: str, separator: str) -> str:
    """The JSON text of a list that was joined; JSON is left as it is."""
    if text.startswith(("{", "[")):
        return text
    return json.dumps(text.split(separator), ensure_ascii=False)


def _parse(text: str) -> Any:
    try:
        value = json.loads(text)
        # Python reads more than JSON has, and more than can be written as UTF-8.
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        where = f"character {error.pos + 1}"
        raise ValueError(f"is not JSON: {error.msg} ({where})") from None
    except UnicodeEncodeError:
        raise ValueError("holds half a character (\\ud800…)") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError:
        raise ValueError("holds NaN, Infinity or a number of too many digits") from None
    return value


def _texts(entry: Any) -> list[str]:
    """The values of an entry, one or a list of them, as texts that are not empty."""
    values = entry if isinstance(entry, list) else [entry]
    return [text for text in map(_text, values) if text]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return whole_number_text(str(value))
    if isinstance(value, str | int):
        return str(value).strip()
    raise ValueError("nests objects or lists: give each entry a text or a number")
