"""Says what a program is doing where nothing else was said for a while.

with activity.watched():
    with activity.doing("compiling"):
        ...                                  # stderr: compiling (5 s)
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from common.parallel.processes import is_first_process

SILENCE = 5.0  # seconds


class _Now:
    """What goes on now, and when something was last said.

    Attributes:
      doing: (text, since when), the innermost last.
      said: time of the last word.
      watchers: number of `watched` contexts that are open.
      speaks: whether anything is said now.
    """

    def __init__(self) -> None:
        self.doing: list[tuple[Callable[[], str], float]] = []
        self.said = 0.0
        self.watchers = 0
        self.speaks = True


_now = _Now()


@contextlib.contextmanager
def doing(what: str | Callable[[], str]) -> Iterator[None]:
    """Names what goes on within; a function is asked for the words when needed."""
    entry = (what if callable(what) else lambda: what), time.monotonic()
    _now.doing.append(entry)
    try:
        yield
    finally:
        _now.doing.remove(entry)


def heard() -> None:
    """Notes that something was said."""
    _now.said = time.monotonic()


def say(text: str) -> None:
    """Prints a line on stderr, above a progress bar if there is one."""
    import tqdm

    heard()
    tqdm.tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


@contextlib.contextmanager
def watched(speaks: bool = True) -> Iterator[None]:
    """Says what goes on within, by the first process, whenever there is silence.

    Args:
      speaks: False where nothing shall be said within; an outer `watched` is silent too.
    """
    ended = threading.Event()
    before, _now.speaks = _now.speaks, speaks
    _now.watchers += 1
    try:
        if _now.watchers == 1:
            heard()
            threading.Thread(target=_watch, args=(ended,), daemon=True).start()
        yield
    finally:
        _now.watchers -= 1
        _now.speaks = before
        ended.set()


def _watch(ended: threading.Event) -> None:
    while not ended.wait(max(_now.said + SILENCE - time.monotonic(), 0)):
        now = time.monotonic()
        if now - _now.said < SILENCE:
            continue
        speaks = _now.speaks and is_first_process()
        for what, since in _now.doing[-1:] if speaks else ():
            seconds = round(now - since)
            say(f"{what()} ({seconds} s)" if seconds else what())
        heard()
