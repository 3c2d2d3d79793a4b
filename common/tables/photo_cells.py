"""Cells that name photos: one, several with a separator between them, or a list.

An exported model takes this file along, so it needs nothing else of the tree.
"""

import json
import re

# Stand in a schema for separators: of cells that hold a list, of names between blanks.
LIST = "json"
BLANKS = " "

_ENTRY = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|None|nan"""
# As Python prints a list; NumPy prints an array without the commas.
_PYTHON_LIST = re.compile(rf"\[\s*(?:(?:{_ENTRY})(?:\s*,\s*|\s+|(?=\])))*\]", re.DOTALL)


def names(text: str, separator: str) -> list[str]:
    """The names of the photos in a cell, blanks around them and empty ones removed.

    Args:
      text: the cell.
      separator: what parts it; " " for any blanks; "json" for a list as JSON or Python
        writes it, ["a.jpg"] or ['a.jpg'], where a cell that does not begin with [ is
        one name; "" for one name a cell.

    Raises:
      ValueError: the cell is no such list; worded so that the cell may stand before it.
    """
    if separator == LIST and text.startswith("["):
        parts = _listed(text)
    elif separator in ("", LIST):
        parts = [text]
    else:
        parts = text.split(None if separator == BLANKS else separator)
    return [part for part in map(str.strip, parts) if part]


def from_joined(text: str, joint: str, separator: str) -> str:
    """A list that was joined by `joint`, written as `separator` wants it."""
    if separator == LIST:
        is_list = text.startswith("[")
        return text if is_list else json.dumps(text.split(joint), ensure_ascii=False)
    return text.replace(joint, separator) if separator else text


def _listed(text: str) -> list[str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if _PYTHON_LIST.fullmatch(text):
            entries = re.findall(_ENTRY, text, re.DOTALL)
            quoted = [entry[1:-1] for entry in entries if entry[0] in "'\""]
            return [re.sub(r"\\(.)", r"\1", entry) for entry in quoted]
        value = None
    if not isinstance(value, list) or not all(map(_may_be_name, value)):
        raise ValueError('is no list of names such as ["a.jpg", "b.jpg"]')
    return [str(entry) for entry in value if entry is not None]


def _may_be_name(entry: object) -> bool:
    return entry is None or isinstance(entry, str | int) and not isinstance(entry, bool)
