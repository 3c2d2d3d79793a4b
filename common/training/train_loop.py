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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from common.config.configs import hint
from common.errors import UserError
from common.parallel import rng
from common.parallel.execution import Execution, all_finite
from common.training import activity, checkpointing, metrics, patience
from common.training.interruption import Interruption
from common.training.loop_config import LoopConfig
from common.training.metric_writer import MetricWriter, read_curves
from common.training.phase import Metrics, Phase
from common.training.profiler import Profiler


@dataclasses.dataclass(frozen=True)
class Result:
    """What the last phase came to.

    Attributes:
      state: the best one, in device form.
      best_step: number of steps it has seen.
      best_value: its `best_metric` on validation.
      last_step: steps that the phase took.
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
      SystemExit: with 143 after SIGTERM and 130 after Ctrl-C, when all is saved.
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
    with (
        contextlib.closing(writer),
        activity.watched(config.progress),
        Interruption() as interruption,
    ):
        for number in range(max(begun, 0), len(phases)):
            phase = phases[number]
            abstract = jax.eval_shape(phase.init, abstract)
            training = _Training(phase, number, config, workdir, execution, writer)
            with training.saving():
                state = training.begin(abstract, previous, fixed)
                # The memory of the state before is needed now.
                previous = result = None
                trains = not training.ended
                stop = trains and training.train(state, interruption)
            interruption.release()
            if stop or interruption.noted:
                writer.say(
                    f"{phase.name}: saved step {training.step}; the same command"
                    " continues"
                )
                raise SystemExit(interruption.exit_code)
            result = training.end(abstract)
            if trains:
                training.sum_up(result)
            previous = result.state
    if result is None:
        raise ValueError("a run needs at least one phase")
    return result


class _Carry(NamedTuple):
    """What goes from step to step on the device."""

    state: Any
    first_bad: jax.Array  # number of the first step with a bad loss, or -1
    number: jax.Array  # of the next step
    key: jax.Array  # data of the phase's key


Step = Callable[[_Carry, Any], tuple[_Carry, Metrics]]


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
        self.profiler = Profiler(config, os.path.join(workdir, "profile"))
        self.patience = patience.Patience(config.patience, config.best_mode)
        self.compiled = execution.compile_step(self._guarded_step)
        self.inspect = execution.compile_eval(
            lambda s, _: (all_finite(s), metrics.norm(phase.parameters(s)))
        )

    @property
    def ended(self) -> bool:
        """Whether the phase has come to its end."""
        return self.step >= self.phase.steps or self.patience.over

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Waits at its end until all is saved."""
        try:
            yield
        finally:
            with activity.doing("saving"):
                self.checkpoints.close()

    def begin(self, abstract: Any, previous: Any, identity: Mapping[str, Any]) -> Any:
        """Restores the state and what belongs to it, or makes a new one."""
        self.identity = identity
        with activity.doing("looking for checkpoints"):
            restored = self.checkpoints.restore_latest(
                abstract, self.execution, identity
            )
        if restored is None:
            with activity.doing("making the first state"):
                return self.execution.init(self.phase.init, previous)
        self.step = restored.step
        self.window = metrics.Sums.from_json(restored.about["window"])
        self.patience.restore(restored.about.get("patience", {}))
        self.writer.cut_back(restored.about["metrics_bytes"])
        if not self.ended:
            self.writer.say(f"{self.phase.name}: continuing from step {self.step}")
        return restored.state

    def train(self, state: Any, interruption: Interruption) -> bool:
        """The loop itself; returns whether it was asked to end."""
        root = rng.stream(rng.root(self.config.seed), self.phase.name)
        key = np.asarray(jax.random.key_data(root))
        numbers = (np.int32(-1), np.int32(self.step), key)
        carry = _Carry(state, *self.execution.replicate(numbers))
        self.writer.start(self.phase.name, self.step, self.phase.steps)
        batches = iter(self.phase.batches(self.step))
        step = self._first_step
        try:
            while True:
                with activity.doing(self._position):
                    carry, measured = self._advance(step, carry, batches)
                step = self._next_step
                interruption.hold()
                self.profiler.after(self.step, measured)
                stop = interruption.requested()
                self._look(carry, stop)
                if stop or self.ended:
                    return stop
        finally:
            self.profiler.stop()
            self.writer.stop()
            if hasattr(batches, "close"):
                batches.close()

    def _position(self) -> str:
        return f"{self.phase.name}, step {self.step + 1} of {self.phase.steps}"

    def _first_step(self, carry: _Carry, batch: Any) -> tuple[_Carry, Metrics]:
        with self.writer.paused("compiling"):
            return self._next_step(carry, batch)

    def _next_step(self, carry: _Carry, batch: Any) -> tuple[_Carry, Metrics]:
        # What is copied without being told to be would hold up every step.
        with jax.transfer_guard_host_to_device("disallow"):
            return self.compiled(carry, batch)

    def _advance(
        self, step: Step, carry: _Carry, batches: Iterator[Any]
    ) -> tuple[_Carry, Metrics]:
        """One step, without waiting for its end."""
        self.profiler.before(self.step)
        batch = next(batches, None)
        if batch is None:
            raise RuntimeError(
                f"phase {self.phase.name!r}: batches ended at step {self.step} "
                f"of {self.phase.steps}; they must go on for ever"
            )
        carry, measured = step(carry, batch)
        self.step += 1
        self.window.add(measured)
        self.writer.advance()
        return carry, measured

    def _look(self, carry: _Carry, stop: bool) -> None:
        """Logs, evaluates and saves where one of these is due after a step."""
        if self._due(self.config.log_every):
            self._log(carry)
        if self._due(self.config.eval_every):
            value = self._evaluate(carry)
            self.patience.add(value)
            self._save(carry, value)
        elif stop or self._due(self.config.checkpoint_every):
            self._save(carry, None)

    def end(self, abstract: Any) -> Result:
        """Reads the best state."""
        best = checkpointing.load_best(
            self.workdir, self.phase.name, abstract, self.execution
        )
        return Result(best.state, best.step, best.about["value"], self.step)

    def sum_up(self, result: Result) -> None:
        """Says what was noticed about the number of steps."""
        if not self.writer.active:
            return
        name, metric = self.phase.name, self.config.best_metric
        if self.patience.over:
            self.writer.say(
                f"{name}: ended after step {self.step}: validation {metric} was best at"
                f" step {result.best_step}, {self.patience.waited} evaluations before"
            )
            return
        curves = read_curves(self.workdir, name)
        text = patience.describe_rise(
            curves, metric, self.config.best_mode, result.best_step
        )
        if text is not None:
            self.writer.say(f"{name}: {text}")

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.phase.steps

    def _guarded_step(self, carry: _Carry, batch: Any) -> tuple[_Carry, Metrics]:
        """The system's step, with its key, and with an eye on the loss."""
        number = carry.number
        key = rng.at(jax.random.wrap_key_data(carry.key), number)
        # While it is traced, constants may go to the device.
        with jax.transfer_guard_host_to_device("allow"):
            state, measured = self.phase.step(carry.state, batch, key)
        total, weight = measured["loss"]
        good = jnp.isfinite(total) & jnp.isfinite(weight)
        bad_now = (carry.first_bad < 0) & ~good
        first_bad = jnp.where(bad_now, number, carry.first_bad)
        return _Carry(state, first_bad, number + 1, carry.key), measured

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
        _, norm = self.execution.read(self.inspect(carry.state, {}))
        line = {f"train/{name}": value for name, value in means.items()}
        line["train/parameter_norm"] = float(norm)
        self.writer.write(self.phase.name, self.step, line)
        shown = {name: x for name, x in means.items() if not name.endswith("_norm")}
        self.writer.report(self.phase.name, self.step, self.phase.steps, shown)

    def _evaluate(self, carry: _Carry) -> float:
        """Judges the state; returns its best_metric."""
        self._check_finite(carry)  # which waits for the steps in flight
        with self.writer.paused("evaluating"):
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
        with self.writer.paused("saving"):
            self._save_finite(carry, value)

    def _save_finite(self, carry: _Carry, value: float | None) -> None:
        finite, _ = self.execution.read(self.inspect(carry.state, {}))
        if not finite:
            raise UserError(
                f"phase {self.phase.name!r}: after step {self.step} the state is not "
                "finite; it was not saved. Lower the learning rate or clip gradients"
            )
        self.writer.flush()
        about = {
            "phase": self.phase.name,
            "phase_number": self.number,
            "identity": self.identity,
            "value": value,
            "window": self.window.to_json(),
            "patience": self.patience.to_json(),
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


def _last_begun(phases: Sequence[Phase], workdir: str | os.PathLike[str]) -> int:
    """Index of the last phase with a checkpoint, -1 for none.

    Raises:
      UserError: where a phase before it has not run to its end.
    """
    latest = [checkpointing.latest_record(workdir, phase.name) for phase in phases]
    begun = [i for i, found in enumerate(latest) if found is not None]
    last = begun[-1] if begun else -1
    for phase, found in zip(phases[: max(last, 0)], latest, strict=False):
        step, about = found or (0, {})
        if step < phase.steps and not about.get("patience", {}).get("over"):
            raise UserError(
                f"{workdir}: phase {phases[last].name!r} has begun, but phase "
                f"{phase.name!r} before it has {step} of {phase.steps} steps; put "
                "its steps back or use another --workdir"
            )
    return last
