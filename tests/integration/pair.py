"""Two processes of two devices each that train together over loopback."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

TIMEOUT = 600  # seconds, on a machine that does much else


def layout(number: int, coordinator: str) -> dict[str, Any]:
    """Knobs of `ParallelConfig` for one of the two."""
    return {
        "devices": 0,
        "distributed": True,
        "coordinator": coordinator,
        "process_count": 2,
        "process_id": number,
    }


def start(command: Callable[[int, str], Sequence[str]]) -> list[subprocess.Popen]:
    """Starts both; pass them to `end`.

    Args:
      command: (number, coordinator) -> arguments of this Python.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    return [
        subprocess.Popen(
            [sys.executable, *command(number, coordinator)],
            env={**os.environ, "JAX_NUM_CPU_DEVICES": "2"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]


def end(pair: Sequence[subprocess.Popen]) -> tuple[list[int], str]:
    """Waits for both: (exit codes, what they printed)."""
    try:
        outputs = [process.communicate(timeout=TIMEOUT)[0] for process in pair]
    finally:
        for process in pair:
            process.kill()
            process.wait()
    return [process.returncode for process in pair], "\n".join(outputs)
