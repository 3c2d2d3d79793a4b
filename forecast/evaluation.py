"""Forecasts of the windows of a backtest, and how good they and the baselines are."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from common.parallel.execution import Execution
from common.reports.claims import Verdict, verdict_over_windows
from common.training import activity
from forecast import baselines, data, metrics
from forecast.config import Config
from forecast.generated import demand
from forecast.metrics import Table
from forecast.panel.backtest import Backtest, make_backtest
from forecast.panel.benchmarks import BENCHMARKS
from forecast.panel.hierarchy import sum_groups
from forecast.run import Run, window_batches
from forecast.scores import marginal
from forecast.scores.tables import tabulate
from forecast.step import Learner

WINDOWS = "windows_test.npz"
NETWORK = "network"
_AT_ONCE = 8  # windows
OF_SUMS = ("crps", "wape", "coverage_90")
# In every report; the two others take a fit a series and window.
REPORTED = tuple(
    name for name in baselines.BASELINES if name not in baselines.NEED_STATSMODELS
)


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluated:
    """What a trained network and the baselines did on the windows of a split.

    Attributes:
      values: contents of metrics.json.
      tables: {forecaster: {score: table}}; `NETWORK` is the network.
      paths: of the network, [W, S, H, D].
    """

    values: dict[str, Any]
    tables: dict[str, dict[str, Table]]
    paths: np.ndarray


@activity.doing("forecasting the windows")
def evaluate(run: Run, state: Any, split: str = "test") -> Evaluated:
    """Samples and scores the windows of a split, beside the baselines.

    Args:
      run: prepared.
      state: in device form.
      split: see `windows_of`.
    """
    starts = np.array(windows_of(run, split).starts, np.int32)
    paths = sample(run.learner, run.execution, run.grid, state, starts)
    return evaluate_paths(run, paths, split)


def evaluate_paths(run: Run, paths: np.ndarray, split: str = "test") -> Evaluated:
    """Scores sample paths [W, S, H, D] of the windows of a split, beside the baselines."""
    backtest = windows_of(run, split)
    paths, broken = mend(paths)
    tables = {NETWORK: score(backtest, paths)}
    for name in REPORTED:
        tables[name] = score_baseline(run.config, backtest, name)
    values: dict[str, Any] = {f"{split}/broken_paths": broken}
    if not (run.config.data.path or run.config.data.benchmark):
        recovered = demand.recover_correlation(
            run.config.demand, backtest.starts, paths
        )
        values |= {f"{split}/correlation/{k}": v for k, v in recovered.items()}
    for name, table in tables.items():
        prefix = f"{split}/" if name == NETWORK else f"{split}/{name}/"
        values |= summarise(run.config, table, prefix)
    return Evaluated(values, tables, paths)


def windows_of(run: Run, split: str) -> Backtest:
    """The windows of a split.

    Those of "validation" are as many horizons as lie within its rows; those of "train"
    are as many as in test, before these.
    """
    backtest, horizon = run.backtest, run.backtest.horizon
    if split == "test":
        return backtest
    rows = data.validation_rows(run.config, backtest)
    end, count = backtest.train_rows, rows // horizon
    if split == "train":
        end, count = end - rows, len(backtest.starts)
    return make_backtest(backtest.panel.prefix(end), horizon, count)


def score_baseline(config: Config, backtest: Backtest, name: str) -> dict[str, Table]:
    """Scores of a baseline, whose paths are drawn window by window, by the run's seed."""
    simulated = (
        baselines.simulate(
            name,
            backtest.history(window).values,
            backtest.horizon,
            config.backtest.paths,
            np.random.default_rng([config.train.seed, window]),
            backtest.panel.season,
        )
        for window in range(len(backtest.starts))
    )
    return score(backtest, simulated)


def summarise(
    config: Config, tables: Mapping[str, Table], prefix: str
) -> dict[str, float]:
    """Means of scores; of a published set with more test windows, of its own ones too."""
    found, spec = dict(tables), BENCHMARKS.get(config.data.benchmark)
    if (
        spec
        and prefix.startswith("test/")
        and len(tables["crps"].values) > spec.windows
    ):
        for name in ("crps", "crps_sum"):
            parts = (column[: spec.windows] for column in tables[name])
            found[f"published/{name}"] = Table(*parts)
    means = {prefix + name: table.mean for name, table in found.items()}
    return {name: mean for name, mean in means.items() if np.isfinite(mean)}


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
    parts = execution.data_size
    size = -(-min(len(starts), _AT_ONCE) // parts) * parts
    with contextlib.closing(window_batches(grid, starts, size)) as batches:  # type: ignore[type-var]
        found: np.ndarray = _sampler(learner, execution)(state, batches, len(starts))
    return found


@functools.lru_cache(maxsize=1)  # what is compiled serves for many tables
def _sampler(learner: Learner, execution: Execution) -> Any:
    paths = learner.config.backtest.paths
    return execution.predict_all(functools.partial(learner.sample, paths=paths))


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
    if finite.all():
        return paths, 0
    if not finite.any(1).all():
        raise FloatingPointError("no sample path of a window is finite")
    paths = paths.copy()
    for path, good in zip(paths, finite, strict=True):
        path[~good] = path[np.resize(np.flatnonzero(good), (~good).sum())]
    return paths, int((~finite).sum())


def score(backtest: Backtest, paths: Any) -> dict[str, Table]:
    """All scores of paths of the windows, which may come one by one.

    Beside those of `metrics.score`, and from the same paths, `OF_SUMS` of the sums of
    each level of the hierarchy and of all series, as "level/category/crps"; but CRPS of
    the total is crps_sum. Both sides leave out what is missing in the target.
    """
    panel, targets = backtest.panel, backtest.targets
    sums: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}

    def note_sums() -> Iterator[np.ndarray]:
        for path, target in zip(paths, targets, strict=True):
            observed = np.where(np.isnan(target), np.nan, path)
            drawn = sum_groups(observed, panel.groups)
            for level, truth in sum_groups(target, panel.groups).items():
                pair = np.nan_to_num(drawn[level].values), truth.values
                sums.setdefault(level, []).append(pair)
            yield path

    tables = metrics.score(note_sums(), targets, backtest.train.values, panel.season)
    for level, pairs in sums.items() if len(panel.ids) > 1 else ():
        found = tabulate(marginal.unscaled, *zip(*pairs, strict=True))
        names = OF_SUMS if level in panel.groups else OF_SUMS[1:]
        tables |= {f"level/{level}/{name}": found[name] for name in names}
    return tables


def beats(claim: str, own: np.ndarray, other: np.ndarray) -> Verdict:
    """Whether a score [W] of each window is below another's, as a share of that.

    Paired over windows by a block bootstrap, in blocks of about the cube root of W.
    """
    size = abs(float(other.mean())) or 1.0
    block = max(round(len(own) ** (1 / 3)), 1)
    return verdict_over_windows(claim, -own / size, -other / size, block=block)


def write_windows(
    workdir: pathlib.Path, tables: Mapping[str, Mapping[str, Table]]
) -> None:
    """Writes what each window adds to the scores, for claims that are paired.

    Args:
      workdir: of the run.
      tables: {forecaster: {score: table}}.
    """
    columns = {
        f"{name}/{key}": table.by_window
        for name, of_one in tables.items()
        for key, table in of_one.items()
    }
    with open(workdir / WINDOWS, "wb") as file:
        np.savez(file, **columns)  # type: ignore[arg-type]
