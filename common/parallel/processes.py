"""The processes of one run: how they find each other, and who speaks for all.

The command line imports this module, so JAX is imported only where it is needed.
"""

import dataclasses
import sys
from typing import Any, Literal

from common.config.configs import check_bounds, knob
from common.errors import UserError


@dataclasses.dataclass(frozen=True)
class ParallelConfig:
    """Where a run executes."""

    mode: Literal["jit", "pmap"] = knob("jit", "how one step is spread over devices")
    devices: int = knob(0, "devices to use, the first ones; 0 = all", low=0)
    model_axis: int = knob(
        1, "devices that share one copy of the large arrays (jit only)", low=1
    )
    distributed: bool = knob(False, "this is one of several processes of one run")
    coordinator: str = knob(
        "", "HOST:PORT of process 0; empty = ask the cluster's environment"
    )
    process_count: int = knob(0, "number of processes; 0 = ask the cluster", low=0)
    process_id: int = knob(-1, "number of this process; -1 = ask the cluster", low=-1)
    compilation_cache: str = knob(
        ".cache/jax",
        "folder of compiled programs, so that the next run starts sooner; empty = none;"
        " JAX_COMPILATION_CACHE_DIR wins over it",
    )

    def __post_init__(self):
        check_bounds(self)

    def check_together(self) -> None:
        """Refuses what can't go together; see `configs.check_together`."""
        if self.mode == "pmap" and self.model_axis > 1:
            raise UserError("--parallel.model_axis needs --parallel.mode=jit")
        if self.distributed and self.devices:
            raise UserError(
                "--parallel.devices can't be set with several processes: each uses all"
            )
        given = (self.coordinator, self.process_count, self.process_id + 1)
        names = "--parallel.coordinator, process_count and process_id"
        if any(given) and not self.distributed:
            raise UserError(f"{names} need --parallel.distributed")
        if any(given) and not all(given):
            raise UserError(f"{names}: give all three, or none to ask the cluster")
        if self.coordinator and self.process_id >= self.process_count:
            raise UserError(
                f"--parallel.process_id={self.process_id} must be below"
                f" --parallel.process_count={self.process_count}"
            )


def start(config: ParallelConfig) -> None:
    """Joins the other processes of the run; call it before any other JAX function.

    Also says where compiled programs are kept.

    Raises:
      UserError: where the processes can't find each other.
    """
    import jax

    chosen = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if config.compilation_cache and not chosen:
        jax.config.update("jax_compilation_cache_dir", config.compilation_cache)
    if not config.distributed or jax.distributed.is_initialized():
        return
    options: dict[str, Any] = {}
    if config.coordinator:
        options = {
            "coordinator_address": config.coordinator,
            "num_processes": config.process_count,
            "process_id": config.process_id,
        }
    try:
        jax.distributed.initialize(**options)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"--parallel.distributed: could not join the other processes ({reason}); "
            "set coordinator, process_count and process_id alike in each of them"
        ) from error


def is_first_process() -> bool:
    """Whether this process speaks for all; asks no device before `start` has."""
    jax: Any = sys.modules.get("jax")
    # While another thread imports JAX, parts of it are not there yet.
    distributed = getattr(jax, "distributed", None)
    is_initialized = getattr(distributed, "is_initialized", lambda: False)
    return not is_initialized() or bool(jax.process_index() == 0)


def this_process(index: int | None = None, count: int | None = None) -> tuple[int, int]:
    """(number of this process, how many there are), but for what is given."""
    import jax

    return (
        jax.process_index() if index is None else index,
        jax.process_count() if count is None else count,
    )


def wait_for_all(place: str) -> None:
    """Waits until every process of the run has come to a place, named for errors."""
    jax = sys.modules.get("jax")
    if jax is not None and jax.distributed.is_initialized():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(place)
