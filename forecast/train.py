"""Training and evaluation, from start to report."""

import pathlib
from typing import Any

import numpy as np

from common.config import configs
from common.parallel import processes
from common.parallel.processes import is_first_process
from common.training import loop_config, train_loop, workdirs
from common.training.phase import supervised_phase
from common.training.workdirs import RunRecord, Say
from forecast import data, evaluation, report, saved_model
from forecast.config import Config
from forecast.panel.backtest import Backtest
from forecast.run import Run, prepare

# What may change when a run is continued.
FREE = (
    *(*loop_config.FREE, "reproduce.", "check.", "explain.", "predict."),
    *("backtest.paths", "backtest.refit"),
)


def train_and_evaluate(
    config: Config, workdir: str | pathlib.Path, *, say: Say = lambda text: None
) -> dict[str, Any]:
    """Trains a network and scores its forecasts of the test windows.

    Continues by itself where the workdir holds checkpoints.

    Args:
      config: of the run.
      workdir: folder for everything it writes.
      say: prints a line of progress.

    Returns:
      The contents of metrics.json: "test/crps", "test/seasonal_naive/crps", ….

    Raises:
      UserError: whatever the user can mend.
    """
    configs.check_together(config)
    workdir = pathlib.Path(workdir)
    processes.start(config.parallel)
    with workdirs.recording(workdir, "forecast", config, FREE) as record:
        backtest = data.load(config, say, workdir / data.REJECTED)
        for line in data.describe(config, backtest):
            say(line)
        values = train_prepared(prepare(config, backtest), record, say)
        record.finish(values)
    return values


def train_prepared(run: Run, record: RunRecord, say: Say) -> dict[str, Any]:
    """Trains and evaluates a run; saves its model, single windows and report.

    Returns:
      The contents of metrics.json.
    """
    workdir = record.workdir
    record.add_data(run.backtest.panel.fingerprint)
    state = train(run, workdir, say)
    evaluated = evaluation.evaluate(run, state)
    if broken := evaluated.values["test/broken_paths"]:
        say(f"warning: {broken:,} sample paths of test were not finite; see the report")
    host = run.execution.to_host((state.params, state.batch_stats))
    if is_first_process():
        saved_model.save(workdir, run, *host)
        evaluation.write_windows(workdir, evaluated.tables)
        report.write(run, workdir, evaluated)
    return evaluated.values


def train(run: Run, workdir: pathlib.Path, say: Say) -> Any:
    """Trains the network, going on from where an earlier process ended.

    Returns:
      The best state on validation, in device form. Of the width model that may be the
      first one, a walk as good as any.
    """
    config = run.config.train
    phase = supervised_phase("train", run.learner, run, config, run.execution)
    result = train_loop.run(
        [phase],
        config,
        workdir,
        run.execution,
        identity={"data": run.backtest.panel.fingerprint},
    )
    if run.config.model.name == "width":
        first = run.execution.init(run.learner.init, None)
        sign = 1.0 if config.best_mode == "max" else -1.0
        if sign * phase.evaluate(first)[config.best_metric] >= sign * result.best_value:
            say("validation likes nothing better than the walk as it begins")
            return first
    return result.state


def sample_refitted(
    run: Run, split: str, workdir: pathlib.Path, say: Say
) -> np.ndarray:
    """Paths [W, S, H, D] of networks that are trained on all rows before their window.

    Goes on where an earlier process ended.

    Args:
      run: prepared; its settings are those of each network.
      split: whose windows, see `evaluation.windows_of`.
      workdir: a folder for checkpoints.
      say: prints a line of progress.
    """
    backtest, found = evaluation.windows_of(run, split), []
    for number, start in enumerate(backtest.starts, 1):
        say(f"window {number} of {len(backtest.starts)}: trained on {start:,} steps")
        window = Backtest(backtest.panel, start, (start,), backtest.horizon)
        alone = prepare(run.config, window)
        state = train(alone, workdir / f"window{number}", say)
        parts = (alone.learner, alone.execution, alone.grid, state)
        found.append(evaluation.sample(*parts, alone.starts["test"]))
    return np.concatenate(found)
