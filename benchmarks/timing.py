"""Fair timing of two sides: the same processors, in turns, processor time beside wall.

Import this before jax, torch and NumPy and call `pin` at once: they size their pools
of threads when they start. A program calls `start` before that.
"""

import collections
import dataclasses
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.cli.startup import use_huge_pages

Call = Callable[[], Any]


AVX2_FLAG = "--avx2"
AVX2_HELP = "both sides as on a processor without AVX-512"
_AVX2 = {
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",  # PyTorch's matrix products
}


def start() -> None:
    """Restarts this program with huge pages and, with `--avx2`, without AVX-512.

    The libraries on both sides read at their start which instructions they may use.
    """
    values = {name: os.environ.get(name, "").split() for name in _AVX2}
    if AVX2_FLAG in sys.argv and any(_AVX2[n] not in values[n] for n in _AVX2):
        for name, value in _AVX2.items():
            more = values[name] if name == "XLA_FLAGS" else []
            os.environ[name] = " ".join([*more, value])
        os.execv(sys.executable, sys.orig_argv)
    use_huge_pages()


def pin(threads: int) -> None:
    """Binds this process, and all threads it is going to start, to some processors.

    Threads that wait for work sleep: on a busy machine, spinning ones make either
    side look many times slower than it is.

    Args:
      threads: how many processors and threads; 0 leaves the process as it is, for
        work that runs on an accelerator.
    """
    if not threads:
        return
    available = sorted(os.sched_getaffinity(0))
    if threads > len(available):
        raise ValueError(f"{threads} threads on {len(available)} processors")
    os.sched_setaffinity(0, available[:threads])
    for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    os.environ["NPROC"] = str(threads)  # the thread pool of XLA's CPU client
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ["KMP_BLOCKTIME"] = "0"
    flags = os.environ.get("XLA_FLAGS", "")
    eigen = "true" if threads > 1 else "false"
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen={eigen}".strip()


def loose_threads() -> list[int]:
    """Ids of threads of this process that may run where the main thread may not."""
    allowed = os.sched_getaffinity(0)
    loose = []
    for name in os.listdir("/proc/self/task"):
        try:
            own = os.sched_getaffinity(int(name))
        except ProcessLookupError:  # it ended meanwhile
            continue
        if not own <= allowed:
            loose.append(int(name))
    return loose


def processors_used(call: Call, seconds: float = 0.3) -> float:
    """Processor time over wall time of repeated calls."""
    call()
    wall, processor = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        call()
    used = time.process_time() - processor
    return used / (time.perf_counter() - wall)


@dataclasses.dataclass(frozen=True)
class Times:
    """Repeated measurements of one side.

    Attributes:
      wall: seconds of each call.
      processor: seconds of processor time of each call, all threads together.
    """

    wall: Sequence[float]
    processor: Sequence[float]


def measure_in_turns(
    sides: Mapping[str, Call], repeats: int, at_least: float = 0.2
) -> dict[str, Times]:
    """Times several ways to do the same work, one after the other in every round.

    What disturbs the machine for a while disturbs all sides. Calls that take less
    than `at_least` are measured several at a time.

    Args:
      sides: {name: call}; a call returns when the work is done. Each is called once
        before, to compile and to fill caches.
      repeats: rounds.
      at_least: seconds of one measurement.

    Returns:
      {name: times of one call, one for each round}.
    """
    counts = {name: _calls_in(call, at_least) for name, call in sides.items()}
    wall, processor = collections.defaultdict(list), collections.defaultdict(list)
    for _ in range(repeats):
        for name, call in sides.items():
            start = time.perf_counter(), time.process_time()
            for _ in range(counts[name]):
                call()
            stop = time.perf_counter(), time.process_time()
            wall[name].append((stop[0] - start[0]) / counts[name])
            processor[name].append((stop[1] - start[1]) / counts[name])
    return {name: Times(wall[name], processor[name]) for name in sides}


def _calls_in(call: Call, seconds: float) -> int:
    """How many calls fill that much processor time; at least one."""
    call()
    start = time.process_time()
    call()
    once = time.process_time() - start
    return max(1, min(1000, math.ceil(seconds / max(once, 1e-6))))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The same work done by two sides.

    Attributes:
      work: what is done.
      ours: name and call of the side that is judged.
      other: name and call of the side it stands beside; None where that is absent.
      bar: largest allowed time of ours over the other's; or, with `images`, the
        smallest allowed rate of ours over the other's. None where no bar is set.
      images: that one call works on; 0 where the ratio is one of times.
      note: what a reader must know of it.
    """

    work: str
    ours: tuple[str, Call]
    other: tuple[str, Call] | None
    bar: float | None = None
    images: int = 0
    note: str = ""


def compare(
    comparison: Comparison, repeats: int, *, clock: str = "processor"
) -> list[dict[str, Any]]:
    """Measures a comparison.

    Args:
      comparison: what to measure.
      repeats: rounds.
      clock: "processor" or "wall", which time the ratio is of: processor time hardly
        feels what else runs on the machine, but it does not see an accelerator.

    Returns:
      a table row for each side. The ratio stands in the row of ours: of the medians,
      and of the minima.
    """
    sides = dict(side for side in (comparison.ours, comparison.other) if side)
    times = measure_in_turns(sides, repeats)
    rows = [_row(comparison, name, measured, clock) for name, measured in times.items()]
    if comparison.other is None:
        return rows
    ours, other = (getattr(measured, clock) for measured in times.values())
    ratios = [
        pick(other) / pick(ours) if comparison.images else pick(ours) / pick(other)
        for pick in (statistics.median, min)
    ]
    rows[0]["ratio"], rows[0]["of minima"] = (f"{ratio:.2f}" for ratio in ratios)
    if comparison.bar is not None:
        sign, held = "<=", ratios[0] <= comparison.bar
        if comparison.images:
            sign, held = ">=", ratios[0] >= comparison.bar
        rows[0]["bar"] = f"{sign} {comparison.bar:g}"
        rows[0]["held"] = "yes" if held else "NO"
    return rows


def _row(comparison: Comparison, side: str, times: Times, clock: str) -> dict[str, Any]:
    row = {
        "work": comparison.work,
        "side": side,
        "wall ms": _both(times.wall),
        "processor ms": _both(times.processor),
    }
    if comparison.images:
        rate = comparison.images / statistics.median(getattr(times, clock))
        row["images/s"] = f"{rate:.1f}"
    if comparison.note and side == comparison.ours[0]:
        row["note"] = comparison.note
    return row


def _both(seconds: Sequence[float]) -> str:
    low, middle = min(seconds) * 1e3, statistics.median(seconds) * 1e3
    return f"{low:.3g} / {middle:.3g}" if low < 100 else f"{low:.0f} / {middle:.0f}"
