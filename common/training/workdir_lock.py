"""One training run at a time in a workdir.

    with workdir_lock.held(workdir):
        ...

The lock is a file that names the process which holds it, and that the system unlocks
(`flock`) when this process ends, however it ends. So a lock of this machine is free
once its process is gone. What another machine's process is doing nobody here can tell:
its lock stays until the user breaks it.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

from common.errors import UserError

FILE = "run.lock"
_WRITTEN_WITHIN = 1.0  # seconds


class _Choice:
    """What the user says of all locks: `--break_lock`."""

    breaks = False


@contextlib.contextmanager
def breaking(breaks: bool) -> Iterator[None]:
    """Within, locks of other machines are taken over, if `breaks`."""
    before, _Choice.breaks = _Choice.breaks, breaks
    try:
        yield
    finally:
        _Choice.breaks = before


@contextlib.contextmanager
def held(workdir: pathlib.Path) -> Iterator[None]:
    """Holds the lock of a workdir, which must exist.

    Raises:
      UserError: another process holds it.
    """
    path = workdir / FILE
    try:
        file = _acquire(path)
    except OSError as error:
        raise UserError(f"--workdir={workdir}: {error.strerror}") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if _is_at(file, path):
                path.unlink()
        os.close(file)


def _acquire(path: pathlib.Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if _take(file, path):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _take(file: int, path: pathlib.Path) -> bool:
    """Whether the lock is ours now; False where it must be opened once more."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except BlockingIOError:
        free = False
    except OSError:  # a file system without such locks
        free = None
    # A new lock is empty until its holder has written it.
    holder = _holder(file, wait=_WRITTEN_WITHIN if free is False else 0.0)
    if not _is_at(file, path):  # it was given up just now
        return False
    elsewhere = holder is not None and holder["host"] != _host()
    if elsewhere and _Choice.breaks:
        if free is False:
            path.unlink(missing_ok=True)
            return False
    elif elsewhere or free is False or (free is None and _is_alive(holder)):
        raise _refusal(path.parent, holder)
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(_this_process()).encode(), 0)
    os.fsync(file)
    return True


def _is_at(file: int, path: pathlib.Path) -> bool:
    """Whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _holder(file: int, wait: float = 0.0) -> dict[str, Any] | None:
    """Who wrote the lock; None where that can't be read within `wait` seconds."""
    end = time.monotonic() + wait
    while True:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found = json.loads(os.pread(file, 1 << 16, 0))
            return {k: found[k] for k in ("host", "process", "started", "command")}
        if time.monotonic() >= end:
            return None
        time.sleep(0.01)


def _refusal(workdir: pathlib.Path, holder: dict[str, Any] | None) -> UserError:
    if holder is None:
        who, advice = "another process trains in it", "wait for its end"
    else:
        who = (
            f"process {holder['process']} on {holder['host']} trains in it"
            f" ({holder['command']})"
        )
        advice = f"wait for its end, stop it (kill {holder['process']})"
        if holder["host"] != _host():
            advice = "if it does so no more, --break_lock takes over"
    return UserError(f"--workdir={workdir}: {who}; {advice} or use another --workdir")


def _this_process() -> dict[str, Any]:
    return {
        "host": _host(),
        "process": os.getpid(),
        "started": _start_time(os.getpid()),
        "command": " ".join(shlex.join(sys.orig_argv).split()),
    }


def _host() -> str:
    return socket.gethostname()


def _is_alive(holder: dict[str, Any] | None) -> bool:
    """Whether a process of this machine runs still, and is no other of its number."""
    if holder is None:
        return False
    try:
        os.kill(holder["process"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        pass
    return bool(holder["started"] == _start_time(holder["process"]))


def _start_time(process: int) -> str | None:
    """When a process started, in ticks since the machine did; None where not told."""
    try:
        text = pathlib.Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    return text.rpartition(")")[2].split()[19]
