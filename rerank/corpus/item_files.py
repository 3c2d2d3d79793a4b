"""Tables of one's own items, and the vectors of their texts and images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.errors import UserError
from common.tables.faults import Faults
from common.tables.row_checks import read_numbers
from common.text.encoder import TextEncoder
from rerank.config import DataConfig
from rerank.corpus.corpus import Scaling
from rerank.corpus.items import Items, WordTable


def read_items(faults: Faults, options: DataConfig, *, unique: bool = True) -> Items:
    """Reads the items, one a row.

    Rejected are rows without an id, with a number that is none, with a price below 0,
    with a vector that is NaN in part, and all rows of an item but the first.

    Args:
      faults: of the table, which has the columns of ids and fields.
      options: say what the columns are; others are read where they are there.
      unique: whether an item has one row. Else its first one counts, and the others
        are no fault.

    Returns:
      Items whose fields are float64, NaN where missing, and not yet standardised: the
      logarithm of 1 + price, then the others.

    Raises:
      UserError: the vectors can't be read, or are not one a row.
    """
    frame = faults.table.frame
    faults.note_ids(options.item)
    prices = read_column(faults, options.price)
    note(faults, options.price, prices < 0, "a price below 0")
    fields, names = read_columns(faults, options.fields), options.fields
    if options.price in frame:
        logs = np.log1p(np.maximum(prices, 0))[:, None]
        fields, names = np.concatenate([logs, fields], axis=1), (options.price, *names)
    paths = {"text": options.text_vectors, "image": options.image_vectors}
    vectors = {
        name: _read_vectors(faults, path) for name, path in paths.items() if path
    }
    good = np.flatnonzero(faults.good)
    again = frame[options.item].iloc[good].duplicated().to_numpy(bool)
    if unique:
        reason = "the item stands in a line above already"
        faults.note(options.item, good[again], reason)
    kept = good[~again]
    ids = frame[options.item].iloc[kept].to_numpy(object).astype(str)
    present = {n: np.isfinite(v[kept, 0]) for n, v in vectors.items()}
    categories: tuple[np.ndarray, tuple[str, ...]] = np.zeros(len(ids), np.int32), ()
    if options.category in frame:
        categories = _number(frame[options.category].iloc[kept])
    titled, shown = options.title in frame, options.photo in frame
    return Items(
        ids=ids,
        categories=categories[0],
        category_names=categories[1],
        fields=fields[kept],
        field_names=names,
        prices=prices[kept].astype(np.float32),
        present=present,
        vectors={
            n: np.nan_to_num(v[kept].astype(np.float32)) for n, v in vectors.items()
        },
        labels={n: _number(frame[n].iloc[kept]) for n in options.labels if n in frame},
        titles=texts(frame[options.title].iloc[kept]) if titled else None,
        photos=texts(frame[options.photo].iloc[kept]) if shown else None,
    )


def encode_items(
    items: Items, scaling: Scaling, encoder: TextEncoder | None = None
) -> Items:
    """Standardises fields, and turns titles into words where no vector tells them."""
    words, present = None, dict(items.present)
    if encoder is not None and items.titles is not None and "text" not in items.vectors:
        encoded = encoder.encode(items.titles.tolist())
        words = WordTable(encoded["ids"], encoded["weights"], encoder)
        present["text"] = encoded["present"] > 0
    fields = scaling.apply("fields", items.fields)
    return dataclasses.replace(items, fields=fields, words=words, present=present)


def read_column(faults: Faults, column: str) -> np.ndarray:
    """A column of numbers float64 [N], with decimal points; NaN where missing or wrong.

    All NaN where the table lacks the column.
    """
    table = faults.table
    if column not in table.frame:
        return np.full(len(table.frame), np.nan)
    values, wrong = read_numbers(table, column, ".")  # type: ignore[arg-type]
    faults.note(column, list(wrong), wrong.values())
    return values


def read_columns(faults: Faults, columns: Sequence[str]) -> np.ndarray:
    """Columns of numbers as `read_column` reads each, float64 [N, columns]."""
    numbers = np.empty((len(faults.table.frame), len(columns)))
    for place, column in enumerate(columns):
        numbers[:, place] = read_column(faults, column)
    return numbers


def note(faults: Faults, column: str, rows: np.ndarray, reason: str) -> None:
    """Notes that the rows of a mask [N] are faulty."""
    faults.note(column, np.flatnonzero(rows), reason)


def texts(cells: pd.Series) -> np.ndarray:
    """Texts [n], "" for empty cells."""
    return cells.fillna("").to_numpy(object).astype(str)


def _number(cells: pd.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which name each cell is, int32 [n], `NONE` where empty; and the names."""
    codes, names = cells.factorize(sort=True)
    return codes.astype(np.int32), tuple(names)


def _read_vectors(faults: Faults, path: str) -> np.ndarray:
    """Vectors [N, D] of the rows of a table; NaN throughout where there is none."""
    table = faults.table
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: no array that np.load can read ({error})") from None
    unread = np.sort([rejection.line for rejection in table.rejected])
    count = len(table.line) + len(unread)
    if array.ndim != 2 or array.dtype.kind != "f" or len(array) != count:
        raise UserError(
            f"{path}: {array.dtype} of shape {array.shape}: give floats, one row for each"
            f" of the {count} of {table.path}"
        )
    rows = np.arange(len(table.line)) + np.searchsorted(unread, table.line)
    vectors = array[rows]
    known = np.isfinite(vectors)
    note(faults, "", known.any(1) & ~known.all(1), f"its row of {path} is NaN in part")
    return vectors
