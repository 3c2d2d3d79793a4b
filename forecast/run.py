"""What stands before the first step of a run: windows, network, devices."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from common.data import array_batches
from common.data.array_batches import Batch
from common.errors import UserError
from common.parallel.execution import Execution, make_execution
from common.training.loop_config import LoopConfig
from forecast import windows
from forecast.config import Config
from forecast.data import validation_rows
from forecast.panel.backtest import Backtest
from forecast.panel.panel import Panel
from forecast.step import Learner

_VALIDATED = 64  # windows of validation, at most


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run whose data are there.

    Attributes:
      config: of the run.
      backtest: panel and test windows.
      execution: what it runs on.
      learner: the network and its step.
      grid: the panel in device form.
      starts: {split: rows int32 at which horizons start}.
    """

    config: Config
    backtest: Backtest
    execution: Execution
    learner: Learner
    grid: Any
    starts: dict[str, np.ndarray]

    def train_batches(self, config: LoopConfig, start_step: int) -> Iterator[Batch]:
        """This process' rows of the endless training batches; close it."""
        starts = self.starts["train"]
        batches = array_batches.train_batches(
            len(starts),
            lambda rows: {"start": starts[rows]},
            batch_size=config.batch_size,
            seed=config.seed,
            start_step=start_step,
        )
        with contextlib.closing(batches):  # type: ignore[type-var]
            for batch in batches:
                yield {**batch, "grid": self.grid}

    @contextlib.contextmanager
    def eval_batches(self, split: str, batch_size: int) -> Iterator[Any]:
        """This process' rows of the windows of a split, in order, the last padded."""
        batches = window_batches(self.grid, self.starts[split], batch_size)
        with contextlib.closing(batches):  # type: ignore[type-var]
            yield batches


def prepare(config: Config, backtest: Backtest) -> Run:
    """A run over a panel, ready to be trained or evaluated.

    Raises:
      UserError: a batch that can't be spread over the devices, or a table that is too
        short.
    """
    execution = make_execution(config.parallel)
    execution.check_batch(config.train.batch_size)
    chosen = validation_rows(config, backtest)
    end = backtest.train_rows - chosen
    train = backtest.panel.prefix(max(end, 1))
    sizes = windows.sizes_of(config, train)
    if np.isnan(backtest.panel.values).any():
        sizes = dataclasses.replace(sizes, missing=True)
    starts = {
        "train": _starts_within(end, sizes.horizon, sizes.past),
        "validation": _thin(
            np.arange(max(end, 1), backtest.train_rows - sizes.horizon + 1)
        ),
        "test": np.array(backtest.starts, np.int32),
    }
    if not len(starts["train"]) or not len(starts["validation"]):
        raise UserError(
            f"{len(backtest.panel.values)} steps are too few: the test takes"
            f" {len(backtest.panel.values) - backtest.train_rows}, validation {chosen},"
            f" and a window of training {sizes.horizon} and a step before; choose"
            " smaller --backtest.windows, --backtest.validation or --window.horizon"
        )
    learner = Learner(config, sizes, execution.devices)
    grid = put_grid(learner, backtest.panel, execution)
    return Run(config, backtest, execution, learner, grid, starts)


def put_grid(
    learner: Learner,
    panel: Panel,
    execution: Execution,
    series: np.ndarray | None = None,
) -> Any:
    """A panel in device form, from which windows are cut; see `make_grid`."""
    grid = windows.make_grid(learner.config, learner.sizes, panel, series)
    return execution.replicate(grid._asdict())


def window_batches(grid: Any, starts: np.ndarray, batch_size: int) -> Iterator[Batch]:
    """This process' rows of windows by their starts, the last batch padded; close it."""
    batches = array_batches.eval_batches(
        len(starts), lambda rows: {"start": starts[rows]}, batch_size=batch_size
    )
    with contextlib.closing(batches):  # type: ignore[type-var]
        for batch in batches:
            yield {**batch, "grid": grid}


def _starts_within(rows: int, horizon: int, past: int) -> np.ndarray:
    """Where horizons may start in so many rows, with as much past as there is."""
    last = rows - horizon
    # Of a short table the earliest windows look back on rows that are not there.
    first = min(past, max(last // 2, 1))
    return np.arange(first, last + 1, dtype=np.int32)


def _thin(starts: np.ndarray) -> np.ndarray:
    """At most 64 of these, evenly."""
    if len(starts) > _VALIDATED:
        places = np.linspace(0, len(starts) - 1, _VALIDATED).round().astype(int)
        starts = starts[places]
    return starts.astype(np.int32)
