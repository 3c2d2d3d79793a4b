"""Where the numbers of a run go: a progress bar, metrics.jsonl and TensorBoard.

metrics.jsonl has one object a line, {"phase": "train", "step": 20, "train/loss": 1.5}.
It holds no times, so that a run that was killed and continued leaves the same file as
one that was not, byte for byte. Rates go to the screen and to TensorBoard.
"""

import contextlib
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tqdm

from common.errors import UserError
from common.training import activity
from common.training.tensorboard import Board

METRICS_FILE = "metrics.jsonl"


class MetricWriter:
    """Writes metrics under a work directory.

    Attributes:
      workdir: of the run.
      active: whether this process writes; the others of a run stay silent.
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        *,
        active: bool = True,
        progress: bool = True,
        tensorboard: bool = True,
    ):
        self.workdir = pathlib.Path(workdir)
        self.active = active
        self._progress = progress and active
        self._tensorboard = tensorboard and active
        self._board: Board | None = None
        self._bar: tqdm.tqdm | None = None
        self._clock = (0, time.monotonic())
        if active:
            self.workdir.mkdir(parents=True, exist_ok=True)

    @property
    def path(self) -> pathlib.Path:
        """metrics.jsonl of the work directory."""
        return self.workdir / METRICS_FILE

    def write(self, phase: str, step: int, metrics: Mapping[str, float]) -> None:
        """Adds one line.

        Args:
          phase: of the training.
          step: number of steps done.
          metrics: numbers by name; what is not finite is written as null, since JSON
            knows no NaN.
        """
        if not self.active:
            return
        line: dict[str, object] = {"phase": phase, "step": step}
        for name, value in metrics.items():
            line[name] = float(value) if math.isfinite(value) else None
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
        if self._board is not None:
            self._board.write(step, metrics)

    def position(self) -> int:
        """Size of metrics.jsonl in bytes, once it is safely on the disk."""
        if not self.path.exists():
            return 0
        with self.path.open("rb+" if self.active else "rb") as file:
            if self.active:
                os.fsync(file.fileno())
            return file.seek(0, os.SEEK_END)

    def cut_back(self, position: int) -> None:
        """Drops what was written after a `position` of an earlier process."""
        if self.active and self.path.exists():
            with self.path.open("rb+") as file:
                file.truncate(min(position, file.seek(0, os.SEEK_END)))

    def start(self, phase: str, step: int, total: int) -> None:
        """Begins the progress of a phase at a step out of `total`."""
        self.close()
        self._clock = (step, time.monotonic())
        if self._tensorboard:
            folder = self.workdir / "tensorboard" / phase
            self._board = Board(folder, step, read_curves(self.workdir, phase))
        if self._progress and sys.stderr.isatty():
            self._bar = tqdm.tqdm(
                total=total, initial=step, desc=phase, unit="step", dynamic_ncols=True
            )

    def advance(self) -> None:
        """Moves the progress bar on by one step."""
        if self._bar is not None:
            self._bar.update()
            activity.heard()

    @contextlib.contextmanager
    def paused(self, what: str) -> Iterator[None]:
        """Something else than steps, named as in "evaluating": not part of the rate."""
        began = time.monotonic()
        with activity.doing(what):
            yield
        step, since = self._clock
        self._clock = (step, since + time.monotonic() - began)
        if self._bar is not None:
            self._bar.unpause()

    def report(
        self, phase: str, step: int, total: int, metrics: Mapping[str, float]
    ) -> None:
        """Shows metrics beside the bar, or as a line where there is no terminal."""
        before, since = self._clock
        now = time.monotonic()
        rate = (step - before) / max(now - since, 1e-9)
        self._clock = (step, now)
        numbers = " ".join(f"{name}={value:.4g}" for name, value in metrics.items())
        if self._bar is not None:
            self._bar.set_postfix_str(numbers)
        elif self._progress:
            left = _duration((total - step) / rate) if rate > 0 else "?"
            activity.say(
                f"{phase} {step}/{total} {numbers} ({rate:.3g} steps/s, {left} left)"
            )
        if self._board is not None:
            self._board.write(step, {"steps_per_second": rate})

    def say(self, text: str) -> None:
        """Prints what the user must know of the run, progress shown or not."""
        if self.active:
            activity.say(text)

    def flush(self) -> None:
        """Returns when TensorBoard's files hold all that was written."""
        if self._board is not None:
            self._board.flush()

    def stop(self) -> None:
        """Ends the progress of a phase."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def close(self) -> None:
        """Ends the progress and TensorBoard's file."""
        self.stop()
        if self._board is not None:
            self._board.close()
            self._board = None


def read_metrics(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl; null comes back as NaN, a half-written end is left out.

    Raises:
      UserError: for a line that is damaged.
    """
    path = pathlib.Path(workdir) / METRICS_FILE
    if not path.exists():
        return []
    *whole, _ = path.read_bytes().split(b"\n")
    lines = []
    for number, text in enumerate(whole, 1):
        try:
            line = json.loads(text)
            plain = {"phase": str(line.pop("phase")), "step": int(line.pop("step"))}
            numbers = {
                name: math.nan if value is None else float(value)
                for name, value in line.items()
            }
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UserError(
                f"{path}, line {number} is damaged: restore the file or remove the line"
            ) from None
        lines.append({**plain, **numbers})
    return lines


def read_curves(
    workdir: str | os.PathLike[str], phase: str
) -> dict[str, tuple[list[int], list[float]]]:
    """Curves of a phase: {name: (steps, values)}."""
    curves: dict[str, tuple[list[int], list[float]]] = {}
    for line in read_metrics(workdir):
        if line.pop("phase") != phase:
            continue
        step = line.pop("step")
        for name, value in line.items():
            steps, values = curves.setdefault(name, ([], []))
            steps.append(step)
            values.append(value)
    return curves


def read_panels(
    workdir: str | os.PathLike[str], phase: str, names: Iterable[str]
) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """Curves of some metrics: {name: {split: (steps, values)}}."""
    curves = read_curves(workdir, phase)
    return {
        name: {
            split: curves[f"{split}/{name}"]
            for split in ("train", "validation")
            if f"{split}/{name}" in curves
        }
        for name in names
    }


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
    )
