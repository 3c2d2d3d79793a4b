"""The six benchmark sets of the published tables, from files that the user has.

A folder is as GluonTS writes it: `train/` and `test/` with a data.json or data.json.gz of
one JSON object a line, {"start": "1990-01-01", "target": [...]}. Exchange is also read
from the raw text of 7,588 days x 8 currencies. Sources: Salinas et al., "High-Dimensional
Multivariate Forecasting with Low-Rank Gaussian Copula Processes", NeurIPS 2019, and Rasul
et al., "Multivariate Probabilistic Time Series Forecasting via Conditioned Normalizing
Flows", ICLR 2021.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import pathlib
import zlib
from collections.abc import Iterator

import numpy as np
import pandas as pd

from common.errors import UserError
from forecast.panel.backtest import Backtest
from forecast.panel.columns import open_series
from forecast.panel.configs import LARGEST, DataConfig
from forecast.panel.frequencies import locate, make_times
from forecast.panel.panel import Panel
from forecast.panel.table_files import read_panel

EXCHANGE_ROWS, EXCHANGE_TRAINED = 7588, 6071
EXCHANGE_WINDOWS = 50  # of the raw text; the published tables have the first five


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What is published of a set: its name, D, frequency, H, and windows that count.

    (Of solar, taxi and wikipedia noise is added in training: --window.dequantise.)
    """

    name: str
    series: int
    frequency: str
    horizon: int
    windows: int


BENCHMARKS = {
    "exchange": Benchmark("exchange_rate_nips", 8, "B", 30, 5),
    "solar": Benchmark("solar_nips", 137, "h", 24, 7),
    "electricity": Benchmark("electricity_nips", 370, "h", 24, 7),
    "traffic": Benchmark("traffic_nips", 963, "h", 24, 7),
    "taxi": Benchmark("taxi_30min", 1214, "30min", 24, 56),
    "wikipedia": Benchmark("wiki2000_nips", 2000, "D", 30, 5),
}


def read_exchange(path: str | pathlib.Path, windows: int = 5) -> Backtest:
    """Exchange from the raw text, split as the benchmark is.

    Training has the rows 0 to 6070. The windows end at 6101, 6131 … 6221, as in the
    published tables; more of them follow at steps of 30 over the rows left, to 50. The
    calendar is that of the benchmark, business days from 1990 on, and not the true one.

    Raises:
      UserError: the file is another one.
    """
    spec = BENCHMARKS["exchange"]
    if not 1 <= windows <= EXCHANGE_WINDOWS:
        raise UserError(f"{windows} windows of Exchange: give 1 to {EXCHANGE_WINDOWS}")
    options = DataConfig(frequency=spec.frequency, start="1990-01-01")
    table = open_series(path, options)
    if table.frame.shape != (EXCHANGE_ROWS, spec.series):
        rows, columns = table.frame.shape
        raise UserError(
            f"{path}: {rows} x {columns} numbers, not the {EXCHANGE_ROWS} x"
            f" {spec.series} of exchange_rate.txt"
        )
    panel = read_panel(table, options).panel
    starts = [EXCHANGE_TRAINED + spec.horizon * window for window in range(windows)]
    return Backtest(panel, EXCHANGE_TRAINED, tuple(starts), spec.horizon)


def read_archive(folder: str | pathlib.Path, spec: Benchmark) -> Backtest:
    """A benchmark set from a folder as GluonTS writes it.

    The records of the test are windows one after another, in each the series in the
    order of training; each record ends with the rows that are scored. All are laid on
    one grid from the earliest start on; what no record has is NaN (the published
    grouping has the mean there in training, 0 in the test). Of more series than
    the set has, the last ones are used; a window that overlaps the one before is left
    out. Both are as in the published code.

    Args:
      folder: with `train` and `test`.
      spec: of the set.

    Raises:
      UserError: files are missing or damaged, or of another size than the set.
    """
    folder = pathlib.Path(folder)
    train, test = (list(_read_records(folder / part)) for part in ("train", "test"))
    if len(train) < spec.series or not test or len(test) % len(train):
        raise UserError(
            f"{folder}: {len(train)} series in train and {len(test)} in test, where"
            f" {spec.name} has {spec.series} and several windows of each"
        )
    records = train + test
    blocks = [
        records[first : first + len(train)][-spec.series :]
        for first in range(0, len(records), len(train))
    ]
    starts = pd.DatetimeIndex([start for block in blocks for start, _ in block])
    grid = pd.date_range(starts.min(), starts.max(), freq=spec.frequency)
    offsets = locate(starts, grid, spec.frequency).reshape(len(blocks), -1)
    if (offsets < 0).any():
        raise UserError(f"{folder}: starts that are not whole {spec.frequency} apart")
    lengths = np.array([[len(values) for _, values in block] for block in blocks])
    ends = (offsets + lengths).max(axis=1)
    values = np.full((ends.max(), spec.series), np.nan, np.float32)
    for first, block in zip(offsets, blocks, strict=True):
        for series, (_, own) in enumerate(block):
            values[first[series] :, series][: len(own)] = own
    windows = [int(ends[0])]  # where training and windows end
    for end in ends[1:].tolist():
        if end - spec.horizon >= windows[-1]:
            windows.append(end)
    if len(windows) != spec.windows + 1:
        raise UserError(
            f"{folder}: {len(windows) - 1} windows of {spec.horizon} steps after training"
            f" that do not overlap, where {spec.name} has {spec.windows}"
        )
    times = make_times(grid[0], len(values), spec.frequency)
    panel = Panel.of(values, times, spec.frequency)
    first_rows = tuple(end - spec.horizon for end in windows[1:])
    return Backtest(panel, windows[0], first_rows, spec.horizon)


def _read_records(folder: pathlib.Path) -> Iterator[tuple[pd.Timestamp, np.ndarray]]:
    """The series of data.json or data.json.gz: time of the first value, and values."""
    paths = [folder / "data.json", folder / "data.json.gz"]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise UserError(f"{folder}: there is no data.json or data.json.gz there")
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _read_record(line, f"{path}: line {number}")
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: can't be read ({error}): copy it anew") from None


def _read_record(line: bytes, where: str) -> tuple[pd.Timestamp, np.ndarray]:
    try:
        record = json.loads(line)
        values = np.array(record["target"], np.float64)  # null is NaN
        start = pd.Timestamp(record["start"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f'{where}: no object with "start" and "target" ({type(error).__name__})'
        ) from None
    if values.ndim != 1 or not len(values) or start is pd.NaT or start.tzinfo:
        raise UserError(f'{where}: "target" is no list of numbers, or "start" no date')
    values = np.where(np.abs(values) <= LARGEST, values, np.nan)
    return start, values.astype(np.float32)
