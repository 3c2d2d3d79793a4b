"""Lines of qid-LibSVM, which users of allRank and TF-Ranking hold.

<label> qid:<id> <number>:<value> <number>:<value> ... # comment
"""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pandas as pd

from common.tables.cells import TEXT, quoted
from common.tables.faults import Rejection
from common.tables.table import Table
from rerank.config import DataConfig

_FIRST = re.compile(rb"\s*[-+.0-9eE]+\s+qid:\S+(\s|$)")
_MOST = 100_000  # number of a feature; each takes a column


def is_libsvm(path: pathlib.Path) -> bool:
    """Whether a file begins as one of qid-LibSVM does."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return _FIRST.match(file.readline(1000)) is not None


def read_lines(path: pathlib.Path, options: DataConfig) -> tuple[Table, np.ndarray]:
    """Reads a request's items line by line, in the order shown.

    Labels are purchases, or their grades; each line is an item of its own, which has
    the number of the line.

    Returns:
      (table with the columns of requests, items and purchases; features [N, G] float64,
      0 where a line does not name them, as the format has it).
    """
    cells: list[tuple[str, str, str]] = []
    named: list[dict[int, float]] = []
    rejected = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            parts = line.partition("#")[0].split()
            if not parts:
                continue
            try:
                named.append(_read_values(parts))
                cells.append((parts[1].removeprefix("qid:"), str(number), parts[0]))
            except ValueError as error:
                rejected.append(Rejection(str(path), number, "", str(error)))
    names = [options.request, options.item, options.purchase]
    frame = pd.DataFrame(cells, columns=names, dtype=TEXT)
    lines = frame[options.item].to_numpy(object).astype(np.int64)
    features = np.zeros((len(cells), max(map(max, filter(None, named)), default=0)))
    for row, values in enumerate(named):
        features[row, np.array([*values], np.int64) - 1] = [*values.values()]
    return Table(str(path), frame, lines, rejected), features


def _read_values(parts: list[str]) -> dict[int, float]:
    """The features of a line.

    Raises:
      ValueError: with the reason.
    """
    if len(parts) < 2 or not parts[1].startswith("qid:") or len(parts[1]) == 4:
        raise ValueError("no qid:<id> behind the label")
    values = {}
    for part in parts[2:]:
        name, _, value = part.partition(":")
        if not name.isdecimal() or not 1 <= int(name) <= _MOST:
            raise ValueError(
                f"{quoted(part)} is no <number>:<value>, from 1 to {_MOST}"
            )
        try:
            values[int(name)] = float(value)
        except ValueError:
            raise ValueError(f"{quoted(part)} has no number") from None
    return values
