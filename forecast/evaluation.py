"""Forecasts of the windows of a backtest, and how good they and the baselines are."""

import contextlib
import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np

from common.parallel.execution import Execution
from common.training import activity
from forecast import baselines, metrics
from forecast.metrics import Table
from forecast.run import Run, window_batches
from forecast.step import Learner

WINDOWS = "windows_test.npz"
NETWORK = "network"
_SEED = 0  # of the baselines' draws
_AT_ONCE = 8  # windows
# In every report; the two others take a fit a series and window.
REPORTED = tuple(
    name for name in baselines.BASELINES if name not in baselines.NEED_STATSMODELS
)


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluated:
    """What a trained network and the baselines did on test.

    Attributes:
      values: contents of metrics.json.
      tables: {forecaster: {score: table}}; `NETWORK` is the network.
      paths: of the network, [W, S, H, D].
    """

    values: dict[str, Any]
    tables: dict[str, dict[str, Table]]
    paths: np.ndarray


@activity.doing("forecasting the test windows")
def evaluate(run: Run, state: Any) -> Evaluated:
    """Samples and scores the test windows, beside the baselines.

    Args:
      run: prepared.
      state: in device form.
    """
    targets = run.backtest.targets
    parts = (run.learner, run.execution, run.grid)
    paths, broken = mend(sample(*parts, state, run.starts["test"]))
    tables = {NETWORK: score(run, paths)}
    for name in REPORTED:
        simulated = (
            baselines.simulate(
                name,
                run.backtest.history(window).values,
                run.backtest.horizon,
                run.config.backtest.paths,
                np.random.default_rng([_SEED, window]),
                run.backtest.panel.season,
            )
            for window in range(len(targets))
        )
        tables[name] = score(run, simulated)
    values: dict[str, Any] = {"test/broken_paths": broken}
    for name, table in tables.items():
        prefix = "test/" if name == NETWORK else f"test/{name}/"
        means = {key: each.mean for key, each in table.items()}
        values |= {
            prefix + key: mean for key, mean in means.items() if np.isfinite(mean)
        }
    return Evaluated(values, tables, paths)


def sample(
    learner: Learner, execution: Execution, grid: Any, state: Any, starts: np.ndarray
) -> np.ndarray:
    """Paths [W, S, H, D] of windows, on every process.

    Args:
      learner: of the network.
      execution: what it runs on.
      grid: the panel, of `put_grid`.
      state: in device form.
      starts: int32 [W], rows at which horizons start.
    """
    paths = learner.config.backtest.paths
    sampler = execution.predict_all(functools.partial(learner.sample, paths=paths))
    parts = execution.data_size
    size = -(-min(len(starts), _AT_ONCE) // parts) * parts
    batches = window_batches(grid, starts, size)
    with contextlib.closing(batches):  # type: ignore[type-var]
        found: np.ndarray = sampler(state, batches, len(starts))
    return found


def mend(paths: np.ndarray) -> tuple[np.ndarray, int]:
    """Puts finite paths of the same window in the place of those that are not.

    Args:
      paths: [W, S, H, D].

    Returns:
      (finite paths, how many were not).

    Raises:
      FloatingPointError: no path of a window is finite.
    """
    finite = np.isfinite(paths).all((2, 3))  # [W, S]
    broken = int((~finite).sum())
    if broken:
        if not finite.any(1).all():
            raise FloatingPointError("no sample path of a window is finite")
        paths = paths.copy()
        for window in np.flatnonzero(~finite.all(1)):
            good, bad = (
                np.flatnonzero(bits) for bits in (finite[window], ~finite[window])
            )
            paths[window, bad] = paths[window, good[np.arange(len(bad)) % len(good)]]
    return paths, broken


def score(run: Run, paths: Any) -> dict[str, Table]:
    """All scores of paths of the test windows, which may come one by one."""
    backtest = run.backtest
    history = backtest.train.values
    return metrics.score(paths, backtest.targets, history, backtest.panel.season)


def write_windows(workdir: pathlib.Path, evaluated: Evaluated) -> None:
    """Writes what each test window adds to the scores, for claims that are paired."""
    columns = {
        f"{name}/{key}": table.by_window
        for name, tables in evaluated.tables.items()
        for key, table in tables.items()
    }
    with open(workdir / WINDOWS, "wb") as file:
        np.savez(file, **columns)  # type: ignore[arg-type]
