"""Being asked to end, by SIGTERM."""

import signal
import threading
from typing import Any, Self

import jax
from jax.experimental import multihost_utils

# What a shell reports for a process that SIGTERM ended.
EXIT_CODE = 128 + signal.SIGTERM


class Interruption:
    """Whether the run was asked to end by SIGTERM.

    Several processes agree on the step through JAX's preemption service, which has a
    handler of its own. One process uses the handler here; a second thread can't set
    one, and then SIGTERM keeps its meaning.
    """

    def __init__(self) -> None:
        self._asked = False
        self._calls = 0
        self._before: Any = None

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        self._handles = main and jax.process_count() == 1
        if self._handles:
            self._before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *error: object) -> None:
        if self._handles:
            signal.signal(signal.SIGTERM, self._before)

    def _ask(self, number: int, frame: Any) -> None:
        self._asked = True

    def requested(self) -> bool:
        """Asks once a step, on every process."""
        if jax.process_count() > 1:
            self._calls += 1
            return multihost_utils.reached_preemption_sync_point(self._calls)
        return self._asked
