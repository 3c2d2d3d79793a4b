import os
import subprocess
import sys
import time

import pytest

from benchmarks import timing

PINNED = """
import os
from benchmarks import timing
timing.pin(1)
assert "jax" not in __import__("sys").modules
import jax.numpy as jnp
a = jnp.ones((700, 700))
share = timing.processors_used(lambda: (a @ a).block_until_ready(), 0.2)
assert share < 1.05, share
assert len(os.listdir("/proc/self/task")) > 1
assert timing.loose_threads() == []
print(len(os.sched_getaffinity(0)))
"""


def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_pin_holds_for_all_threads_of_jax(pytestconfig):
    environment = {k: v for k, v in os.environ.items() if k != "JAX_NUM_CPU_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", PINNED],
        cwd=pytestconfig.rootpath,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


STARTED = """
import os, sys
from benchmarks import timing
timing.start()
assert not {"jax", "torch", "numpy"} & set(sys.modules)
names = "XLA_FLAGS", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"
print(*(os.environ.get(name, "") for name in names), sep=",")
"""


@pytest.mark.parametrize(
    ("flags", "found"),
    [([], "--a=1,,"), (["--avx2"], "--a=1 --xla_cpu_max_isa=AVX2,AVX2,avx2")],
)
def test_both_sides_do_without_avx512_where_that_is_asked(pytestconfig, flags, found):
    done = subprocess.run(
        [sys.executable, "-c", STARTED, *flags],
        cwd=pytestconfig.rootpath,
        env=dict(os.environ, XLA_FLAGS="--a=1"),
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, found), done.stderr


def test_pin_refuses_more_threads_than_processors():
    with pytest.raises(ValueError, match="1000 threads on"):
        timing.pin(1000)


def test_sides_take_turns():
    log = []
    sides = {"a": lambda: log.append("a"), "b": lambda: log.append("b")}
    timing.measure_in_turns(sides, repeats=2, at_least=0.0)
    # Two calls each to warm up and to find how many make a measurement.
    assert "".join(log) == "aabb" + "abab"


def test_short_calls_are_measured_several_at_a_time():
    calls = []
    times = timing.measure_in_turns(
        {"a": lambda: (calls.append(1), spin(0.002))}, repeats=3, at_least=0.02
    )["a"]
    assert len(calls) >= 2 + 3 * 5
    assert len(times.wall) == len(times.processor) == 3
    # The time of one call, not of all.
    assert 0.002 <= min(times.processor) < 0.01


def test_sleep_costs_wall_time_alone():
    times = timing.measure_in_turns({"a": lambda: time.sleep(0.02)}, 2, at_least=0)["a"]
    assert min(times.wall) >= 0.02
    assert min(times.processor) < 0.01


def fixed_times(monkeypatch):
    """Ours: minimum 2, median 3 s; the other: minimum 1, median 2 s."""

    def measure(sides, repeats):
        ours = timing.Times([7.0, 7.0, 7.0], [3.0, 2.0, 4.0])
        other = timing.Times([14.0, 14.0, 14.0], [2.0, 1.0, 9.0])
        return dict(zip(sides, (ours, other), strict=False))

    monkeypatch.setattr(timing, "measure_in_turns", measure)


SIDES = (("ours", lambda: None), ("PyTorch", lambda: None))


def test_ratio_of_times(monkeypatch):
    fixed_times(monkeypatch)
    comparison = timing.Comparison("work", *SIDES, bar=1.4)
    ours, other = timing.compare(comparison, 3)
    assert (ours["ratio"], ours["of minima"]) == ("1.50", "2.00")
    assert (ours["bar"], ours["held"]) == ("<= 1.4", "NO")
    assert ours["processor ms"] == "2000 / 3000"
    assert other["wall ms"] == "14000 / 14000"
    assert "ratio" not in other


def test_ratio_of_rates(monkeypatch):
    fixed_times(monkeypatch)
    comparison = timing.Comparison("work", *SIDES, bar=0.6, images=12)
    ours, other = timing.compare(comparison, 3)
    # 12 / 3 images a second beside 12 / 2.
    assert (ours["images/s"], other["images/s"]) == ("4.0", "6.0")
    assert (ours["ratio"], ours["of minima"]) == ("0.67", "0.50")
    assert (ours["bar"], ours["held"]) == (">= 0.6", "yes")


def test_ratio_of_wall_times(monkeypatch):
    fixed_times(monkeypatch)
    ours, _ = timing.compare(timing.Comparison("work", *SIDES), 3, clock="wall")
    assert ours["ratio"] == "0.50"
    assert "held" not in ours


def test_absent_side(monkeypatch):
    fixed_times(monkeypatch)
    rows = timing.compare(timing.Comparison("work", SIDES[0], None, bar=1.0), 3)
    assert len(rows) == 1
    assert "ratio" not in rows[0]
