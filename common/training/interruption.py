"""Being asked to end: by SIGTERM, or by Ctrl-C (SIGINT).

Python runs a handler between two instructions of the main thread only, so none answers
while XLA compiles or computes, and what is raised during an import may be swallowed. A
program therefore calls `watch_ctrl_c` before it imports JAX: from then on a thread of
its own answers. The first Ctrl-C ends the program, but for a run that has something to
save: that one saves and ends by itself (`Interruption`). The second ends it at once.
"""

import os
import select
import signal
import sys
import threading
import time
import warnings
from typing import Any, NoReturn, Self

# What a shell reports for a process that Ctrl-C ended.
CTRL_C_CODE = 128 + signal.SIGINT
# Seconds in which the main thread may tidy up before the thread here ends the program.
GRACE = 0.5
# What a run that is asked to end does first.
SAVED = "when the state is saved"
# Some parents pass a Ctrl-C on that the terminal has sent to their children as well.
SAME = 0.1


class _Watch:
    """What the thread that answers Ctrl-C knows of the main thread.

    Attributes:
      runs: whether there is such a thread.
      tidies: whether the main thread makes an exit of a KeyboardInterrupt.
      saves: whether it saves first and ends by itself.
      when: at which time, in words.
      said: whether it was said that the program ends.
      lock: of `said`.
    """

    runs = False
    tidies = False
    saves = False
    when = SAVED
    said = False
    lock = threading.Lock()


_watch = _Watch()


def watch_ctrl_c() -> None:
    """Answers Ctrl-C within a second from now on, whatever the main thread does."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, _interrupt)
    _watch.runs = True
    threading.Thread(target=_answer, args=(reading,), daemon=True).start()


def let_main_tidy_up() -> None:
    """From now on KeyboardInterrupt is raised; who calls this answers it by `leave`."""
    _watch.tidies = True


def leave() -> NoReturn:
    """Ends the program that KeyboardInterrupt was raised in."""
    if not _watch.runs:
        print("interrupted", file=sys.stderr, flush=True)
        sys.exit(CTRL_C_CODE)
    _say_interrupted()
    # Threads that are cut off by an orderly end would print their traces.
    os._exit(CTRL_C_CODE)


def is_behind(error: BaseException) -> bool:
    """Whether an error is what a library made of the KeyboardInterrupt it met."""
    link: BaseException | None = error
    while link is not None and not isinstance(link, KeyboardInterrupt):
        link = link.__cause__ or link.__context__
    return link is not None


def _interrupt(number: int, frame: Any) -> None:
    if _watch.tidies:
        _raise()


def _raise() -> NoReturn:
    """Raises KeyboardInterrupt, after which a program that ends has no more to say."""
    if _watch.runs:
        warnings.simplefilter("ignore")
        sys.unraisablehook = lambda unraisable: None
    raise KeyboardInterrupt


def _answer(reading: int) -> None:
    """The thread's work: one byte comes for each signal."""
    asked = None
    while True:
        if signal.SIGINT not in os.read(reading, 64):
            continue
        if not _watch.saves:
            _say_interrupted()
            if _watch.tidies:
                select.select([reading], [], [], GRACE)
            os._exit(CTRL_C_CODE)
        now = time.monotonic()
        if asked is None:
            asked = now
            _say(f"stopping {_watch.when}; Ctrl-C again leaves at once")
        elif now - asked > SAME:
            os._exit(CTRL_C_CODE)


def _say_interrupted() -> None:
    """Once: who comes first."""
    with _watch.lock:
        if not _watch.said:
            _watch.said = True
            _say("interrupted")


def _say(text: str) -> None:
    """Past `sys.stderr`, whose lock the main thread may hold."""
    os.write(2, f"\n{text}\n".encode() if os.isatty(2) else f"{text}\n".encode())


class Interruption:
    """Whether a run was asked to end.

    Several processes agree on the step through JAX's preemption service, which has a
    handler of its own for SIGTERM; Ctrl-C in one of them counts as that. One process
    uses the handler here; a second thread can't set one, and then both signals keep
    their meaning.
    """

    def __init__(self) -> None:
        self._number = 0
        self._calls = 0
        self._saves = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        import jax

        self._several = jax.process_count() > 1
        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGINT]
            if not self._several:
                numbers.append(signal.SIGTERM)
            self._before = {n: signal.signal(n, self._note) for n in numbers}
            self._set_saves(self._several)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._set_saves(False)

    def hold(self, when: str = SAVED) -> None:
        """There is something to save from now on: Ctrl-C waits for that.

        Args:
          when: the run ends then, in words.
        """
        _watch.when = when
        self._set_saves(bool(self._before))

    def release(self) -> None:
        """All is saved: Ctrl-C ends the program again."""
        self._set_saves(self._several and bool(self._before))

    def _set_saves(self, saves: bool) -> None:
        self._saves = _watch.saves = saves

    def _note(self, number: int, frame: Any) -> None:
        if number == signal.SIGTERM:
            self._number = number
        elif self._several:
            os.kill(os.getpid(), signal.SIGTERM)
        elif not self._saves or (self._number and not _watch.runs):
            _raise()
        else:
            self._number = number

    def requested(self) -> bool:
        """Asks once a step, on every process."""
        if self._several:
            from jax.experimental import multihost_utils

            self._calls += 1
            return multihost_utils.reached_preemption_sync_point(self._calls)
        return self.noted

    @property
    def noted(self) -> bool:
        """Whether this process alone was asked to end; never one of several."""
        return bool(self._number)

    @property
    def exit_code(self) -> int:
        """What a shell reports for a process that the signal ended."""
        return 128 + (self._number or signal.SIGTERM)
