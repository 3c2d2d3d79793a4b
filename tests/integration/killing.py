"""Kills a training program over and over, and tells whether that left a trace.

kills = kill_often([sys.executable, "-m", "experiments.ican_main", ...], workdir)
assert fingerprint(workdir) == fingerprint(workdir_of_an_uninterrupted_run)
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import random
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from common.training.checkpointing import DAMAGED, Checkpoints

POLL = 0.002  # seconds
STAGE_SECONDS = 300  # that a program may take to reach a stage
SAVING = "*.orbax-checkpoint-tmp"


@dataclasses.dataclass(frozen=True)
class Kill:
    """One SIGKILL.

    Attributes:
      kind: "starting" (at any time from the start of the program), "running" (at any
        time after its first write) or "saving" (while a checkpoint is being written).
      seconds: from the start of the program.
      during_save: a checkpoint that was not complete was found afterwards.
    """

    kind: str
    seconds: float
    during_save: bool


def kill_often(
    command: Sequence[str],
    workdir: pathlib.Path,
    *,
    kills: int = 10,
    seed: int = 0,
    spread: float = 0.5,
    env: Mapping[str, str] | None = None,
    timeout: float = 120.0,
) -> list[Kill]:
    """Runs a program, kills it at random times, and lets the last run end.

    Args:
      command: of a program that goes on by itself from its work directory, and is long
        enough: `kills` runs of `spread` seconds of training must not end it.
      workdir: its work directory.
      kills: number of kills; two of five fall into a save, two of five at a random
        time of the training, one of five at a random time of the start.
      seed: of the times.
      spread: seconds within which a kill of the kind "running" falls.
      env: environment of the program; None = this process'.
      timeout: seconds a run may take.

    Returns:
      The kills that happened.

    Raises:
      AssertionError: where a run ended before its kill, or the last one failed.
    """
    draw = random.Random(seed)
    done = []
    for number in range(kills):
        kind = ("saving", "running", "starting", "saving", "running")[number % 5]
        process = _start(command, env)
        begun = time.monotonic()
        try:
            _wait_for(kind, process, workdir, draw, spread, begun + timeout)
        finally:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.killpg(process.pid, signal.SIGKILL)
            output = process.communicate()[0]
        if process.returncode != -signal.SIGKILL:
            raise AssertionError(f"run {number} ended before its kill:\n{output}")
        seconds = time.monotonic() - begun
        done.append(Kill(kind, seconds, bool(_unfinished(workdir))))
    process = _start(command, env)
    output = process.communicate(timeout=timeout)[0]
    if process.returncode != 0:
        raise AssertionError(f"the last run failed:\n{output}")
    return done


def kill_when(
    command: Sequence[str], folder: pathlib.Path, pattern: str, stage: str
) -> None:
    """Runs a program until a file is there, then kills it with all its threads.

    Args:
      command: of the program.
      folder: where the file is looked for.
      pattern: of its name, relative to the folder.
      stage: what the program is at then, for errors.

    Raises:
      AssertionError: the program ended before, or took too long.
    """
    process = _start(command, None)
    try:
        end = time.monotonic() + STAGE_SECONDS
        while not any(folder.glob(pattern)):
            assert process.poll() is None, f"ended before the {stage}"
            assert time.monotonic() < end, f"never reached the {stage}"
            time.sleep(POLL)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def fingerprint(workdir: pathlib.Path) -> dict[str, Any]:
    """All that must not depend on how often a run was killed.

    Returns:
      For every phase the hashes of all leaves of the latest and the best checkpoint,
      with their steps and the best value; and the hash of metrics.jsonl.
    """
    workdir = pathlib.Path(workdir)
    lines = (workdir / "metrics.jsonl").read_bytes()
    found: dict[str, Any] = {"metrics.jsonl": hashlib.sha256(lines).hexdigest()}
    for folder in sorted((workdir / "checkpoints").iterdir()):
        if folder.name == DAMAGED:
            continue
        checkpoints = Checkpoints(folder, writable=False)
        try:
            latest, best = checkpoints.steps[-1], checkpoints.best
            for name, step in (("latest", latest), ("best", best)):
                arrays = checkpoints.load_arrays(step)
                found[f"{folder.name}/{name}"] = {
                    "step": step,
                    "value": checkpoints.about(step)["value"],
                    "leaves": {
                        path: hashlib.sha256(array.tobytes()).hexdigest()
                        for path, array in arrays.items()
                    },
                }
        finally:
            checkpoints.close()
    return found


def _start(command: Sequence[str], env: Mapping[str, str] | None):
    return subprocess.Popen(
        command,
        env=None if env is None else dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _wait_for(kind, process, workdir, draw, spread, deadline) -> None:
    """Returns when it is time to kill."""
    before = _written(workdir)
    skip = draw.randint(0, 2)
    delay = draw.uniform(0, spread)
    if kind == "starting":
        time.sleep(draw.uniform(0, 4 * spread))
        return
    seen: set[str] = set()
    while process.poll() is None and time.monotonic() < deadline:
        if kind == "saving":
            new = _unfinished(workdir) - seen - before
            seen |= new
            skip -= len(new)
            if skip < 0:
                return
        elif _written(workdir) != before:
            time.sleep(delay)
            return
        time.sleep(POLL)


def _unfinished(workdir: pathlib.Path) -> set[str]:
    """Checkpoints that are being written, or were when the program was killed."""
    return {str(path) for path in workdir.glob(f"checkpoints/*/{SAVING}")}


def _written(workdir: pathlib.Path) -> set[str]:
    """What changes as soon as the program trains."""
    metrics = workdir / "metrics.jsonl"
    size = metrics.stat().st_size if metrics.exists() else 0
    complete = {str(path) for path in workdir.glob("checkpoints/*/*")}
    return complete | {f"metrics.jsonl of {size}"}
