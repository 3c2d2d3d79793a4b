"""Which items of a catalogue may stand in lists: some by name, those of a category."""

import difflib
import functools
from collections.abc import Iterable, Sequence
from typing import NoReturn

import numpy as np
import pandas as pd

from common.errors import UserError
from common.tables.cells import quoted
from common.tables.whole_numbers import whole_number_text
from recsys.corpus import requests
from recsys.corpus.corpus import Catalogue
from recsys.corpus.item_files import SEPARATOR
from recsys.corpus.tree import CategoryTree

SEVERAL = "|"  # between categories of one text
_NEAR = 3  # names that a message gives


def choose(
    catalogue: Catalogue,
    item_ids: pd.Index,
    items: Iterable[str] | None,
    category: str | Iterable[str] | None,
) -> tuple[np.ndarray | None, list[str]]:
    """The items that may be shown.

    Args:
      catalogue: of all.
      item_ids: text [I] of it.
      items: their ids; None for all.
      category: as of `find_category`; None for all.

    Returns:
      (numbers int32 [S], ascending, of those that are in both; None for all of the
      catalogue, ids that it does not have).

    Raises:
      UserError: items or category are not as said, or none is left.
    """
    chosen: list[np.ndarray] = []
    unknown: list[str] = []
    if items is not None:
        asked = requests.read_ids(items, "items")
        numbers, unknown = find_items(item_ids, asked)
        chosen.append(numbers)
    if category is not None:
        chosen.append(find_category(catalogue, category))
    if not chosen:
        return None, []
    shown = functools.reduce(np.intersect1d, chosen)
    if not len(shown):
        raise UserError(f"none of the items that may be shown is in {category!r}")
    return shown, unknown


def describe_unknown(unknown: Sequence[str], source: str) -> str:
    """What is said of ids that the catalogue does not have."""
    some = requests.some(unknown)
    return (
        f"{len(unknown):,} of the items that may be shown ({source}) are not in the"
        f" catalogue: {some}"
    )


def find_items(
    item_ids: pd.Index, asked: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
    """The items with some ids.

    Args:
      item_ids: text [I] of the catalogue.
      asked: ids.

    Returns:
      (numbers int32 [S], ascending; ids that the catalogue does not have, each once).

    Raises:
      UserError: it has none of them.
    """
    distinct = list(dict.fromkeys(asked))
    numbers = item_ids.get_indexer(pd.Index(distinct, dtype=object))
    unknown = [
        name for name, number in zip(distinct, numbers, strict=True) if number < 0
    ]
    if len(unknown) == len(distinct):
        such = f", such as {', '.join(distinct[:_NEAR])}," if distinct else ""
        raise UserError(
            f"none of the {len(distinct):,} items that may be shown{such} is in the"
            f" catalogue, with items such as {', '.join(item_ids[:_NEAR])}"
        )
    return np.unique(numbers[numbers >= 0]).astype(np.int32), unknown


def find_category(catalogue: Catalogue, category: str | Iterable[str]) -> np.ndarray:
    """The items of a category, at whatever level, or of any of several.

    Args:
      catalogue: with its tree.
      category: path from the top, "Women > Shoes"; several by "|" or as a list. A name
        may hold a comma, and in a list a "|".

    Returns:
      Numbers int32 [S], ascending.

    Raises:
      UserError: there is no such category, with the nearest names; or no item in it.
    """
    leaves = _find_leaves(catalogue.tree, category)
    items = np.flatnonzero(leaves[catalogue.leaf_of_item]).astype(np.int32)
    if not len(items):
        raise UserError(f"category {category!r}: the catalogue has no item in it")
    return items


def _find_leaves(tree: CategoryTree, category: str | Iterable[str]) -> np.ndarray:
    """Whether each leaf is in one of the categories, bool [C]."""
    nodes: dict[str, list[int]] = {}
    for leaf, path in enumerate(tree.leaves):
        for level in range(1, len(path) + 1):
            nodes.setdefault(_tidy(SEPARATOR.join(path[:level])), []).append(leaf)
    if not isinstance(category, str):
        names = requests.read_ids(category, "category")
    elif _tidy(category) in nodes:
        names = [category]
    else:
        names = category.split(SEVERAL)
    chosen = np.zeros(tree.leaf_count, bool)
    for name in names:
        if _tidy(name) not in nodes:
            _refuse(name.strip(), list(nodes))
        chosen[nodes[_tidy(name)]] = True
    return chosen


def _tidy(path: str) -> str:
    """A path with one blank around each ">"."""
    parts = path.split(SEPARATOR)
    return f" {SEPARATOR} ".join(whole_number_text(part.strip()) for part in parts)


def _refuse(name: str, known: list[str]) -> NoReturn:
    """Says which categories have a name like this one."""
    plain = {path.casefold(): path for path in known}
    asked = _tidy(name).casefold()
    same = [path for path in known if path.casefold().endswith(f" {SEPARATOR} {asked}")]
    close = difflib.get_close_matches(asked, plain, n=_NEAR)
    near = list(dict.fromkeys([*same, *(plain[text] for text in close)]))[:_NEAR]
    if near:
        hint = f"did you mean {' or '.join(map(repr, near))}?"
    else:
        tops = [path for path in known if SEPARATOR not in path]
        hint = f"at the top are {', '.join(map(repr, tops[:_NEAR]))}" + (
            ", …" if len(tops) > _NEAR else ""
        )
    raise UserError(f"there is no category {quoted(name, 80)}; {hint}")
