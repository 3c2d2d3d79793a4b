"""Keeps off the screen what Orbax leaves behind when a file can't be read.

Orbax reads many arrays at once. When one fails, it raises and closes its event loop;
the other reads then fail too, unheard by anybody, and each prints a stack trace, some
of them long after. These would bury the one clear line that the user is told, so they
are left out: these alone, by their texts.
"""

import functools
import logging
import sys
from typing import Any

_UNHEARD = ("Task exception was never retrieved", "Metadata file: ")
_LOOP_CLOSED = "Event loop is closed"


@functools.cache
def silence() -> None:
    """Leaves them out from now on, in the whole process."""
    for name in ("asyncio", "absl"):
        logging.getLogger(name).addFilter(_is_heard)
    before = sys.unraisablehook

    def report(unraisable: Any) -> None:
        if str(unraisable.exc_value) != _LOOP_CLOSED:
            before(unraisable)

    sys.unraisablehook = report


def _is_heard(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return not any(mark in text for mark in _UNHEARD)
