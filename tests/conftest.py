"""Strict settings for the whole suite: eight devices, no silent broadcasting."""

import gc
import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault("MPLBACKEND", "Agg")
# A program that is run within a test would start the tests once more for huge pages.
os.environ.setdefault("GLIBC_TUNABLES", "")
# Tests compile more than they compute: these take half off the time of compiling.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
# Subprocesses of the integration tests share the compiled programs too, but for those
# that take fewer seconds to compile than this: to keep and read them costs more.
_CACHE = pathlib.Path(__file__).parent.parent / ".cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax
from absl import flags
from hypothesis import HealthCheck, settings

jax.config.update("jax_numpy_rank_promotion", "raise")
# Grain's worker processes read an absl flag; outside app.run nobody has parsed it.
flags.FLAGS.mark_as_parsed()
# How long an example takes depends on what else the machine does.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


def pytest_collection_finish():
    # What imports and collection made stays: the garbage collector need not look again.
    gc.freeze()


def pytest_terminal_summary(terminalreporter):
    """Prints what became of the bad inputs of `tests/integration/test_bad_input.py`."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == "bad input"
    ]
    if rows:
        total = [sum(column) for column in list(zip(*rows, strict=True))[1:]]
        terminalreporter.section("bad input")
        layout = "{:18}{:>8}{:>8}{:>15}{:>8}"
        head = ("kind", "count", "works", "rows rejected", "exit 2")
        for row in (head, *sorted(rows), ("all", *total)):
            terminalreporter.write_line(layout.format(*row))
