"""Keeps off the screen what Orbax leaves behind when a file can't be read.

Orbax reads many arrays at once. When one fails, it raises and closes its event loop;
the other reads then fail too, unheard by anybody, and each prints a stack trace, some
of them long after. These would bury the one clear line that the user is told, so they
are left out: these alone, by their texts.
"""

import functools
import logging
import sys
import warnings
from typing import Any

_LOGGED = (
    "Task exception was never retrieved",
    "Failed to json parse Metadata file: ",
    "Failed to read Metadata file: ",
    "Metadata file does not exist: ",
)
_NEVER_AWAITED = "coroutine 'Store._get_array_metadatas' was never awaited"
_RAISED = ("Event loop is closed", _NEVER_AWAITED)


@functools.cache
def silence() -> None:
    """Leaves them out from now on, in the whole process."""
    for name in ("asyncio", "absl"):
        logging.getLogger(name).addFilter(_is_heard)
    before = sys.unraisablehook

    def report(unraisable: Any) -> None:
        if str(unraisable.exc_value) not in _RAISED:
            before(unraisable)

    sys.unraisablehook = report
    warnings.filterwarnings("ignore", _NEVER_AWAITED, RuntimeWarning)


def _is_heard(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return not any(mark in text for mark in _LOGGED)
