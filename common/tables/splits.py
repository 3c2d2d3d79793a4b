"""Train, validation and test rows, so that no near-copy stands on two sides."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from common.errors import UserError
from common.tables.schema import Schema
from common.tables.whole_numbers import with_digits

if TYPE_CHECKING:  # configs import this module where pandas may be absent
    import pandas as pd

SPLITS = ("train", "validation", "test")

_NOT_LETTERS = re.compile(r"[\W\d_]+")
_ID = "id"  # begins what connects rows of one id
_CODE = re.compile(r"\S*\d\S*")  # A-1041, 5000, 9f1c: no words
_MOST = 0.95  # share of a column's cells that must be codes
_FEWEST_WORDS = 5  # of a title that may differ in one of them
_LARGE_SHARE, _LARGE_ROWS = 0.1, 3  # of a split in one group, to be named


def normalise(text: str) -> str:
    """Text as groups compare it.

    Compatible characters are unified (NFKC), case is folded, and each run of digits,
    punctuation and blanks becomes one blank: "RING, Size 7" and "ring size 8" are the
    same. Text without letters keeps its digits and signs.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _NOT_LETTERS.sub(" ", folded).strip() or folded.strip()


def assign(
    frame: pd.DataFrame,
    schema: Schema,
    photo_hashes: Sequence[Sequence[str]] | None = None,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    *,
    by_time: bool = False,
) -> np.ndarray:
    """Assigns each row to "train", "validation" or "test".

    In this order:

    1. The schema's split column, where it has one.
    2. With `by_time`, the earliest rows train and the latest test; rows of one moment
       stay together.
    3. By group. Rows are connected if they share the id, the text of a group column
       (normalised, or as it is in a column of codes such as a second id), or a photo
       (unless the schema's group says otherwise); connected rows,
       directly or through others, go to one split. A hash of the group's content and
       the seed decides, so the order of the rows does not matter and rows added later
       leave the others where they were (unless they connect groups).

    Args:
      frame: N rows as `tables.check_rows` returns them.
      schema: of the table.
      photo_hashes: the hashes of each row's photos; None where there are none.
      fractions: of train, validation and test rows; they sum to 1 and are met as
        closely as hashing (or moments) allows.
      seed: of the hash.
      by_time: split along the schema's time column.

    Returns:
      [N] of str.

    Raises:
      UserError: a split stays empty, a time is missing, or the fractions are wrong.
    """
    check_fractions(fractions)
    if schema.split:
        split = frame[schema.split].to_numpy(dtype=object)
    elif by_time:
        split = _assign_by_time(frame, schema, fractions)
    else:
        split = _assign_by_group(frame, schema, photo_hashes, fractions, seed)
    for name in SPLITS:
        if not (split == name).any():
            lines = describe_large_groups(frame, schema, split, photo_hashes)
            large = f"; {lines[0]}" if lines else ""
            raise UserError(
                f"the {name} split of {len(frame)} rows is empty (rows of one group"
                f" stay together{large}): give more rows, other groups, another"
                " split_seed or other split_fractions"
            )
    return split


@dataclasses.dataclass(frozen=True)
class Leakage:
    """How many rows of a split have a near-copy in training.

    Attributes:
      rows: of the split.
      text: rows whose normalised text of a group column occurs in training.
      photo: rows with a photo that occurs in training.
      either: rows with one or more of text, photo and id.
      id: rows whose id, or code in a group column, occurs in training.
      near: other rows than those of `text` whose text is nearly one of training: the
        same words in any order, save one of five or more.
    """

    rows: int
    text: int
    photo: int
    either: int
    id: int = 0
    near: int = 0


def leakage(
    frame: pd.DataFrame,
    schema: Schema,
    split: np.ndarray,
    photo_hashes: Sequence[Sequence[str]] | None = None,
    *,
    of: str = "test",
) -> Leakage:
    """Counts the rows of a split whose text, photo or id also occurs in training.

    Args:
      frame: N rows as `tables.check_rows` returns them.
      schema: names the id and the group columns.
      split: [N] as `assign` returns it.
      photo_hashes: the hashes of each row's photos; None where there are none.
      of: the split that is compared with train.
    """
    train, here = split == "train", split == of
    text, near, own = (np.zeros(len(frame), bool) for _ in range(3))
    for column in schema.group.columns if schema.group else ():
        if _holds_codes(frame[column]):
            own |= _occurs(_exact(frame[column]), train)
        else:
            texts = _normalised(frame[column])
            text |= _occurs(texts, train)
            near |= _nearly_occurs(texts, train)
    if schema.id:
        own |= _occurs(_exact(frame[schema.id]), train)
    photo = np.zeros(len(frame), bool)
    if photo_hashes is not None:
        rows = zip(photo_hashes, train, strict=True)
        seen = {photo for hashes, known in rows if known for photo in hashes}
        photo = np.array([not seen.isdisjoint(hashes) for hashes in photo_hashes], bool)
    return Leakage(
        rows=int(here.sum()),
        text=int((text & here).sum()),
        photo=int((photo & here).sum()),
        either=int(((text | photo | own) & here).sum()),
        id=int((own & here).sum()),
        near=int((near & ~text & here).sum()),
    )


def _occurs(keys: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Which keys [N], "" for none, some training row has too: bool [N]."""
    known = set(keys[train]) - {""}
    return np.array([key in known for key in keys], bool)


def _nearly_occurs(texts: np.ndarray, train: np.ndarray) -> np.ndarray:
    known = {key for text in set(texts[train]) for key in _near_keys(text)}
    found = {text: not known.isdisjoint(_near_keys(text)) for text in set(texts)}
    return np.array([found[text] for text in texts], bool)


def _near_keys(text: str) -> set[str]:
    """What texts of nearly the same words share: these, and these without one."""
    words = sorted(set(text.split()))
    keys = {" ".join(words)} - {""}
    if len(words) >= _FEWEST_WORDS:
        keys |= {" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))}
    return keys


def describe_large_groups(
    frame: pd.DataFrame,
    schema: Schema,
    split: np.ndarray,
    photo_hashes: Sequence[Sequence[str]] | None = None,
) -> list[str]:
    """Names the groups that make up a tenth of a split or more, see `assign`.

    Args:
      frame: N rows as `tables.check_rows` returns them.
      schema: names the id and the group columns.
      split: [N].
      photo_hashes: the hashes of each row's photos; None where there are none.

    Returns:
      One line a split and group, with what most of its rows share.
    """
    tokens = _tokens(frame, schema, photo_hashes)
    sizes = {name: int((split == name).sum()) for name in SPLITS}
    lines = []
    for group in _groups(tokens):
        if len(group) < _LARGE_ROWS:
            continue
        inside = split[group]
        for name, size in sizes.items():
            count = int((inside == name).sum())
            if count < max(_LARGE_ROWS, _LARGE_SHARE * size):
                continue
            shared = collections.Counter(t for row in group for t in tokens[row])
            token, rows = max(shared.items(), key=lambda item: (item[1], item[0]))
            lines.append(
                f"{count:,} of {size:,} {name} rows ({count / size:.0%}) are one group:"
                f" {rows:,} have {_describe_token(token, schema)}"
            )
    return lines


def _describe_token(token: str, schema: Schema) -> str:
    kind, _, rest = token.partition(" ")
    for column in schema.group.columns if schema.group else ():
        if kind == "text" and rest.startswith(f"{column} "):
            return f"{column} {rest.removeprefix(column).strip()[:60]!r}"
    if kind == "photo":
        return "one photo"
    return f"{schema.id or 'content'} {rest[:60]!r}"


def check_fractions(fractions: tuple[float, float, float]) -> None:
    """Refuses shares of splits that are not three above 0 with the sum 1."""
    valid = len(fractions) == 3 and all(0 < f < 1 for f in fractions)
    if not valid or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(
            f"split_fractions {fractions}: give three shares above 0 that sum to 1"
        )


def _assign_by_time(
    frame: pd.DataFrame, schema: Schema, fractions: tuple[float, float, float]
) -> np.ndarray:
    if not schema.time:
        raise UserError('to split by time, set "time" in the schema to a column')
    times = frame[schema.time].to_numpy(np.float64)
    if np.isnan(times).any():
        count = int(np.isnan(times).sum())
        raise UserError(
            f"column {schema.time!r}: {count} rows have no time, so they can't be"
            " split by time: fill them in, or split by group"
        )
    # A row's place is that of the first row of its moment.
    share = np.searchsorted(np.sort(times), times) / max(len(times), 1)  # [N]
    return cut(share, fractions)


def name_groups(
    frame: pd.DataFrame, schema: Schema, photo_hashes: Sequence[Sequence[str]] | None
) -> np.ndarray:
    """What names the group of near-copies that each row is in, see `assign`.

    Args:
      frame: N rows as `tables.check_rows` returns them.
      schema: names the group columns.
      photo_hashes: the hashes of each row's photos; None where there are none.

    Returns:
      [N] of str, the least of the texts and hashes that connect the group: it depends
      on the group's content alone.
    """
    tokens = _tokens(frame, schema, photo_hashes)
    names = np.empty(len(frame), object)
    for group in _groups(tokens):
        # Not by an id, which connects nothing until it stands there twice.
        shared = (token for row in group for token in tokens[row])
        names[group] = min(t for t in shared if not t.startswith(f"{_ID} "))
    return names


def _assign_by_group(
    frame: pd.DataFrame,
    schema: Schema,
    photo_hashes: Sequence[Sequence[str]] | None,
    fractions: tuple[float, float, float],
    seed: int,
) -> np.ndarray:
    groups = name_groups(frame, schema, photo_hashes)
    return cut(hash_shares(groups, seed), fractions)


def hash_shares(names: np.ndarray, seed: int) -> np.ndarray:
    """Hashes of names [N], the same for equal ones: float64 [N] in [0, 1)."""
    distinct, codes = np.unique(names, return_inverse=True)
    digests = [hashlib.sha256(f"{seed}\n{name}".encode()).digest() for name in distinct]
    return np.array([int.from_bytes(digest[:8]) / 2**64 for digest in digests])[codes]


def cut(share: np.ndarray, fractions: tuple[float, float, float]) -> np.ndarray:
    """Names the splits [N] of places in [0, 1)."""
    edges = np.cumsum(fractions[:2])
    return np.array(SPLITS, object)[np.searchsorted(edges, share, side="right")]


def _normalised(cells: pd.Series) -> np.ndarray:
    """Normalised text of a column, "" for empty cells: [N] of str."""
    return _keys(cells, normalise)


def _exact(cells: pd.Series) -> np.ndarray:
    """Text of a column, "" for empty cells: [N] of str."""
    return _keys(cells, str)


def _keys(cells: pd.Series, read: Callable[[str], str]) -> np.ndarray:
    codes, uniques = cells.factorize()  # an empty cell has code -1, the last entry
    return np.array([*map(read, uniques), ""], object)[codes]


def _holds_codes(cells: pd.Series) -> bool:
    """Whether a column names things by codes: A-1041 and A-1042 are not the same."""
    counts = cells.value_counts()
    codes = np.array([_CODE.fullmatch(text) is not None for text in counts.index], bool)
    return bool(len(counts)) and counts[codes].sum() >= _MOST * counts.sum()


def exact_columns(frame: pd.DataFrame, schema: Schema) -> list[str]:
    """The columns whose cells tie rows without being normalised.

    Args:
      frame: text, all rows of a table.
      schema: names the id and the group columns.

    Returns:
      Group columns of codes with letters, and the id where it repeats; what the table
      lacks is left to `tables.check_rows` to tell.
    """
    columns = []
    group = schema.group.columns if schema.group else ()
    for column in filter(frame.__contains__, group):
        cells = frame[column]
        if _holds_codes(cells) and (_exact(cells) != _normalised(cells)).any():
            columns.append(column)
    if schema.id in frame and _repeats(with_digits(frame[schema.id])).any():
        columns.append(schema.id)
    return list(dict.fromkeys(columns))


def _tokens(
    frame: pd.DataFrame, schema: Schema, photo_hashes: Sequence[Sequence[str]] | None
) -> list[list[str]]:
    """What connects each row to others; its own content where nothing does."""
    tokens: list[list[str]] = [[] for _ in range(len(frame))]
    for column in schema.group.columns if schema.group else ():
        read = _exact if _holds_codes(frame[column]) else _normalised
        for row, text in enumerate(read(frame[column])):
            if text:
                tokens[row].append(f"text {column} {text}")
    if photo_hashes is not None and (schema.group is None or schema.group.photo_hash):
        for row, hashes in enumerate(photo_hashes):
            tokens[row].extend(f"photo {photo}" for photo in hashes)
    alone = [row for row, found in enumerate(tokens) if not found]
    names = [schema.id] if schema.id else list(frame.columns)
    contents = frame.iloc[alone][names].itertuples(index=False, name=None)
    for row, content in zip(alone, contents, strict=True):
        tokens[row].append("row " + "\x1f".join(map(str, content)))
    if schema.id:
        for row in np.flatnonzero(_repeats(frame[schema.id])).tolist():
            tokens[row].append(f"{_ID} {frame[schema.id].iloc[row]}")
    return tokens


def _repeats(ids: pd.Series) -> np.ndarray:
    """Which rows have an id that another one has too, bool [N]."""
    return (ids.duplicated(keep=False) & ids.notna()).to_numpy(bool)


def _groups(tokens: Sequence[Iterable[str]]) -> Iterator[list[int]]:
    """Connected components of rows that share tokens, by union-find."""
    parent = list(range(len(tokens)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[str, int] = {}
    for row, found in enumerate(tokens):
        for token in found:
            parent[root(row)] = root(first.setdefault(token, row))
    groups: dict[int, list[int]] = {}
    for row in range(len(tokens)):
        groups.setdefault(root(row), []).append(row)
    yield from groups.values()
