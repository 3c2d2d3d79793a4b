"""The one training loop.

A system gives phases: how a state is made (`init`), changed (`step`), fed (`batches`)
and judged (`evaluate`). What the state is made of, the loop does not know: one
optimizer or two, five networks, lazily updated rows all look the same from here.

A run may be killed at any moment. Started again with the same arguments it ends with
the same parameters, best value and metrics.jsonl, bit for bit: the state comes from
the last complete checkpoint, batches and random keys follow from the step number
alone, and metrics.jsonl is cut back to where the checkpoint left it.

    phase = Phase("train", 1000, init, step, batches, evaluate)
    result = run([phase], LoopConfig(), workdir, execution, identity={"data": "9f3c"})

    workdir/metrics.jsonl                 every number, no times
    workdir/checkpoints/<phase>/<step>/   the latest two and the best one
    workdir/tensorboard/  workdir/profile/
"""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from common.config.configs import hint
from common.data import pipeline
from common.errors import UserError
from common.parallel import rng
from common.parallel.execution import Execution, all_finite
from common.training import checkpointing, metrics
from common.training.interruption import EXIT_CODE, Interruption
from common.training.loop_config import LoopConfig
from common.training.metric_writer import MetricWriter

Metrics = dict[str, metrics.Pair]


@dataclasses.dataclass(frozen=True)
class Phase:
    """One stage of training.

    Attributes:
      name: of its checkpoint folder and of its lines in metrics.jsonl.
      steps: how many calls of `step`.
      init: previous -> state, a pure function that is compiled. `previous` is the best
        state of the phase before; for the first phase it is what `run` got as `start`.
      step: (state, batch, key) -> (state, metrics), pure. metrics is
        {name: (sum, weight)} of scalars over the global batch (`devices.sum`) and has
        "loss".
      batches: first step -> endless iterator over this process' rows of the batches
        from that step on. Batch k must be a function of the seed and k alone. Host
        arrays, or what `execution.put` or `execution.replicate` made of them.
      evaluate: state in device form -> {name: number}, the same on all processes.
    """

    name: str
    steps: int
    init: Callable[[Any], Any]
    step: Callable[[Any, Any, jax.Array], tuple[Any, Metrics]]
    batches: Callable[[int], Iterable[Any]]
    evaluate: Callable[[Any], Mapping[str, float]]


SplitEvaluator = Callable[[Any, str], dict[str, float]]


def supervised_phase(
    name: str,
    learner: Any,
    rows: Any,
    config: LoopConfig,
    execution: Execution,
    evaluate: SplitEvaluator | None = None,
) -> Phase:
    """The phase of a model that learns from rows and is measured on others.

    Args:
      name: of the phase.
      learner: has `init` and `step` as in `Phase`, and `evaluate`: (state, batch) ->
        {name: (sum, weight)} over the real rows of a padded batch.
      rows: has `train_batches(config, first step)` and
        `eval_batches(split, batch size)`, both contexts.
      config: of the loop; its steps are those of the phase.
      execution: what to run on.
      evaluate: what `make_evaluator` gave, where it serves other splits as well.
    """
    measure = evaluate or make_evaluator(learner, rows, config, execution)

    def batches(first_step: int) -> Iterable[Any]:
        host = rows.train_batches(config, first_step)
        return pipeline.device_prefetch(host, execution.put)

    return Phase(
        name,
        config.steps,
        learner.init,
        learner.step,
        batches,
        lambda state: measure(state, "validation"),
    )


def make_evaluator(
    learner: Any, rows: Any, config: LoopConfig, execution: Execution
) -> SplitEvaluator:
    """Compiles (state, split) -> {name: mean over the split}.

    Arguments as of `supervised_phase`.
    """
    evaluate_batch = execution.compile_eval(learner.evaluate)

    def evaluate(state: Any, split: str) -> dict[str, float]:
        with rows.eval_batches(split, config.batch_size) as host:
            return metrics.sum_over(evaluate_batch, state, host).means()

    return evaluate


@dataclasses.dataclass(frozen=True)
class Result:
    """What the last phase came to.

    Attributes:
      state: the best one, in device form.
      best_step: number of steps it has seen.
      best_value: its `best_metric` on validation.
      last_step: steps of the phase.
    """

    state: Any
    best_step: int
    best_value: float
    last_step: int


def run(
    phases: Sequence[Phase],
    config: LoopConfig,
    workdir: str | os.PathLike[str],
    execution: Execution,
    *,
    identity: Mapping[str, Any],
    start: Any = None,
) -> Result:
    """Trains phase after phase, going on from where an earlier process ended.

    Args:
      phases: in order, with different names. A finished phase is not run again.
      config: of the loop. Its steps are ignored: each phase has its own.
      workdir: gets checkpoints, metrics.jsonl, TensorBoard files.
      execution: what to run on.
      identity: JSON of what may not change when the run is continued, such as the
        model's settings and the data's fingerprint.
      start: host tree given to the first phase's `init` (pretrained weights).

    Returns:
      The best state of the last phase.

    Raises:
      UserError: for settings that differ from the checkpoint's, damaged checkpoints,
        an unknown `best_metric`, a loss or state that is not finite.
      SystemExit: with 143 after SIGTERM, when all is saved.
    """
    execution.check_batch(config.batch_size)
    if len({phase.name for phase in phases}) < len(phases):
        raise ValueError("two phases have the same name")
    fixed = {
        "seed": config.seed,
        "batch_size": config.batch_size,
        "best_metric": config.best_metric,
        "best_mode": config.best_mode,
        **identity,
    }
    begun = _last_begun(phases, workdir)
    abstract = jax.eval_shape(lambda: start)
    for phase in phases[: max(begun, 0)]:
        abstract = jax.eval_shape(phase.init, abstract)
    previous = execution.replicate(start) if begun < 0 else None
    writer = MetricWriter(
        workdir,
        active=jax.process_index() == 0,
        progress=config.progress,
        tensorboard=config.tensorboard,
    )
    if begun < 0:
        writer.cut_back(0)
    result = None
    with contextlib.closing(writer), Interruption() as interruption:
        for number in range(max(begun, 0), len(phases)):
            phase = phases[number]
            abstract = jax.eval_shape(phase.init, abstract)
            training = _Training(phase, number, config, workdir, execution, writer)
            with contextlib.closing(training.checkpoints):
                state = training.begin(abstract, previous, fixed)
                # The memory of the state before is needed now.
                previous = result = None
                if training.step < phase.steps:
                    training.train(state, interruption)
            result = training.end(abstract)
            previous = result.state
    if result is None:
        raise ValueError("a run needs at least one phase")
    return result


class _Carry(NamedTuple):
    """What goes from step to step on the device."""

    state: Any
    first_bad: jax.Array  # number of the first step with a bad loss, or -1


class _Training:
    """One phase in progress."""

    def __init__(
        self,
        phase: Phase,
        number: int,
        config: LoopConfig,
        workdir: str | os.PathLike[str],
        execution: Execution,
        writer: MetricWriter,
    ):
        self.phase = phase
        self.number = number
        self.config = config
        self.workdir = workdir
        self.execution = execution
        self.writer = writer
        self.step = 0
        self.window = metrics.Sums()
        self.checkpoints = checkpointing.Checkpoints(
            checkpointing.phase_directory(workdir, phase.name)
        )
        self.profiler = _Profiler(config, os.path.join(workdir, "profile"))
        self.compiled = execution.compile_step(self._guarded_step)
        self.finite = execution.compile_eval(lambda s, _: all_finite(s))

    def begin(self, abstract: Any, previous: Any, identity: Mapping[str, Any]) -> Any:
        """Restores the state and what belongs to it, or makes a new one."""
        self.identity = identity
        restored = self.checkpoints.restore_latest(abstract, self.execution, identity)
        if restored is None:
            return self.execution.init(self.phase.init, previous)
        self.step = restored.step
        self.window = metrics.Sums.from_json(restored.about["window"])
        self.writer.cut_back(restored.about["metrics_bytes"])
        logging.info("%s: going on from step %d", self.phase.name, self.step)
        return restored.state

    def train(self, state: Any, interruption: Interruption) -> None:
        """The loop itself."""
        carry = _Carry(state, self.execution.replicate(np.int32(-1)))
        root = rng.stream(rng.root(self.config.seed), self.phase.name)
        key = np.asarray(jax.random.key_data(root))
        self.writer.start(self.phase.name, self.step, self.phase.steps)
        batches = iter(self.phase.batches(self.step))
        try:
            while self.step < self.phase.steps:
                self.profiler.before(self.step)
                batch = next(batches, None)
                if batch is None:
                    raise RuntimeError(
                        f"phase {self.phase.name!r}: batches ended at step {self.step} "
                        f"of {self.phase.steps}; they must go on for ever"
                    )
                carry, measured = self.compiled(carry, batch, key, np.int32(self.step))
                self.step += 1
                self.window.add(measured)
                self.writer.advance()
                self.profiler.after(self.step, measured)
                stop = interruption.requested()
                if self._due(self.config.log_every):
                    self._log(carry)
                if self._due(self.config.eval_every):
                    self._save(carry, self._evaluate(carry))
                elif stop or self._due(self.config.checkpoint_every):
                    self._save(carry, None)
                if stop:
                    raise SystemExit(EXIT_CODE)
        finally:
            self.profiler.stop()
            self.writer.stop()
            if hasattr(batches, "close"):
                batches.close()

    def end(self, abstract: Any) -> Result:
        """Reads the best state."""
        best = checkpointing.load_best(
            self.workdir, self.phase.name, abstract, self.execution
        )
        return Result(best.state, best.step, best.about["value"], self.step)

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.phase.steps

    def _guarded_step(self, carry: _Carry, batch: Any, key_data: Any, number: Any):
        """The system's step, with its key, and with an eye on the loss."""
        key = rng.at(jax.random.wrap_key_data(key_data), number)
        state, measured = self.phase.step(carry.state, batch, key)
        total, weight = measured["loss"]
        good = jnp.isfinite(total) & jnp.isfinite(weight)
        bad_now = (carry.first_bad < 0) & ~good
        return _Carry(state, jnp.where(bad_now, number, carry.first_bad)), measured

    def _check_finite(self, carry: _Carry) -> None:
        """Stops the run at a loss that is not finite."""
        first_bad = int(self.execution.to_host(carry.first_bad))
        if first_bad >= 0:
            raise UserError(
                f"phase {self.phase.name!r}: the loss of step {first_bad + 1} is not "
                "finite; checkpoints before it are kept. Lower the learning rate, clip "
                "gradients or look at that batch"
            )

    def _log(self, carry: _Carry) -> None:
        self._check_finite(carry)
        means = self.window.means()
        self.window = metrics.Sums()
        line = {f"train/{name}": value for name, value in means.items()}
        self.writer.write(self.phase.name, self.step, line)
        self.writer.report(self.phase.name, self.step, self.phase.steps, means)

    def _evaluate(self, carry: _Carry) -> float:
        """Judges the state; returns its best_metric."""
        self._check_finite(carry)
        values = dict(self.phase.evaluate(carry.state))
        name = self.config.best_metric
        if name not in values:
            raise UserError(
                f"there is no validation metric {name!r}{hint(name, values)}; there "
                f"are {', '.join(sorted(values))}"
            )
        line = {f"validation/{key}": float(value) for key, value in values.items()}
        self.writer.write(self.phase.name, self.step, line)
        return float(values[name])

    def _save(self, carry: _Carry, value: float | None) -> None:
        """Saves the state if it is good; `value` is its best_metric, if known."""
        self._check_finite(carry)
        if not self.execution.read(self.finite(carry.state, {})):
            raise UserError(
                f"phase {self.phase.name!r}: after step {self.step} the state is not "
                "finite; it was not saved. Lower the learning rate or clip gradients"
            )
        about = {
            "phase": self.phase.name,
            "phase_number": self.number,
            "identity": self.identity,
            "value": value,
            "window": self.window.to_json(),
            "metrics_bytes": self.writer.position(),
        }
        sign = 1.0 if self.config.best_mode == "max" else -1.0
        self.checkpoints.save(
            self.step,
            carry.state,
            about,
            self.execution,
            score=None if value is None else sign * value,
        )


class _Profiler:
    """Traces a few steps for TensorBoard's or Perfetto's profile view."""

    def __init__(self, config: LoopConfig, directory: str):
        self._first = config.profile_start
        self._steps = config.profile_steps
        self._directory = directory
        self._running = False

    def before(self, step: int) -> None:
        """Starts when the step is the first to trace."""
        if self._first and step == self._first:
            jax.profiler.start_trace(self._directory)
            self._running = True

    def after(self, step: int, measured: Metrics) -> None:
        """Stops after the last step to trace."""
        if self._running and step >= self._first + self._steps:
            jax.block_until_ready(measured)
            self.stop()

    def stop(self) -> None:
        """Writes the trace, if one is running."""
        if self._running:
            jax.profiler.stop_trace()
            self._running = False


def _last_begun(phases: Sequence[Phase], workdir: str | os.PathLike[str]) -> int:
    """Index of the last phase with a checkpoint, -1 for none.

    Raises:
      UserError: where a phase before it has not run to its end.
    """
    latest = [checkpointing.latest_step(workdir, phase.name) for phase in phases]
    begun = [i for i, step in enumerate(latest) if step is not None]
    last = begun[-1] if begun else -1
    for phase, step in zip(phases[: max(last, 0)], latest, strict=False):
        if step is None or step < phase.steps:
            raise UserError(
                f"{workdir}: phase {phases[last].name!r} has begun, but phase "
                f"{phase.name!r} before it has {step or 0} of {phase.steps} steps; put "
                "its steps back or use another --workdir"
            )
    return last
