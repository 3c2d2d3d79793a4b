"""A trace of a few steps, for TensorBoard's or Perfetto's profile view."""

import jax

from common.training.loop_config import LoopConfig
from common.training.phase import Metrics


class Profiler:
    """Traces the steps that a config names into a folder."""

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
