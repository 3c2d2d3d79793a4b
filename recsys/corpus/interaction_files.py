"""Tables of one's own interactions, and their numbering together with the items'."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.data.table_files import open_table
from common.errors import UserError
from common.tables.cells import parse_column, parse_number, parse_time, quoted
from common.tables.faults import (
    Faults,
    Rejection,
    check_rejected,
    in_order,
    write_rejected,
)
from common.tables.table import Table
from recsys.corpus.config import Uneven
from recsys.corpus.interactions import Interactions
from recsys.corpus.item_files import ItemTable, reject_collisions
from recsys.corpus.tree import CategoryTree

# Times that need no closer look: ISO dates whose microseconds a float64 holds, and
# seconds of the years 1973 to 5138.
_DATE = (
    r"(19|20)[0-9]{2}(-[0-9]{2}){2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?"
)
_SECONDS = r"[0-9]{9,11}(\.[0-9]+)?"
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_FAR = "outside the years 1 to 9999: seconds or milliseconds since 1970 are read"


@dataclasses.dataclass(frozen=True, eq=False)
class InteractionTable:
    """Interactions as a file names them.

    Attributes:
      path: of the file.
      item_column: its column of items.
      users: text [N].
      items: text [N].
      times: float64 [N], seconds since 1970; None without a column of times.
      weights: float64 [N], above 0; None without a column of weights.
      line: int64 [N], where each row starts in the file, see `tables.Table`.
      rejected: rows that are not among the N, in the order of the file.
    """

    path: str
    item_column: str
    users: pd.Series
    items: pd.Series
    times: np.ndarray | None
    weights: np.ndarray | None
    line: np.ndarray
    rejected: list[Rejection]


@dataclasses.dataclass(frozen=True, eq=False)
class Assembled:
    """Interactions and items, numbered.

    Attributes:
      interactions: of users 0 to U - 1 with items 0 to I - 1; pairs may repeat.
      user_ids: text [U], sorted; those with an interaction that was kept.
      item_ids: text [I], in the order of the table; with interactions or without.
      tree: of the categories.
      leaf_of_item: int32 [I].
      feature_rows: int64 [I], each item's row in the array of features; None for their
        order.
      rejected: rows of both files that were left out, items first.
      rejected_items: how many of these are items.
    """

    interactions: Interactions
    user_ids: np.ndarray
    item_ids: np.ndarray
    tree: CategoryTree
    leaf_of_item: np.ndarray
    feature_rows: np.ndarray | None = None
    rejected: Sequence[Rejection] = ()
    rejected_items: int = 0


def read_interactions(
    path: str | os.PathLike | Table,
    user: str = "user",
    item: str = "item",
    time: str = "",
    weight: str = "",
) -> InteractionTable:
    """Reads who interacted with what, one interaction a row.

    Ids are texts; a whole number is its digits however it is written, see
    `whole_numbers`. Times are ISO dates or seconds (milliseconds)
    since 1970, see `cells.parse_time`. Rows without a user, an item or, where a column
    of these is named, a time or a weight above 0 are rejected.

    Args:
      path: of a file as `tables.read_table` reads it; or a table that was read.
      user: column of the user's id.
      item: column of the item's id.
      time: column of the time; "" for none.
      weight: column of what each counts, such as how often or how long; "" for none.

    Raises:
      UserError: the file can't be read as a whole, or a column is missing.
    """
    table = open_table(path, [user, item], [name for name in (time, weight) if name])
    faults = Faults(table)
    faults.note_ids(user)
    faults.note_ids(item)
    times = _read_times(faults, time) if time else None
    weights = _read_weights(faults, weight) if weight else None
    good = faults.good
    return InteractionTable(
        table.path,
        item,
        table.frame[user][good].reset_index(drop=True),
        table.frame[item][good].reset_index(drop=True),
        None if times is None else times[good],
        None if weights is None else weights[good],
        table.line[good],
        faults.rejections(),
    )


def assemble(
    interactions: InteractionTable,
    items: ItemTable,
    uneven: Uneven = "refuse",
    *,
    max_rejected_fraction: float = 0.05,
    rejected_file: str | os.PathLike | None = None,
) -> Assembled:
    """Numbers users and items and builds the category tree.

    Interactions with items that are not in the table of items are rejected, and items
    whose category, repeated, runs into another one; see `item_files.reject_collisions`.

    Args:
      interactions: as read.
      items: as read; all of them are candidates.
      uneven: what becomes of paths of unequal depth, see `CategoryTree.from_paths`.
      max_rejected_fraction: share of each file's rows that may be rejected.
      rejected_file: where the rejected rows are listed, also where they are too many;
        None for nowhere.

    Raises:
      UserError: too many rows of a file are rejected or all, or the categories are no
        tree.
    """
    if uneven == "repeat":
        items = reject_collisions(items)
    codes, distinct = interactions.items.factorize()
    item_ids = items.ids.to_numpy(object)
    number = pd.Index(item_ids, dtype=object).get_indexer(distinct.astype(object))
    item_numbers = number[codes]
    known = item_numbers >= 0
    unfit = in_order([*interactions.rejected, *_unknown(interactions, items, ~known)])
    rejected = [*items.rejected, *unfit]
    if rejected_file is not None:
        write_rejected(rejected_file, rejected)
    limit = max_rejected_fraction
    check_rejected(items.rejected, len(item_ids), limit, rejected_file)
    check_rejected(unfit, int(known.sum()), limit, rejected_file)
    users, user_ids = interactions.users[known].factorize(sort=True)
    times, weights = (
        None if column is None else column[known]
        for column in (interactions.times, interactions.weights)
    )
    tree, leaf = _build_tree(items, uneven)
    return Assembled(
        Interactions(
            users.astype(np.int32),
            item_numbers[known].astype(np.int32),
            times,
            weights,
        ),
        user_ids.to_numpy(object).astype(str),
        item_ids.astype(str),
        tree,
        leaf,
        items.feature_rows,
        rejected,
        len(items.rejected),
    )


def _unknown(
    interactions: InteractionTable, items: ItemTable, rows: np.ndarray
) -> list[Rejection]:
    lines, texts = interactions.line[rows].tolist(), interactions.items[rows]
    return [
        Rejection(
            interactions.path,
            line,
            interactions.item_column,
            f"unknown item {quoted(text)}: not among those of {items.path}",
        )
        for line, text in zip(lines, texts, strict=True)
    ]


def _read_times(faults: Faults, column: str) -> np.ndarray:
    """Seconds since 1970, float64 [N]; NaN where the row is faulty."""
    cells = faults.table.frame[column]
    times = np.full(len(cells), np.nan)
    seconds = cells.str.fullmatch(_SECONDS).to_numpy(bool)
    times[seconds] = cells[seconds].astype(np.float64)
    dates = cells.str.fullmatch(_DATE).to_numpy(bool)
    moments = pd.to_datetime(cells[dates], format="ISO8601", errors="coerce")
    micros = moments.to_numpy("datetime64[us]").astype(np.int64)
    times[dates] = np.where(moments.notna(), micros / 1e6, np.nan)
    # The rest one by one, slowly: other spellings, and what is wrong with each.
    rest = np.flatnonzero(np.isnan(times))
    times[rest], wrong = parse_column(cells.iloc[rest], parse_time)
    faults.note(column, rest[list(wrong)], wrong.values())
    empty = rest[np.isnan(times[rest])]
    faults.note(column, empty, "an empty cell where a time must stand")
    far = np.flatnonzero((times < _FIRST_SECOND) | (times > _LAST_SECOND))
    reasons = [f"{quoted(text)} lies {_FAR}" for text in cells.iloc[far]]
    faults.note(column, far, reasons)
    return times


def _read_weights(faults: Faults, column: str) -> np.ndarray:
    """Weights above 0, float64 [N]; where a cell has none the row is faulty."""
    cells = faults.table.frame[column]
    weights, wrong = parse_column(cells, parse_number)
    faults.note(column, list(wrong), wrong.values())
    rest = ~np.isin(np.arange(len(cells)), list(wrong))
    none = np.flatnonzero(rest & ~(np.isfinite(weights) & (weights > 0)))
    reasons = [
        f"{quoted(text)}: a weight is a number above 0"
        if isinstance(text, str)
        else "an empty cell where a weight must stand"
        for text in cells.iloc[none]
    ]
    faults.note(column, none, reasons)
    return weights


def _build_tree(items: ItemTable, uneven: Uneven) -> tuple[CategoryTree, np.ndarray]:
    """The tree and the leaf of each item; errors name lines of the file."""
    try:
        return CategoryTree.from_paths(
            items.categories,
            uneven=uneven,
            name_item=lambda row: f"line {items.line[row]}",
        )
    except UserError as error:
        raise UserError(f"{items.path}, {error}") from None
