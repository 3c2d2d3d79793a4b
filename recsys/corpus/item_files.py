"""Tables of one's own items: ids, categories, and where the features stand."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.data.table_files import open_table
from common.errors import UserError
from common.tables.cells import quoted
from common.tables.faults import Faults, Rejection, in_order
from common.tables.table import Table
from common.tables.whole_numbers import whole_number_text
from recsys.corpus.tree import Path

CATEGORY = ("level1", "level2", "level3")
SEPARATOR = ">"


@dataclasses.dataclass(frozen=True, eq=False)
class ItemTable:
    """Items as a file names them, each once.

    Attributes:
      path: of the file.
      ids: text [I], in the order of the file.
      categories: [I] path of each item's category from the top, none of them empty.
      feature_rows: int64 [I], each item's row in the array of features.
      line: int64 [I], where each row starts in the file, see `tables.Table`.
      rejected: rows that are not among the I, in the order of the file.
    """

    path: str
    ids: pd.Series
    categories: list[Path]
    feature_rows: np.ndarray
    line: np.ndarray
    rejected: list[Rejection]


def read_items(
    path: str | os.PathLike | Table,
    item: str = "item",
    category: str | Sequence[str] = CATEGORY,
    features_row: str = "",
    *,
    separator: str = SEPARATOR,
    feature_count: int | None = None,
) -> ItemTable:
    """Reads the items and their categories, one item a row.

    A category path may end early: empty cells at its end are cut off. Rejected are rows
    without an id or a category, with an id that has lost digits, with a gap in the path, without a row of features
    where a column of them is named, and all good rows of an item but the first.

    Args:
      path: of a file as `tables.read_table` reads it; or a table that was read.
      item: column of the item's id.
      category: columns of the category path from the top; or one column with all of it.
      features_row: column of the row in the array of features, counted from 0; ""
        where the array has the order of the table, rejected rows included.
      separator: stands between the levels where there is one column, as in
        "Women > Shoes"; "" for one level.
      feature_count: rows of the array. Give it wherever there is one: a table that the
        array does not belong to is found by it.

    Raises:
      UserError: the file can't be read as a whole, a column is missing, or the array
        has not one row for each row of the table.
    """
    columns = [category] if isinstance(category, str) else list(category)
    if not columns:
        raise UserError(f"{path}: no column of categories: name one or more")
    table = open_table(path, [item, *columns], [features_row] if features_row else [])
    faults = Faults(table)
    faults.note_ids(item)
    codes, paths = _read_categories(faults, columns, separator)
    if features_row:
        rows = _read_rows(faults, features_row, feature_count)
    else:
        rows = _count_rows(table, feature_count)
    _note_repeats(faults, item, codes, paths)
    good = faults.good
    return ItemTable(
        table.path,
        table.frame[item][good].reset_index(drop=True),
        [paths[code] for code in codes[good].tolist()],
        rows[good],
        table.line[good],
        faults.rejections(),
    )


def reject_collisions(items: ItemTable) -> ItemTable:
    """Rejects items whose repeated category is a category of its own elsewhere.

    With A > A in the table, an item of A alone can't be told from those of A > A once
    its path is filled up to the depth of the others. `CategoryTree.from_paths` would
    stop there.
    """
    distinct = set(items.categories)
    levels = max(map(len, distinct), default=0)
    nodes = {path[:k] for path in distinct for k in range(1, len(path) + 1)}
    collisions: dict[Path, Path] = {}
    for path in distinct:
        filled = (path + path[-1:] * k for k in range(1, levels - len(path) + 1))
        if node := next((node for node in filled if node in nodes), None):
            collisions[path] = node
    if not collisions:
        return items
    keep = np.array([path not in collisions for path in items.categories])
    lost = [
        Rejection(
            items.path,
            int(items.line[row]),
            "",
            f"{join(path)}, repeated, runs into the category {join(collisions[path])}",
        )
        for row, path in enumerate(items.categories)
        if path in collisions
    ]
    return ItemTable(
        items.path,
        items.ids[keep].reset_index(drop=True),
        [path for path in items.categories if path not in collisions],
        items.feature_rows[keep],
        items.line[keep],
        in_order([*items.rejected, *lost]),
    )


def join(path: Path) -> str:
    """A category path as messages quote it."""
    return quoted(" > ".join(path), 80)


def _read_categories(
    faults: Faults, columns: Sequence[str], separator: str
) -> tuple[np.ndarray, list[Path]]:
    """Which of the distinct category paths each row has, int64 [N], and these."""
    frame = faults.table.frame
    codes = np.zeros(len(frame), np.int64)
    for column in columns:
        level_codes, distinct = frame[
            column
        ].factorize()  # an empty cell has the code -1
        codes = pd.factorize(codes * (len(distinct) + 1) + level_codes + 1)[0]
    _, first = np.unique(codes, return_index=True)
    paths = []
    cells = frame[list(columns)].iloc[first].itertuples(index=False, name=None)
    for code, row in enumerate(cells):
        names = [cell if isinstance(cell, str) else "" for cell in row]
        if len(columns) == 1 and separator:
            parts = map(str.strip, names[0].split(separator))
            names = list(map(whole_number_text, parts))
        while names and not names[-1]:
            names.pop()
        paths.append(tuple(names))
        if not names:
            faults.note(columns[0], np.flatnonzero(codes == code), "no category")
        elif "" in names:
            level = names.index("")
            below = next(name for name in names[level:] if name)
            column = columns[level] if len(columns) > 1 else columns[0]
            reason = f"no category at level {level + 1}, but {quoted(below)} below it"
            faults.note(column, np.flatnonzero(codes == code), reason)
    return codes, paths


def _read_rows(faults: Faults, column: str, count: int | None) -> np.ndarray:
    """Rows of the features, int64 [N]; 0 where the row is faulty."""
    cells = faults.table.frame[column]
    whole = cells.str.fullmatch(r"[0-9]{1,15}(\.0*)?").to_numpy(bool)
    wrong = np.flatnonzero(~whole)
    texts = [
        quoted(c) if isinstance(c, str) else "an empty cell" for c in cells[~whole]
    ]
    faults.note(column, wrong, [f"{text} is no row of the features" for text in texts])
    rows = np.zeros(len(cells), np.int64)
    rows[whole] = cells[whole].astype(np.float64)
    if count is not None:
        far = np.flatnonzero(rows >= count)
        reasons = [f"there is no row {row} of {count} features" for row in rows[far]]
        faults.note(column, far, reasons)
    return rows


def _count_rows(table: Table, count: int | None) -> np.ndarray:
    """Position of each row among all rows of the file, int64 [N]."""
    unread = np.array([rejection.line for rejection in table.rejected], np.int64)
    total = len(table.line) + len(unread)
    if count is not None and total != count:
        raise UserError(
            f"{table.path}: {total} rows for {count} rows of features: give the table"
            " that belongs to them, or name the column of their rows (features_row)"
        )
    return np.arange(len(table.line)) + np.searchsorted(np.sort(unread), table.line)


def _note_repeats(
    faults: Faults, column: str, codes: np.ndarray, paths: Sequence[Path]
) -> None:
    """Notes the good rows of each item but the first."""
    good = np.flatnonzero(faults.good)
    item_codes, _ = faults.table.frame[column].iloc[good].factorize()
    _, first_of_item = np.unique(item_codes, return_index=True)
    first = good[first_of_item][item_codes]  # [n] first good row of the same item
    again = first != good
    reasons = []
    for row, other in zip(good[again].tolist(), first[again].tolist(), strict=True):
        where = f"the item stands in line {faults.table.line[other]} already"
        if codes[row] != codes[other]:
            own_path, kept = paths[codes[row]], paths[codes[other]]
            where += f", in {join(kept)} and not in {join(own_path)}"
        reasons.append(where)
    faults.note(column, good[again], reasons)
