"""A panel: many series on one grid of time, with all that is known of them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from common.errors import UserError
from common.tables.cells import quoted
from common.tables.schema import did_you_mean
from forecast.panel.frequencies import make_times, season_length


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """D series over T steps.

    Attributes:
      values: float32 [T, D], NaN where not observed.
      times: [T], regular.
      frequency: of the times, see `frequencies`.
      ids: [D] of the series, distinct.
      known: float32 [T + F, D, C] covariates, finite, known F >= 0 steps beyond the end.
      known_names: [C].
      past: float32 [T, D, P] covariates, finite, known until the end.
      past_names: [P].
      categories: int32 [D, K], which level of each static category a series has.
      category_names: [K].
      category_levels: [K] tuples of names; "" is that of series without one.
      groups: {name of a level of the hierarchy: group of each series [D]}.
    """

    values: np.ndarray
    times: pd.DatetimeIndex
    frequency: str
    ids: tuple[str, ...]
    known: np.ndarray
    known_names: tuple[str, ...]
    past: np.ndarray
    past_names: tuple[str, ...]
    categories: np.ndarray
    category_names: tuple[str, ...]
    category_levels: tuple[tuple[str, ...], ...]
    groups: Mapping[str, tuple[str, ...]]

    def __post_init__(self):
        rows, series = self.values.shape
        shapes = {
            "times": (len(self.times), rows),
            "ids": (len(set(self.ids)), series),
            "known": (self.known.shape[1:], (series, len(self.known_names))),
            "known steps": (len(self.known) >= rows, True),
            "past": (self.past.shape, (rows, series, len(self.past_names))),
            "categories": (self.categories.shape, (series, len(self.category_names))),
            "levels": (len(self.category_levels), len(self.category_names)),
            "groups": ({*map(len, self.groups.values())} | {series}, {series}),
        }
        wrong = [
            name for name, (found, expected) in shapes.items() if found != expected
        ]
        if wrong:
            raise ValueError(f"of {rows} x {series} values: {', '.join(wrong)} not so")

    @classmethod
    def of(
        cls,
        values: np.ndarray,
        times: pd.DatetimeIndex,
        frequency: str,
        ids: Sequence[str] = (),
        **others: Any,
    ) -> Panel:
        """A panel of values [T, D]; what is not named of the rest is empty.

        Without ids the series are "1", "2" …
        """
        rows, series = values.shape
        parts: dict[str, Any] = {
            "known": np.zeros((rows, series, 0), np.float32),
            "known_names": (),
            "past": np.zeros((rows, series, 0), np.float32),
            "past_names": (),
            "categories": np.zeros((series, 0), np.int32),
            "category_names": (),
            "category_levels": (),
            "groups": {},
        }
        names = tuple(ids) or tuple(str(n + 1) for n in range(series))
        values = np.asarray(values, np.float32)
        return cls(values, times, frequency, names, **(parts | others))

    @property
    def future(self) -> int:
        """F, steps beyond the end for which covariates are known."""
        return len(self.known) - len(self.values)

    @property
    def season(self) -> int:
        """Steps of a season, see `frequencies.season_length`."""
        return season_length(self.frequency)

    def times_ahead(self, horizon: int) -> pd.DatetimeIndex:
        """The `horizon` times after the last."""
        return make_times(self.times[-1], horizon + 1, self.frequency)[1:]

    def prefix(self, rows: int) -> Panel:
        """The first rows. Known covariates stay, and are those of the future there.

        Args:
          rows: from 1 to T.
        """
        if not 1 <= rows <= len(self.values):
            raise ValueError(f"{rows} of {len(self.values)} rows")
        return dataclasses.replace(
            self,
            values=self.values[:rows],
            times=self.times[:rows],
            past=self.past[:rows],
        )

    def select(self, series: Sequence[int] | np.ndarray) -> Panel:
        """Some series by their numbers, in the order given; levels stay as they are."""
        chosen = np.asarray(series, np.int64)
        groups = {
            level: tuple(names[number] for number in chosen)
            for level, names in self.groups.items()
        }
        return dataclasses.replace(
            self,
            values=self.values[:, chosen],
            ids=tuple(self.ids[number] for number in chosen),
            known=self.known[:, chosen],
            past=self.past[:, chosen],
            categories=self.categories[chosen],
            groups=groups,
        )

    def find(self, ids: Sequence[str]) -> np.ndarray:
        """Numbers int64 [n] of series by their ids.

        Raises:
          UserError: no such series.
        """
        numbers = {name: number for number, name in enumerate(self.ids)}
        for name in ids:
            if name not in numbers:
                hint = did_you_mean(name, self.ids)
                raise UserError(
                    f"no series {quoted(name)}{hint}: name one of the {len(self.ids)}"
                )
        return np.array([numbers[name] for name in ids], np.int64)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of all that training depends on."""
        digest = hashlib.sha256()
        for field in dataclasses.fields(self):
            part = getattr(self, field.name)
            if isinstance(part, pd.DatetimeIndex):
                part = part.as_unit("us").asi8
            digest.update(field.name.encode())
            if isinstance(part, np.ndarray):
                digest.update(repr((part.dtype.str, part.shape)).encode())
                digest.update(np.ascontiguousarray(part).data)
            else:
                plain = dict(part) if isinstance(part, Mapping) else part
                digest.update(repr(plain).encode())
        return digest.hexdigest()[:16]
