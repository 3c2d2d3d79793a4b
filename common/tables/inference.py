"""Guesses what the columns of a table mean."""

import collections
import dataclasses
import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pandas as pd

from common.tables import column_words, decimals, photo_cells, prose_columns, set_cells
from common.tables.cells import (
    LARGEST,
    MARKS,
    NO_NUMBER,
    parse_time,
    quoted,
    read_number,
)
from common.tables.prices import CODES, currencies, plain_number, split_currency
from common.tables.row_checks import SPLIT_NAMES
from common.tables.schema import Attribute, Group, Images, Schema, Target
from common.tables.table import Table

# More categories than this are left out: too few rows show each of them.
MOST_CATEGORIES = 1000

# A map of attributes stands for several columns of categories.
_MOST_JSON_MEMBERS = 5 * MOST_CATEGORIES

_FEW_CATEGORIES = 12  # so many are categories in however small a table
_SAMPLE = 5000  # different values of a column that are looked at
_MOST = 0.95  # share of the cells that must fit a role
_LONGEST_LOG = 50  # rows of a listing, in a log of its prices say
_NEARLY_ALL = 0.9  # values a row that make an id of whatever is named one
_SEPARATORS = ("|", ";", ", ")
_PHOTO_SEPARATORS = (photo_cells.LIST, "|", ";", ",", photo_cells.BLANKS, "")
_ENDING = r"\.(jpe?g|png|webp|gif|bmp|tiff?|avif|jp2|heic|heif)"
_PHOTO = re.compile(rf"[^|;]+{_ENDING}", re.IGNORECASE)
_PHOTO_ENDING = re.compile(_ENDING, re.IGNORECASE)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

NAMED_PRICE = "named a price, but"
_TOO_LATE = "seems to be known only after the sale"
_EARLIEST = parse_time("1973-03-04")  # smaller numbers are no seconds since 1970


class _Column:
    """What inference looks at in one column.

    Attributes:
      name: of the column.
      words: of its name, in lower case.
      rows: of the table.
      filled: number of cells that are not empty.
      distinct: number of different values.
      cells: of the table.
      counts: how often each of a sample of the values occurs.
    """

    def __init__(self, name: str, cells: pd.Series):
        counts = cells.value_counts()
        self.name = name
        self.words = set(_split_ids(_WORD.findall(name)))
        self.rows = len(cells)
        self.filled = int(counts.sum())
        self.distinct = len(counts)
        self.cells = cells
        self.counts = counts.iloc[:: -(-self.distinct // _SAMPLE) or 1]

    @property
    def values(self) -> list[str]:
        return list(self.counts.index)

    @property
    def names_listing(self) -> bool:
        """Whether the name says that this is an id of the row or the listing."""
        return (
            bool(self.words & column_words.ID)
            and self.words - column_words.ID <= column_words.LISTING
        )

    def mostly(self, fits: Callable[[str], bool]) -> bool:
        """Whether most cells hold a value that fits."""
        matching = np.array([fits(value) for value in self.values], bool)
        return self.counts.to_numpy()[matching].sum() >= _MOST * self.counts.sum()


@dataclasses.dataclass(frozen=True)
class _Role:
    """What a column seems to be.

    Attributes:
      kind: a field of the schema, a kind of attribute, "price", "currency", "text"
        (not yet known whether to be read), "prose" (to be read) or "ignored".
      detail: the separator of images and sets, the currency of a price, "log" for
        the logarithm, the reason for text and ignored columns.
    """

    kind: str
    detail: str = ""


def infer(table: Table, *, texts: bool = False) -> Schema:
    """Guesses the schema of a table from the names and the values of its columns.

    Columns that fit no role are listed under `ignored` with the reason. The guess is
    a draft to be read and edited; attributes of several variables, say, are written
    by joining columns.

    Args:
      table: N rows, and at least one.
      texts: whether titles and descriptions become attributes of kind text; without it
        they are left out, as systems that read no texts want them.
    """
    columns = [_Column(name, table.frame[name]) for name in table.frame.columns]
    roles = {column.name: _role(column) for column in columns}
    ignored = {n: r.detail for n, r in roles.items() if r.kind in ("ignored", "text")}

    def named(kind: str) -> list[_Column]:
        return [column for column in columns if roles[column.name].kind == kind]

    def first(roles: list[_Column], reason: str) -> str | None:
        """Takes the first of several columns and ignores the rest."""
        ignored.update({column.name: reason for column in roles[1:]})
        return roles[0].name if roles else None

    prices = sorted(named("price"), key=_strangeness)
    price = first(prices, "another price, which would give the target away")
    target = Target(price, roles[price].detail) if price else None
    if target and not target.currency and (found := named("currency")):
        target = dataclasses.replace(target, currency_column=found[0].name)
    titled = [column for column in named("text") if column.words & column_words.TITLE]
    titled.sort(key=lambda column: len(column.words))
    titles = tuple(column.name for column in titled[:1])
    for title in titles:
        del ignored[title]
    prose = prose_columns.choose(
        [column.cells for column in named("text")] if texts else [],
        table.frame[price] if price else None,
    )
    for name, reason in prose.items():
        ignored.pop(name, None)
        if reason:
            roles[name] = _Role("ignored", reason)
            ignored[name] = reason
        else:
            roles[name] = _Role("prose")
    # The finest names the rows; the finest that repeats ties them together.
    ids = sorted(named("id"), key=lambda c: (-c.distinct, not c.names_listing))
    tying = next((column.name for column in ids if column.distinct < column.filled), "")
    for column in ids[1:]:
        if column.name != tying:
            ignored[column.name] = (
                f"another identifier: {column.distinct:,} values, where"
                f" {quoted(ids[0].name)} has {ids[0].distinct:,}"
            )
    groups = (*titles, *([tying] if tying else []))
    photos, separator = _join_photos(named("images"), roles, ignored)
    attributes = [
        _attribute(name, role)
        for name, role in roles.items()
        if not target or name != target.currency_column
    ]
    schema = Schema(
        attributes=tuple(attribute for attribute in attributes if attribute),
        images=Images(photos, separator) if photos else None,
        target=target,
        group=Group(groups, bool(photos)) if groups or photos else None,
        time=first(named("time"), "another time"),
        split=first(named("split"), "another split"),
        id=ids[0].name if ids else None,
        ignored=tuple((name, ignored[name]) for name in roles if name in ignored),
    )
    return decimals.settle_doubtful(table, schema)


def photo_separator(cells: pd.Series) -> str:
    """Guesses what parts the names of photos in the cells of a column.

    Returns:
      As `schema.Images.separator`; "" for one name a cell, or no photos.
    """
    role = _find_photos(_Column("", cells))
    return role.detail if role else ""


def _strangeness(column: _Column) -> int:
    """Fewer words beside "price" make a likelier target."""
    return len(
        column.words
        - column_words.PRICE
        - column_words.TYPICAL
        - set(column_words.CURRENCY_OF)
    )


def _attribute(name: str, role: _Role) -> Attribute | None:
    if role.kind in ("categorical", "currency"):
        return Attribute(name, "categorical", (name,))
    if role.kind == "set":
        return Attribute(name, "set", (name,), separator=role.detail)
    if role.kind == "continuous":
        return Attribute(name, "continuous", (name,), log=role.detail == "log")
    if role.kind == "prose":
        return Attribute(name, "text", (name,))
    return None


def _role(column: _Column) -> _Role:
    if not column.filled:
        return _Role("ignored", "empty")
    if column.distinct == 1 and column.filled == column.rows > 1:
        return _Role("ignored", f"always {quoted(column.values[0])}")
    for find in (_find_special, _find_number, _find_categories):
        if role := find(column):
            return _left_out(column, role) or role
    if role := _left_out(column, _Role("text")):
        return role
    different = f"{column.distinct:,} different values in {column.rows:,} rows"
    return _Role("text", f"free text: {different}")


def _left_out(column: _Column, role: _Role) -> _Role | None:
    """A column that is named a price or an outcome is no attribute unread."""
    if role.kind not in ("categorical", "set", "text"):
        return None
    if _is_price(column):
        cells = (c for c in column.cells.dropna() if c.lower() not in NO_NUMBER)
        first = next((c for c in cells if not _readings(c, True)), column.values[0])
        return _Role("ignored", f"{NAMED_PRICE} {quoted(first)} can't be read as one")
    # Unless it says who has sold it.
    if column.words & column_words.OUTCOME and "by" not in column.words:
        return _Role("ignored", _TOO_LATE)
    return None


def _is_price(column: _Column) -> bool:
    return any(
        word in column_words.PRICE or column_words.COMPOUND.search(word)
        for word in column.words
    )


def _find_special(column: _Column) -> _Role | None:
    """Photos, web addresses, JSON, splits, identifiers and times."""
    if role := _find_photos(column):
        return role
    if column.mostly(lambda value: value.startswith(("http://", "https://"))):
        return _Role("ignored", "web addresses: photos must lie in a folder")
    if column.mostly(lambda value: value[0] in "[{" and value[-1] in "]}"):
        return _find_json_set(column) or _Role(
            "ignored", "JSON: give each entry a column of its own"
        )
    if column.words & column_words.SPLIT and column.mostly(
        lambda v: v.lower() in SPLIT_NAMES
    ):
        return _Role("split")
    if (
        column.words & column_words.CURRENCY
        and column.distinct > 1
        and column.mostly(_is_currency)
    ):
        return _Role("currency")
    if identifier := _find_identifier(column):
        return identifier
    if column.words & column_words.TIME and column.mostly(_is_time):
        return _Role("time")
    return None


def _find_identifier(column: _Column) -> _Role | None:
    """An id of the row or the listing, however often it repeats; no other ones."""
    if not column.words & column_words.ID:
        return None
    if column.distinct == column.rows:
        return _Role("id")
    if column.names_listing:
        fewest = column.filled / _LONGEST_LOG
    else:
        fewest = max(_NEARLY_ALL * column.filled, _FEW_CATEGORIES + 1)
    if column.distinct < fewest:
        return None
    if column.filled < _MOST * column.rows:
        empty = column.rows - column.filled
        return _Role("ignored", f"an identifier that {empty:,} rows do not have")
    return _Role("id")


def _split_ids(words: Iterable[str]) -> Iterator[str]:
    """Words in lower case; "listingid" is two."""
    for word in map(str.lower, words):
        if (
            word.endswith("id")
            and word[:-2] in column_words.LISTING | column_words.OTHER
        ):
            yield from (word[:-2], "id")
        else:
            yield word


def _find_json_set(column: _Column) -> _Role | None:
    """Maps of attributes and lists of texts, if their members recur."""
    if not column.mostly(lambda value: _json_members(value) is not None):
        return None
    shown: collections.Counter[str] = collections.Counter()
    for value, count in column.counts.items():
        for member in set(_json_members(value) or ()):
            shown[member] += count
    most = min(_MOST_JSON_MEMBERS, max(_FEW_CATEGORIES, shown.total() / 2))
    return _Role("set", set_cells.SEPARATOR) if 0 < len(shown) <= most else None


def _json_members(value: str) -> list[str] | None:
    """The members of a JSON cell; None for lists of numbers and what is no set."""
    try:
        roles = set_cells.json_members(value)
    except ValueError:
        return None
    # Lists of numbers are measures or vectors, no vocabulary.
    entries = json.loads(value) if value.startswith("[") else ()
    return roles if all(isinstance(entry, str) for entry in entries) else None


def _find_photos(column: _Column) -> _Role | None:
    """Names of photos, parted by the first mark that most cells agree with.

    Each part must be a name, so that a comma or a blank inside of names parts none; and
    one cell at least must be parted.
    """
    if not any(map(_PHOTO_ENDING.search, column.values)):
        return None
    for separator in _PHOTO_SEPARATORS:
        parts = functools.partial(_parts_photos, separator)
        sensible = not separator or any(map(parts, column.values))
        if sensible and column.mostly(functools.partial(_is_photos, separator)):
            return _Role("images", separator)
    return None


def _is_photos(separator: str, value: str) -> bool:
    try:
        names = photo_cells.names(value, separator)
    except ValueError:
        return False
    return all(_PHOTO.fullmatch(name) and "://" not in name for name in names)


def _parts_photos(separator: str, value: str) -> bool:
    """Whether a separator makes something of a cell, and photos only."""
    return _is_photos(separator, value) and (
        photo_cells.names(value, separator) not in ([], [value])
    )


def _join_photos(
    columns: list[_Column], roles: dict[str, _Role], ignored: dict[str, str]
) -> tuple[tuple[str, ...], str]:
    """Columns of photos that one separator reads, and it; the others are ignored."""
    found = (roles[column.name].detail for column in columns)
    separator = next(filter(None, found), "")
    taken = []
    for column in columns:
        if column.mostly(functools.partial(_is_photos, separator)):
            taken.append(column.name)
        else:
            ignored[column.name] = f"photos that are not parted by {separator!r}"
    return tuple(taken), separator


def _is_time(value: str) -> bool:
    try:
        return parse_time(value) >= _EARLIEST
    except ValueError:
        return False


def _is_currency(value: str) -> bool:
    return currencies(value.upper().replace(" ", ""))[0] in CODES


def _find_number(column: _Column) -> _Role | None:
    """Prices, numbers that are known too late, and continuous attributes."""
    priced = _is_price(column) or bool(column.words & set(column_words.CURRENCY_OF))
    numbers, counts, marks = [], [], set()
    read = [_readings(value, priced) for value in column.values]
    # In doubt, here, as most cells are: only the spread is looked at.
    sure = collections.Counter(next(iter(each)) for each in read if len(each) == 1)
    decimal = max(MARKS, key=lambda mark: sure[mark])
    for (value, count), readings in zip(column.counts.items(), read, strict=True):
        if readings:
            numbers.append(readings.get(decimal, next(iter(readings.values()))))
            counts.append(count)
            marks.add(split_currency(value)[1] if priced else "")
    empty = column.counts[[v.lower() in NO_NUMBER for v in column.values]].sum()
    if not numbers or sum(counts) < _MOST * (column.counts.sum() - empty):
        return None
    if priced:
        return _Role("price", _currency(column.words, marks))
    if column.words & column_words.OUTCOME:
        return _Role("ignored", _TOO_LATE)
    if column.words & (column_words.ID | column_words.CODE) or set(numbers) <= {0, 1}:
        return None  # names or flags in the form of numbers
    skewed = min(numbers) >= 0 and max(numbers) > 10 * np.median(
        np.repeat(numbers, counts)
    )
    return _Role("continuous", "log" if skewed else "")


def _currency(words: set[str], marks: set[str]) -> str:
    """The currency that the name of a price column, or else its cells, tell."""
    told = sorted(
        column_words.CURRENCY_OF[word] for word in words & set(column_words.CURRENCY_OF)
    )
    if told:
        return told[0]
    known = [currencies(mark) for mark in sorted(marks - {""})]
    shared = (
        [code for code in known[0] if all(code in c for c in known)] if known else []
    )
    return shared[0] if shared else ""


def _readings(cell: str, priced: bool) -> dict[str, float]:
    """What a cell is as a number by each decimal mark that it may have."""
    factor = 1.0
    if priced:
        cell, factor = plain_number(split_currency(cell)[0])
    found = {mark: read_number(cell, mark) for mark in MARKS}
    return {
        mark: value * factor
        for mark, value in found.items()
        if value is not None and abs(value) <= LARGEST
    }


def _find_categories(column: _Column) -> _Role | None:
    values = column.values
    for separator in _SEPARATORS:
        if sum(separator in value for value in values) >= 2:
            parts = {
                part for value in values for part in set_cells.members(value, separator)
            }
            if len(parts) < min(len(values), MOST_CATEGORIES):
                return _Role("set", separator)
    if column.distinct <= min(MOST_CATEGORIES, max(_FEW_CATEGORIES, column.filled / 2)):
        return _Role("categorical")
    return None
