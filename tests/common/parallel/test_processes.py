import sys
import types

import jax
import pytest

from common.errors import UserError
from common.parallel import processes
from common.parallel.processes import ParallelConfig


def test_start_does_nothing_for_one_process():
    processes.start(ParallelConfig())
    assert not jax.distributed.is_initialized()


@pytest.mark.parametrize(
    ("before", "after"), [(None, "programs"), ("of the user", "of the user")]
)
def test_compiled_programs_are_kept_where_the_user_did_not_say(before, after):
    name = "jax_compilation_cache_dir"
    kept = getattr(jax.config, name)
    try:
        jax.config.update(name, before)
        processes.start(ParallelConfig(compilation_cache="programs"))
        assert getattr(jax.config, name) == after
    finally:
        jax.config.update(name, kept)


def test_incomplete_distributed_settings_are_one_clear_line():
    config = ParallelConfig(distributed=True, coordinator="localhost:1")
    with pytest.raises(UserError, match="--parallel.distributed: could not join") as e:
        processes.start(config)
    assert "\n" not in str(e.value)


def test_one_process_is_the_first_and_waits_for_nobody():
    assert processes.is_first_process()
    processes.wait_for_all("here")


def test_a_process_knows_its_number_unless_told_another(monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 2)
    monkeypatch.setattr(jax, "process_count", lambda: 5)
    assert processes.this_process() == (2, 5)
    assert processes.this_process(0, 1) == (0, 1)


@pytest.mark.parametrize("name", ["jax", "jax.distributed"])
def test_who_asks_while_jax_is_imported_is_the_first(name, monkeypatch):
    """Two processes that import at once take seconds, and a watching thread asks."""
    half = types.ModuleType("jax")
    if name == "jax.distributed":
        half.distributed = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, "jax", half)
    assert processes.is_first_process()
