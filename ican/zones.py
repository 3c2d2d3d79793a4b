"""Price zones: the ordered labels that a price is sorted into.

Edges e_0 < ... < e_(J-2) cut the price line into J zones; the label of a price is the
number of edges at or below it, so both end zones are open (paper, Table 2: 17 edges
and 18 labels).

The *zone coordinate* maps a price piecewise linearly so that the edges lie at
0, 1, ..., J-2. Every zone is one unit wide there, however uneven the edges are. Even
zones keep their geometry: the coordinate is then the price on another scale.

Everything here is numpy in float64: a price decides its label on the host, once.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from common.config.configs import check_bounds, knob
from common.errors import UserError
from common.reports import result_tables


@dataclasses.dataclass(frozen=True)
class ZonesConfig:
    """How the price line is cut; the defaults are the paper's dollars (Table 2)."""

    kind: Literal["even", "quantile"] = knob(
        "even", "even steps, or zones that hold equally many training prices"
    )
    first: float = knob(180.0, "even: lowest edge, in units of the price")
    last: float = knob(900.0, "even: highest edge, in units of the price")
    step: float = knob(45.0, "even: width of a zone, in units of the price")
    count: int = knob(18, "quantile: number of zones", low=3, high=1000)
    log_inside: bool = knob(
        False, "interpolate in log price inside a zone; needs positive edges"
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class Zones:
    """A fitted set of price zones.

    Attributes:
      edges: J - 1 strictly increasing prices.
      log_inside: whether the coordinate is linear in log price inside a zone.
    """

    edges: tuple[float, ...]
    log_inside: bool = False

    def __post_init__(self):
        edges = np.asarray(self.edges, np.float64)
        if len(edges) < 2 or not np.all(np.isfinite(edges)):
            raise UserError(f"price zones need two or more finite edges, not {edges}")
        if not np.all(np.diff(edges) > 0):
            raise UserError(
                "edges of price zones must be strictly increasing, not "
                + ", ".join(f"{edge:g}" for edge in edges)
            )
        if edges[0] <= 0:
            raise UserError(
                f"the lowest edge of the price zones is {edges[0]:g}: prices are"
                " positive, so it must be above 0"
            )

    @property
    def count(self) -> int:
        """Number of zones J."""
        return len(self.edges) + 1

    def label(self, prices: np.ndarray) -> np.ndarray:
        """Labels [...] int32 of prices [...]: the number of edges <= price."""
        return np.searchsorted(self.edges, prices, side="right").astype(np.int32)

    def coordinate(self, prices: np.ndarray) -> np.ndarray:
        """Zone coordinates [...] of prices [...]; edge j lies at exactly j.

        Beyond the end edges the map goes on with the slope of the zone next to them.

        Raises:
          UserError: for a price that is not a positive number.
        """
        prices = np.asarray(prices, np.float64)
        if not np.all(prices > 0):  # catches NaN as well
            bad = prices[~(prices > 0)].flat[0]
            raise UserError(f"a price must be a positive number, not {bad}")
        edges = np.asarray(self.edges)
        zone = np.clip(self.label(prices) - 1, 0, len(edges) - 2)
        low, high = self._scale(edges[zone]), self._scale(edges[zone + 1])
        return zone + (self._scale(prices) - low) / (high - low)

    def price(self, coordinates: np.ndarray) -> np.ndarray:
        """Prices [...] of zone coordinates [...]: the inverse of `coordinate`."""
        coordinates = np.asarray(coordinates, np.float64)
        edges = np.asarray(self.edges)
        zone = np.clip(np.floor(coordinates).astype(int), 0, len(edges) - 2)
        low, high = self._scale(edges[zone]), self._scale(edges[zone + 1])
        scaled = low + (coordinates - zone) * (high - low)
        return np.exp(scaled) if self.log_inside else scaled

    def centres(self) -> np.ndarray:
        """Prices [J] half a zone above the lower edge, below the upper for zone 0."""
        centres = self.price(np.arange(self.count) - 0.5)
        # A wide first step would put the centre of the open zone 0 below zero.
        centres[0] = max(centres[0], self.edges[0] / 2)
        return centres

    def names(self) -> list[str]:
        """J short names for tables and plots: "-180", "180-225", ..., "900-"."""
        marks = ["", *map(result_tables.format_plain, self.edges), ""]
        return [f"{low}-{high}" for low, high in itertools.pairwise(marks)]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "edges": list(self.edges),
            "log_inside": self.log_inside,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Zones":
        """Reads the JSON form."""
        return cls(tuple(record["edges"]), bool(record["log_inside"]))

    def _scale(self, prices: np.ndarray) -> np.ndarray:
        return np.log(prices) if self.log_inside else prices


def even_edges(first: float, last: float, step: float) -> tuple[float, ...]:
    """Edges first, first + step, ..., last.

    Raises:
      UserError: where the step is not positive or does not divide last - first.
    """
    count = (last - first) / step if step > 0 else 0.0
    if round(count) < 1 or abs(count - round(count)) > 1e-6:
        raise UserError(
            f"even price zones: step {step:g} must be positive and divide the range"
            f" {first:g} to {last:g}; change the first edge, the last or the step"
        )
    return tuple((first + step * np.arange(round(count) + 1)).tolist())


def quantile_edges(prices: np.ndarray, count: int) -> tuple[float, ...]:
    """Edges of `count` zones that hold equally many of the prices, up to ties.

    Every edge is a price that occurs, the first at or above its quantile, and no two
    are the same; so each zone holds at least one of the prices.

    Raises:
      UserError: where fewer than `count` distinct prices occur.
    """
    prices = np.sort(np.asarray(prices, np.float64))
    distinct = np.unique(prices)
    if len(distinct) < count:
        raise UserError(
            f"{count} quantile zones need as many distinct training prices, found"
            f" {len(distinct)}; lower the number of zones"
        )
    starts = prices[np.arange(1, count) * len(prices) // count]
    index = np.searchsorted(distinct, starts)
    # Ties: push an edge to the next price above, but leave room for those after it.
    steps = np.arange(count - 1)
    index = np.maximum.accumulate(np.maximum(index, 1) - steps) + steps
    index = np.minimum(index, len(distinct) - (count - 1) + steps)
    return tuple(distinct[index].tolist())


def fit(config: ZonesConfig, train_prices: np.ndarray) -> Zones:
    """Cuts the price line as the config says, quantiles from train prices [N].

    Raises:
      UserError: for prices that are not positive, or edges that can't be had.
    """
    prices = np.asarray(train_prices, np.float64)
    if prices.size == 0 or not np.all(prices > 0):
        raise UserError("price zones need positive training prices, one or more")
    if config.kind == "quantile":
        edges = quantile_edges(prices, config.count)
    else:
        edges = even_edges(config.first, config.last, config.step)
    return Zones(edges, config.log_inside)
