"""Training and evaluation: the pointwise network, the list-wise evaluator, the pointer."""

import contextlib
import functools
import pathlib
from typing import Any

from common.config import configs
from common.data import pipeline
from common.parallel import processes
from common.parallel.processes import is_first_process
from common.training import loop_config, metrics, train_loop, workdirs
from common.training.phase import Phase
from common.training.workdirs import RunRecord, Say
from rerank import data, evaluation, report, saved_model
from rerank.config import POINTER, Config
from rerank.run import PhaseState, Run, prepare

# What may change when a run is continued.
FREE = (*loop_config.FREE, "reproduce.", "check.", "search.", "serve.", "pointer_steps")


def train_and_evaluate(
    config: Config, workdir: str | pathlib.Path, *, say: Say = lambda text: None
) -> dict[str, Any]:
    """Trains both networks and evaluates the orders they give on test.

    Continues by itself where the workdir holds checkpoints.

    Args:
      config: of the run.
      workdir: folder for everything it writes.
      say: prints a line of progress.

    Returns:
      The contents of metrics.json: "test/ndcg@10", "test/listwise/gauc", ….

    Raises:
      UserError: whatever the user can mend.
    """
    configs.check_together(config)
    workdir = pathlib.Path(workdir)
    processes.start(config.parallel)
    with workdirs.recording(workdir, "rerank", config, FREE) as record:
        corpus = data.load(config, say, workdir / data.REJECTED)
        for line in data.describe(config, corpus):
            say(line)
        values = train_prepared(prepare(config, corpus), record, say)
        record.finish(values)
    return values


def train_prepared(run: Run, record: RunRecord, say: Say) -> dict[str, Any]:
    """Trains and evaluates a run; saves its model, single requests and report.

    Returns:
      The contents of metrics.json.
    """
    workdir = record.workdir
    record.add_data(run.corpus.fingerprint)
    params = train(run, workdir)
    evaluated = evaluation.evaluate(run, params)
    say(evaluated.verdict)
    host = run.execution.to_host(params)
    if is_first_process():
        saved_model.save(workdir, run.corpus, host, evaluated.calibration)
        evaluation.write_requests(workdir, evaluated.columns)
        report.write(run, workdir, evaluated)
    return evaluated.values


def train(run: Run, workdir: pathlib.Path) -> dict[str, Any]:
    """Trains one network after the other, going on from where an earlier process ended.

    Args:
      run: before its first step.
      workdir: gets checkpoints and metrics.jsonl.

    Returns:
      {phase: the best parameters on validation}, in device form.
    """
    names = list(run.phases)
    result = train_loop.run(
        [*map(functools.partial(_phase, run), names, [None, *names])],
        run.config.train,
        workdir,
        run.execution,
        identity={"data": run.corpus.fingerprint},
    )
    state: PhaseState = result.state
    last = state.params
    return {**state.done, names[-1]: last["pointer"] if names[-1] == POINTER else last}


def _phase(run: Run, name: str, before: str | None) -> Phase:
    """The training of a network; those before ride along, so that all are saved."""
    learner: Any = run.phases[name]

    def init(previous: Any) -> PhaseState:
        if before is None:
            return PhaseState(learner.init(None), {})
        done = {**previous.done, before: previous.params}
        return PhaseState(learner.init(previous.current), done)

    def step(state: PhaseState, batch: Any, key: Any) -> tuple[PhaseState, Any]:
        current, measured = learner.step(state.current, batch, key)
        return state._replace(current=current), measured

    measure = run.execution.compile_eval(
        lambda state, batch: learner.evaluate(state.current, batch)
    )

    def validate(state: PhaseState) -> dict[str, float]:
        requests = run.corpus.splits["validation"]
        with contextlib.closing(run.eval_batches(requests)) as host:  # type: ignore[type-var]
            return metrics.sum_over(measure, state, host).means()

    def batches(first_step: int) -> Any:
        host = run.train_batches(first_step)
        return pipeline.device_prefetch(host, run.execution.put)

    config = run.config
    steps = config.pointer_steps if name == POINTER else config.train.steps
    return Phase(name, steps, init, step, batches, validate)
