import contextlib
import itertools
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import UserError
from common.parallel.execution import make_execution
from common.parallel.processes import ParallelConfig
from common.training import activity, checkpointing, metric_writer, train_loop
from common.training.loop_config import LoopConfig
from common.training.phase import Phase, make_evaluator, supervised_phase
from common.training.tensorboard import read_scalars

ONE = ParallelConfig(devices=1)


@pytest.fixture(scope="module")
def execution():
    return make_execution(ONE)


def config(**options):
    defaults = {
        "batch_size": 2,
        "log_every": 2,
        "eval_every": 2,
        "checkpoint_every": 3,
        "tensorboard": False,
        "progress": False,
    }
    return LoopConfig(**{**defaults, **options})


def counting(start):
    """Batch k holds k twice."""
    while True:
        yield {"x": np.full(2, start, np.float32)}
        start += 1


def adding(state, batch, key):
    """Adds up the batches; loss is the sum over the mean of the batch."""
    total = state["w"] + batch["x"].sum()
    return {"w": total}, {"loss": (batch["x"].sum(), jnp.float32(2))}


def phase(**options):
    defaults = {
        "name": "a",
        "steps": 6,
        "init": lambda previous: {"w": jnp.float32(0)},
        "step": adding,
        "batches": counting,
        "evaluate": lambda state: {"loss": -float(state["w"])},
    }
    return Phase(**{**defaults, **options})


def run(phases, workdir, execution, loop=None, **options):
    phases = phases if isinstance(phases, list) else [phases]
    return train_loop.run(
        phases, loop or config(), workdir, execution, identity={}, **options
    )


def test_every_line_written_out(execution, tmp_path):
    result = run(phase(), tmp_path, execution)
    # 2 * (0 + 1 + ... + 5) = 30
    assert float(result.state["w"]) == 30
    assert (result.best_step, result.best_value, result.last_step) == (6, -30, 6)
    assert metric_writer.read_metrics(tmp_path) == [
        {"phase": "a", "step": 2, "train/loss": 0.5, "train/parameter_norm": 2.0},
        {"phase": "a", "step": 2, "validation/loss": -2.0},
        {"phase": "a", "step": 4, "train/loss": 2.5, "train/parameter_norm": 12.0},
        {"phase": "a", "step": 4, "validation/loss": -12.0},
        {"phase": "a", "step": 6, "train/loss": 4.5, "train/parameter_norm": 30.0},
        {"phase": "a", "step": 6, "validation/loss": -30.0},
    ]


@pytest.mark.parametrize(
    ("values", "mode", "best"),
    [
        ([1.0, 3.0, 2.0], "max", 4),
        ([1.0, 3.0, 2.0], "min", 2),
        ([2.0, 2.0, 3.0], "min", 4),
        ([float("nan"), 3.0, float("nan")], "max", 4),
        ([float("nan"), 3.0, float("nan")], "min", 4),
    ],
)
def test_best_by_metric(values, mode, best, execution, tmp_path):
    left = iter(values)
    judged = phase(evaluate=lambda state: {"loss": 0.0, "score": next(left)})
    loop = config(best_metric="score", best_mode=mode)
    result = run(judged, tmp_path, execution, loop)
    assert result.best_step == best
    assert result.best_value == values[best // 2 - 1]
    assert float(result.state["w"]) == best * (best - 1)


def test_bad_state_under_a_good_loss_is_not_saved(execution, tmp_path):
    def step(state, batch, key):
        _, metrics = adding(state, batch, key)
        return {"w": 1 / (3 - batch["x"][0])}, metrics

    with pytest.raises(UserError, match="'a': after step 4 the state is not finite"):
        run(phase(step=step), tmp_path, execution)
    assert checkpointing.latest_step(tmp_path, "a") == 3


def test_first_bad_step_is_named_however_late_it_is_read(execution, tmp_path):
    def step(state, batch, key):
        loss = jnp.where(batch["x"][0] == 3, jnp.nan, 0.0)
        return state, {"loss": (loss, jnp.float32(1))}

    loop = config(log_every=50, eval_every=50, checkpoint_every=50)
    with pytest.raises(UserError, match="the loss of step 4 is not finite"):
        run(phase(step=step, steps=20), tmp_path, execution, loop)
    assert checkpointing.latest_step(tmp_path, "a") is None
    assert metric_writer.read_metrics(tmp_path) == []


def test_keys_come_from_seed_phase_and_step(execution, tmp_path):
    def step(state, batch, key):
        number = jax.random.key_data(key)[0]
        return {"seen": state["seen"].at[batch["k"][0]].set(number)}, {
            "loss": (jnp.float32(0), jnp.float32(1))
        }

    def batches(start):
        while True:
            yield {"k": np.full(2, start, np.int32)}
            start += 1

    def drawing(name):
        return phase(
            name=name,
            init=lambda previous: {"seen": jnp.zeros(6, jnp.uint32)},
            step=step,
            batches=batches,
            evaluate=lambda state: {"loss": 0.0},
        )

    seen = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        loop = config(seed=seed)
        state = run(
            drawing("b" if name == "c" else name), tmp_path / name, execution, loop
        )
        seen[name] = np.asarray(state.state["seen"]).tolist()
    assert len({number for numbers in seen.values() for number in numbers}) == 18
    again = run(drawing("a"), tmp_path / "again", execution, config())
    assert np.asarray(again.state["seen"]).tolist() == seen["a"]


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_start_reaches_the_first_phase_and_the_best_the_next(mode, tmp_path):
    execution = make_execution(ParallelConfig(mode=mode, devices=2))

    def init(previous):
        return {"w": previous["w"] + 100}

    def step(state, batch, key):
        total = execution.devices.sum(batch["x"].sum())
        return {"w": state["w"] + total}, {"loss": (total, jnp.float32(2))}

    def evaluate(state):
        return {"loss": abs(float(execution.to_host(state["w"])) - 1106)}

    phases = [
        phase(name=name, init=init, step=step, steps=4, evaluate=evaluate)
        for name in ("a", "b")
    ]
    start = {"w": np.float32(1000)}
    result = run(phases, tmp_path, execution, start=start)
    # Phase a passes 1102 after step 2 and 1112 after step 4: step 2 is best.
    # Phase b begins at 1202 and is best after 2 steps.
    assert execution.to_host(result.state)["w"] == 1204


def test_batches_that_end_are_an_error(execution, tmp_path):
    short = phase(batches=lambda start: iter([{"x": np.ones(2, np.float32)}] * 3))
    with pytest.raises(RuntimeError, match="batches ended at step 3 of 6"):
        run(short, tmp_path, execution)


def test_iterators_are_closed(execution, tmp_path):
    closed = []

    def batches(start):
        try:
            yield from counting(start)
        finally:
            closed.append(start)

    run(phase(batches=batches), tmp_path, execution)
    assert closed == [0]


def test_runs_in_a_second_thread(execution, tmp_path):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(run(phase(), tmp_path, execution))
    )
    thread.start()
    thread.join()
    assert found[0].best_value == -30


def test_no_wait_for_the_device_between_log_lines(execution, tmp_path, monkeypatch):
    """Metrics are fetched once for each line or save, not once a step."""
    fetched = []
    get = jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda x: fetched.append(len(x)) or get(x))
    loop = config(log_every=10, eval_every=20, checkpoint_every=20)
    run(phase(steps=20), tmp_path, execution, loop)
    assert [count for count in fetched if count] == [10, 10]


def test_profile_is_written(execution, tmp_path):
    loop = config(profile_start=2, profile_steps=2)
    run(phase(), tmp_path, execution, loop)
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_two_phases_of_one_name_are_an_error(execution, tmp_path):
    with pytest.raises(ValueError, match="same name"):
        run([phase(), phase()], tmp_path, execution)


def test_no_phase_is_an_error(execution, tmp_path):
    with pytest.raises(ValueError, match="at least one phase"):
        run([], tmp_path, execution)


class Slope:
    """Learns w of y = w x by one step of gradient descent a batch."""

    def init(self, previous):
        return jnp.float32(0)

    def step(self, w, batch, key):
        pairs = self.evaluate(w, batch)
        slope = (2 * batch["x"] * (w * batch["x"] - batch["y"])).mean()
        return w - 0.1 * slope, pairs

    def evaluate(self, w, batch):
        mask = batch.get("mask", jnp.ones(2))
        errors = (w * batch["x"] - batch["y"]) ** 2
        return {"loss": ((errors * mask).sum(), mask.sum())}


class Points:
    """y = 3 x; batches of two, the last one of a split padded."""

    def __init__(self):
        self.asked = []

    def train_batches(self, loop, start_step):
        x = np.array([1, 2], np.float32)
        return itertools.repeat({"x": x, "y": 3 * x})

    def eval_batches(self, split, batch_size):
        self.asked.append((split, batch_size))
        x = {"validation": [1, 1, 2], "test": [4]}[split]
        parts = [x[k : k + 2] for k in range(0, len(x), 2)]
        padded = np.array([part + [9] * (2 - len(part)) for part in parts], np.float32)
        mask = np.array([[1] * len(p) + [0] * (2 - len(p)) for p in parts], np.float32)
        rows = zip(padded, mask, strict=True)
        return contextlib.nullcontext(
            [{"x": x, "y": 3 * x, "mask": m} for x, m in rows]
        )


def test_a_supervised_phase_learns_from_one_split_and_is_measured_on_another(
    tmp_path, execution
):
    points = Points()
    loop = config(steps=2, eval_every=1)
    found = supervised_phase("a", Slope(), points, loop, execution)
    result = run([found], tmp_path, execution, loop)
    # The mean of 2 x (w x - 3 x) over x = 1, 2 is 5 (w - 3): 1.5, then 2.25.
    assert float(execution.to_host(result.state)) == pytest.approx(2.25)
    _, losses = metric_writer.read_curves(tmp_path, "a")["validation/loss"]
    # The mean of (w - 3)^2 x^2 over x = 1, 1, 2: twice (w - 3)^2.
    assert losses == pytest.approx([2 * 1.5**2, 2 * 0.75**2])
    assert points.asked == [("validation", 2)] * 2
    evaluate = make_evaluator(Slope(), points, loop, execution)
    assert evaluate(result.state, "test") == {"loss": pytest.approx(0.75**2 * 16)}


def test_a_copy_to_the_device_inside_the_step_is_an_error(
    execution, tmp_path, monkeypatch
):
    monkeypatch.setattr(execution, "put", lambda batch: batch)
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        run(phase(), tmp_path, execution)


def test_constants_of_a_step_may_be_copied(execution, tmp_path):
    table = np.arange(3, dtype=np.float32)

    def step(state, batch, key):
        with jax.ensure_compile_time_eval():
            total = jnp.sum(jnp.asarray(table))
        return adding({"w": state["w"] + total + jnp.asarray(table)[0]}, batch, key)

    result = run(phase(step=step), tmp_path, execution)
    assert float(result.state["w"]) == 30 + 6 * 3


def test_the_rate_is_of_steps_alone(execution, tmp_path):
    def evaluate(state):
        time.sleep(0.5)
        return {"loss": 0.0}

    loop = config(tensorboard=True, eval_every=1, log_every=2)
    run(phase(evaluate=evaluate, steps=4), tmp_path, execution, loop)
    points = read_scalars(tmp_path / "tensorboard" / "a")
    rates = [value for name, _, value in points if name == "steps_per_second"]
    assert len(rates) == 2
    assert rates[1] > 2  # two steps and an evaluation between them: below 2


@pytest.mark.parametrize("what", ["evaluating", "compiling", "a, step 2 of 6"])
def test_every_silence_is_told_of(what, execution, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(activity, "SILENCE", 0.05)
    monkeypatch.setattr(activity, "say", said.append)

    def wait():
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if any(line.startswith(what) for line in said):
                return
            time.sleep(0.01)

    def evaluate(state):
        if what == "evaluating":
            wait()
        return {"loss": 0.0}

    def step(state, batch, key):
        if what == "compiling":
            wait()
        return adding(state, batch, key)

    def batches(start):
        for step, batch in enumerate(counting(start)):
            if step == 1 and what.startswith("a,"):
                wait()
            yield batch

    silent = phase(step=step, evaluate=evaluate, batches=batches)
    run(silent, tmp_path, execution, config(progress=True))
    assert any(line.startswith(what) for line in said)


def test_tensorboard_is_on_the_disk_with_each_checkpoint(execution, tmp_path):
    seen = []

    def batches(start):
        for step, batch in enumerate(counting(start), start):
            if step == 4:  # after the checkpoints of 2 and 3
                seen.extend(read_scalars(tmp_path / "tensorboard" / "a"))
            yield batch

    loop = config(tensorboard=True)
    run(phase(batches=batches, steps=5), tmp_path, execution, loop)
    points = {(name, step): value for name, step, value in seen}
    assert points["train/loss", 2] == 0.5
    assert points["validation/loss", 2] == -2.0


def judging(values):
    """Evaluations with these losses, at steps 2, 4, …"""
    return lambda state: {"loss": values[float(state["w"])]}


# Of the state after 2, 4, ... steps, which is 2 * (0 + 1 + ... + n - 1).
LOSSES = {2.0: 3.0, 12.0: 1.0, 30.0: 2.0, 56.0: 1.0, 90.0: 0.5, 132.0: 0.7}


def test_patience_ends_a_phase_for_good(execution, tmp_path, capsys):
    patient = phase(steps=12, evaluate=judging(LOSSES))
    loop = config(patience=2)
    result = run(patient, tmp_path, execution, loop)
    # An equal loss is no improvement, but the later of equals is the best state.
    assert (result.last_step, result.best_step) == (8, 8)
    assert "a: ended after step 8: validation loss was best" in capsys.readouterr().err
    before = metric_writer.read_metrics(tmp_path)
    again = run(patient, tmp_path, execution, loop)
    assert (again.last_step, again.best_step) == (8, 8)
    assert metric_writer.read_metrics(tmp_path) == before
    assert capsys.readouterr().err == ""
    # Without it the run goes on, as one that never had it.
    run(patient, tmp_path, execution)
    assert "a: continuing from step 8" in capsys.readouterr().err
    run(patient, tmp_path / "whole", execution)
    whole = (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    assert (tmp_path / "metrics.jsonl").read_bytes() == whole


def test_patience_outlives_a_crash(execution, tmp_path):
    """The evaluations before it count."""

    def batches(start):
        for step, batch in enumerate(counting(start), start):
            if step == 7 and start == 0:
                raise InterruptedError
            yield batch

    loop = config(patience=2)
    breaking = phase(steps=12, evaluate=judging(LOSSES), batches=batches)
    with pytest.raises(InterruptedError):
        run(breaking, tmp_path, execution, loop)
    assert run(breaking, tmp_path, execution, loop).last_step == 8


def test_a_phase_may_follow_one_that_patience_ended(execution, tmp_path):
    first = phase(steps=12, evaluate=judging(LOSSES))
    second = phase(name="b", steps=2)
    loop = config(patience=2)
    run([first, second], tmp_path, execution, loop)
    again = run([first, phase(name="b", steps=4)], tmp_path, execution, loop)
    assert again.last_step == 4
    assert checkpointing.latest_step(tmp_path, "a") == 8


@pytest.mark.parametrize(("steps", "told"), [(4, False), (6, True), (12, True)])
def test_a_loss_that_rose_is_one_sentence(steps, told, execution, tmp_path, capsys):
    run(phase(steps=steps, evaluate=judging(LOSSES)), tmp_path, execution)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == told
    if steps == 6:
        assert lines == [
            (
                "a: validation loss rose from 1 at step 4 to 2 at step 6: fewer steps or"
                " --train.patience would do"
            )
        ]
