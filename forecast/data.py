"""Where series come from: the generated demand, own tables, or a published set."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.errors import UserError
from common.tables.cells import quoted
from common.training import activity
from common.training.workdirs import Say
from forecast.config import Config
from forecast.generated import demand
from forecast.panel.backtest import Backtest, make_backtest
from forecast.panel.benchmarks import BENCHMARKS, read_archive, read_exchange
from forecast.panel.table_files import read_panel

REJECTED = "rejected.csv"  # in a working directory


@activity.doing("preparing the data")
def load(
    config: Config,
    say: Say = lambda text: None,
    rejected_file: pathlib.Path | None = None,
) -> Backtest:
    """Reads or generates a panel, and sets its last windows aside for the test.

    Raises:
      UserError: whatever is wrong with the table; it is too short, or has counts below
        0.
    """
    if config.data.benchmark:
        return _load_benchmark(config)
    if config.data.path:
        reading = read_panel(
            pathlib.Path(config.data.path), config.data, rejected_file=rejected_file
        )
        if reading.note:
            say(reading.note)
        panel = reading.panel
    else:
        panel = demand.make_panel(config.demand)
    below = (panel.values < 0).any(axis=0)
    if config.window.support == "count" and below.any():
        raise UserError(
            f"--window.support=count, but {below.sum():,} series have values below 0"
            f" ({name_some(panel.ids, below)}): correct them or set"
            " --window.support=real"
        )
    return make_backtest(panel, config.window.horizon, config.backtest.windows)


def name_some(ids: Sequence[str], meant: Any) -> str:
    """The first five ids of those meant, bool [D], and how many more there are."""
    names = [quoted(ids[number]) for number in np.flatnonzero(meant).tolist()]
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _load_benchmark(config: Config) -> Backtest:
    """A published set with the windows that were scored; of exchange perhaps more."""
    spec, path = BENCHMARKS[config.data.benchmark], pathlib.Path(config.data.path)
    if config.window.horizon != spec.horizon:
        raise UserError(
            f"{spec.name} has windows of {spec.horizon} steps: set"
            f" --window.horizon={spec.horizon}"
        )
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder")
    if path.is_dir():
        return read_archive(path, spec)
    return read_exchange(path, config.backtest.windows)


def describe(config: Config, backtest: Backtest) -> list[str]:
    """What a run prints of its data, one line each."""
    panel = backtest.panel
    first, last = (f"{time:%Y-%m-%d %H:%M}" for time in panel.times[[0, -1]])
    size = (
        f"{len(panel.ids):,} series, {len(panel.values):,} steps of {panel.frequency},"
        f" {first.removesuffix(' 00:00')} to {last.removesuffix(' 00:00')};"
        f" {np.isnan(panel.values).mean():.1%} of the values missing"
    )
    split = (
        f"trained on the first {backtest.train_rows:,} steps, the last"
        f" {validation_rows(config, backtest):,} of them to choose; test: {len(backtest.starts)}"
        f" windows of {backtest.horizon}"
    )
    return [size, split]


def validation_rows(config: Config, backtest: Backtest) -> int:
    """Rows at the end of the training rows that choose the best state.

    Five horizons; of a short table a fifth of its training rows, and at least one
    horizon, so that longer lags find something to look back on.
    """
    horizon = backtest.horizon
    usual = min(5 * horizon, max(horizon, backtest.train_rows // 5))
    return config.backtest.validation or usual
