"""The typed description of a listing table, kept as an editable JSON file."""

import dataclasses
import difflib
import json
import pathlib
import types
import typing
from typing import Any, Literal

from common.errors import UserError

Kind = Literal["categorical", "continuous", "set"]


@dataclasses.dataclass(frozen=True)
class Images:
    """Where a row names its photos.

    Attributes:
      columns: columns that hold file names, in the order the photos are shown.
      separator: what stands between several names in one cell; "" for one name a
        cell.
    """

    columns: tuple[str, ...]
    separator: str = ""


@dataclasses.dataclass(frozen=True)
class Attribute:
    """One attribute of an item.

    Attributes:
      name: unique name, used in figures and weights.
      kind: "categorical" (one of a vocabulary), "continuous" (numbers) or "set" (any
        number of a vocabulary).
      columns: one column; a continuous attribute may hold several variables, such
        as the carat and the diameter of one stone.
      separator: what stands between the members of a set.
      log: whether log(1 + x) is taken of a continuous attribute.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    separator: str = ""
    log: bool = False


@dataclasses.dataclass(frozen=True)
class Target:
    """What is to be predicted.

    Attributes:
      column: of finite numbers above zero.
      currency: ISO code for axes and tables; "" where unknown.
    """

    column: str
    currency: str = ""


@dataclasses.dataclass(frozen=True)
class Group:
    """Rows that must stay on one side of a split.

    Attributes:
      columns: rows with the same (normalised) text in one of these belong together.
      photo_hash: whether rows that share a photo belong together too.
    """

    columns: tuple[str, ...]
    photo_hash: bool = True


@dataclasses.dataclass(frozen=True)
class Schema:
    """What the columns of a table mean.

    Attributes:
      attributes: model inputs, in the order of the model's attribute axis.
      images: where the photos are named; None for a table without photos.
      target: None for rows that are only to be predicted.
      group: None where rows are independent.
      time: column of dates or times; None where there is none.
      split: column of train / validation / test; None to split by hash.
      id: column that names a row in outputs; None to number rows.
      ignored: (column, reason) of what was left out, for the reader of the file.
    """

    attributes: tuple[Attribute, ...]
    images: Images | None = None
    target: Target | None = None
    group: Group | None = None
    time: str | None = None
    split: str | None = None
    id: str | None = None
    ignored: tuple[tuple[str, str], ...] = ()
