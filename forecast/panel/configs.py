"""The knobs of the data: which table, and what its columns are."""

import dataclasses
from typing import Literal

from common.config.configs import check_bounds, knob

BenchmarkName = Literal[
    "", "exchange", "solar", "electricity", "traffic", "taxi", "wikipedia"
]
LARGEST = 1e30  # of a value, so that sums of many are numbers


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """One table of series, long (a row a moment of a series) or wide."""

    path: str = knob(
        "",
        "table of the series (CSV, .gz or Parquet); long: a row a (series, time); wide: a"
        " column a series; empty: the built-in demand",
    )
    benchmark: BenchmarkName = knob(
        "",
        "published set that --data.path holds: a folder as GluonTS writes it, or of"
        " exchange the text of 7,588 days",
    )
    id: str = knob(
        "", "column of the series' ids; empty: guessed, a table without one is wide"
    )
    time: str = knob(
        "", "column of times, or of whole numbers that count steps; empty: guessed"
    )
    target: str = knob("", "column of the values of a long table; empty: guessed")
    frequency: str = knob("", "step, as pandas names it: h, 5min, D, B, W-MON, MS")
    start: str = knob(
        "2000-01-01", "date of the first step where the table has no times but counts"
    )
    known: tuple[str, ...] = knob(
        (), "columns of numbers known for the future too, such as price and promotion"
    )
    past: tuple[str, ...] = knob((), "columns of numbers known for the past alone")
    static: tuple[str, ...] = knob((), "columns of categories of a series")
    hierarchy: tuple[str, ...] = knob(
        (), "columns of the groups that a series belongs to, such as its category"
    )
    min_observed: float = knob(
        0.0,
        "share of the steps that a series must have values for, else it is left out",
        low=0.0,
        high=1.0,
    )
    max_rejected_fraction: float = knob(
        0.05, "share of rows that may be rejected", low=0.0, high=1.0
    )

    def __post_init__(self):
        check_bounds(self)
