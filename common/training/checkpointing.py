"""Checkpoints of training phases: of each the latest two and the best one.

A checkpoint holds the state as one flat dictionary {"params/conv/kernel": array}, each
array once however it was spread, and a JSON record *about* it: what the run must not
change, where the metrics file ended, shapes and dtypes. A flat dictionary can be read
without the code that made it (`load_arrays`), by any number of devices, and can be
compared name by name.

This is the only module that knows Orbax.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from common import literal_paths
from common.errors import UserError
from common.parallel.execution import Execution
from common.parallel.processes import wait_for_all
from common.training import interruption, stray_errors, workdirs
from common.training.saved_leaves import (
    check_leaves,
    checksums,
    describe,
    nonempty,
    with_keys,
    without_keys,
)
from common.training.tree_paths import flatten, unflatten

literal_paths.take_literally()

Path = str | os.PathLike[str]
# Folder beside those of the phases for what can't be read any more.
DAMAGED = "damaged"
# Trouble of the machine, not of the file: an older checkpoint would not cure it.
_NOT_DAMAGE = (MemoryError, PermissionError, jax.errors.JaxRuntimeError)


class DamagedError(Exception):
    """The files of a checkpoint can't be read; the message says why, in one line."""


@dataclasses.dataclass(frozen=True)
class Restored:
    """A state read back.

    Attributes:
      state: in the device form of the execution it was read for.
      step: number of training steps it has seen.
      about: the record saved with it.
    """

    state: Any
    step: int
    about: dict[str, Any]


def phase_directory(workdir: Path, phase: str) -> pathlib.Path:
    """Folder of a phase's checkpoints, absolute as Orbax wants it."""
    return pathlib.Path(workdir).absolute() / workdirs.CHECKPOINTS / phase


class Checkpoints:
    """The checkpoints of one phase.

    Attributes:
      directory: where they are; made if it does not exist.
      unreadable: step -> what is wrong, where even the record could not be read.
    """

    def __init__(self, directory: Path, *, writable: bool = True):
        self.directory = pathlib.Path(directory).absolute()
        registry = ocp.handlers.local_registry()
        registry.add(ocp.handlers.JsonHandler, checkpointable_name="about")
        context = ocp.Context()
        context.checkpointables.registry = registry
        self._scores: dict[int, float] = {}
        stray_errors.silence()
        self._orbax = ocp.training.Checkpointer(
            self.directory,
            context=context,
            preservation_policy=_LatestAndBest(self._scores),
            # A reader must not remove the save that a trainer is writing.
            cleanup_tmp_directories=writable,
        )
        self.unreadable: dict[int, str] = {}
        for step in self.steps:
            try:
                self._note_score(step, self.about(step)["score"])
            except DamagedError as error:
                self.unreadable[step] = str(error)

    def _note_score(self, step: int, score: float | None) -> None:
        if score is not None:
            self._scores[step] = -math.inf if math.isnan(score) else score

    @property
    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, rising."""
        return sorted(c.step for c in self._orbax.checkpoints)

    @property
    def best(self) -> int | None:
        """Step with the best score, the later of equals; None before any has one.

        A score that is not a number counts as the worst.
        """
        return _best(self._scores, self.steps)

    def save(
        self,
        step: int,
        state: Any,
        about: Mapping[str, Any],
        execution: Execution,
        score: float | None = None,
    ) -> None:
        """Starts to save a state; it may be donated as soon as this returns.

        Args:
          step: number of training steps that the state has seen.
          state: in device form.
          about: JSON record.
          execution: that the state lives on.
          score: how good it is, higher is better; without one it can't be the best.
        """
        leaves = execution.to_saved(without_keys(flatten(state)))
        self._note_score(step, score)
        record = {
            **about,
            "score": score,
            "leaves": describe(leaves),
            "checksums": checksums(leaves),
        }
        self._orbax.save_checkpointables_async(
            step,
            {
                # Orbax refuses arrays without entries; they hold nothing to save.
                "state": nonempty(leaves),
                "about": {"record": record, "checksum": _json_checksum(record)},
            },
            force=True,
        )

    def about(self, step: int) -> dict[str, Any]:
        """The record of a checkpoint.

        Raises:
          DamagedError: where it can't be read.
        """
        about = self._load(step, "about", None)
        if not isinstance(about, dict) or about.keys() != {"record", "checksum"}:
            raise DamagedError("its record is not complete")
        if about["checksum"] != _json_checksum(about["record"]):
            raise DamagedError("its record is not what was saved")
        return about["record"]

    def _load(self, step: int, name: str, abstract_leaves: Any) -> Any:
        """Reads one part of a checkpoint, turning whatever is raised into one error."""
        try:
            return self._orbax.load_checkpointables(step, {name: abstract_leaves})[name]
        except _NOT_DAMAGE:
            raise
        except Exception as error:  # files break in every way
            if interruption.is_behind(error):
                raise KeyboardInterrupt from error
            part = "record" if name == "about" else "arrays"
            raise DamagedError(f"its {part} can't be read") from error

    def _load_state(self, step: int, about: Mapping[str, Any], structs: Any) -> Any:
        """Reads the arrays and compares their checksums."""
        leaves = self._load(step, "state", structs)
        for path, checksum in checksums(leaves).items():
            if checksum != about["checksums"].get(path, checksum):
                raise DamagedError(f"{path} is not what was saved")
        return leaves

    def restore(self, step: int, abstract: Any, execution: Execution) -> Restored:
        """Reads a checkpoint.

        Args:
          step: one of `steps`.
          abstract: the state's shapes, as from `jax.eval_shape`.
          execution: that the state shall live on.

        Raises:
          UserError: where names, shapes or dtypes are not those of `abstract`.
          DamagedError: where the files can't be read.
        """
        about = self.about(step)
        abstract_leaves = flatten(abstract)
        plain = jax.eval_shape(without_keys, abstract_leaves)
        check_leaves(self.directory / str(step), about["leaves"], describe(plain))
        structs = execution.saved_structs(nonempty(plain))
        loaded = self._load_state(step, about, structs)
        leaves = execution.from_saved(loaded)
        empty = {path: x for path, x in plain.items() if path not in leaves}
        leaves |= execution.replicate(
            {path: np.zeros(x.shape, x.dtype) for path, x in empty.items()}
        )
        state = unflatten(abstract, with_keys(leaves, abstract_leaves))
        return Restored(state, step, about)

    def load_arrays(self, step: int) -> dict[str, np.ndarray]:
        """Reads a checkpoint as host arrays by path, whatever state it is of."""
        about = self.about(step)
        structs = {
            path: np.empty(shape, jnp.dtype(dtype))
            for path, (shape, dtype) in about["leaves"].items()
        }
        loaded = self._load_state(step, about, nonempty(structs))
        return {path: np.asarray(loaded.get(path, x)) for path, x in structs.items()}

    def restore_latest(
        self, abstract: Any, execution: Execution, identity: Mapping[str, Any]
    ) -> Restored | None:
        """Reads the latest checkpoint that is not damaged.

        Damaged ones are moved to the folder "damaged" beside this one, since the run
        will write their steps again.

        Args:
          abstract: the state's shapes.
          execution: that the state shall live on.
          identity: what must not have changed since; JSON.

        Returns:
          None where there is no checkpoint at all.

        Raises:
          UserError: where the identity or the shapes differ, or all are damaged.
        """
        damaged: list[int] = []
        for step in reversed(self.steps):
            try:
                check_identity(self.directory, self.about(step)["identity"], identity)
                restored = self.restore(step, abstract, execution)
            except DamagedError as error:
                logging.warning(
                    "checkpoint %s is damaged (%s); trying an older one",
                    self.directory / str(step),
                    error,
                )
                damaged.append(step)
                continue
            self._set_aside(damaged)
            return restored
        if damaged:
            raise UserError(
                f"every checkpoint in {self.directory} is damaged: remove this folder "
                "to train from the beginning"
            )
        return None

    def _set_aside(self, steps: list[int]) -> None:
        if not steps:
            return
        if jax.process_index() == 0:
            target = self.directory.parent / DAMAGED
            target.mkdir(exist_ok=True)
            for step in steps:
                moved = target / f"{self.directory.name}-{step}"
                count = 1
                while moved.exists():
                    count += 1
                    moved = target / f"{self.directory.name}-{step}-{count}"
                os.rename(self.directory / str(step), moved)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("checkpoints set aside")
        for step in steps:
            self._scores.pop(step, None)
        self._orbax.reload()

    def close(self) -> None:
        """Waits for the save in flight."""
        self._orbax.close()


def latest_step(workdir: Path, phase: str) -> int | None:
    """Step of a phase's latest checkpoint; None where there is none.

    With several processes all of them must call it.
    """
    found = latest_record(workdir, phase)
    return None if found is None else found[0]


def latest_record(workdir: Path, phase: str) -> tuple[int, dict[str, Any]] | None:
    """Step and record of a phase's latest checkpoint; the record is {} if damaged.

    None where there is no checkpoint. With several processes all of them must call it.
    """
    directory = phase_directory(workdir, phase)
    begun = directory.is_dir()
    # The first process to go on makes it; by then all must have looked.
    wait_for_all("checkpoints looked for")
    if not begun:
        return None
    with contextlib.closing(Checkpoints(directory, writable=False)) as checkpoints:
        if not checkpoints.steps:
            return None
        step = checkpoints.steps[-1]
        damaged = step in checkpoints.unreadable
        return step, {} if damaged else checkpoints.about(step)


def load_best(
    workdir: Path, phase: str, abstract: Any, execution: Execution
) -> Restored:
    """Reads the best checkpoint of a phase (the latest where none was scored).

    Args:
      workdir: of the run.
      phase: its name.
      abstract: the state's shapes: `jax.eval_shape(phase.init, previous)`.
      execution: that the state shall live on.

    Raises:
      UserError: where there is none, it is damaged, or it is of another model.
    """
    with _reading(workdir, phase) as (checkpoints, step):
        return checkpoints.restore(step, abstract, execution)


def load_arrays(workdir: Path, phase: str | None = None) -> dict[str, np.ndarray]:
    """Reads the best checkpoint as host arrays, without knowing the model.

    Args:
      workdir: of the run.
      phase: its name; None = the last phase that has checkpoints.

    Returns:
      {"params/conv/kernel": array}; see `tree_paths.nest`.

    Raises:
      UserError: where there is none or it is damaged.
    """
    with _reading(workdir, phase or _last_phase(workdir)) as (checkpoints, step):
        return checkpoints.load_arrays(step)


def check_identity(
    where: Path, saved: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Refuses to go on with a run under other settings.

    Raises:
      UserError: naming each field that differs, with both values.
    """
    before = dict(_fields(saved))
    now = dict(_fields(json.loads(json.dumps(settings))))
    missing = "nothing"
    changes = [
        f"{name} was {before.get(name, missing)!r}, now {now.get(name, missing)!r}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name, missing) != now.get(name, missing)
    ]
    if changes:
        raise UserError(
            f"{where} was trained with other settings: {'; '.join(changes)}; put them "
            "back or use another --workdir"
        )


def _json_checksum(record: Any) -> int:
    return zlib.crc32(json.dumps(record, sort_keys=True).encode())


def _fields(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from _fields(value, f"{name}.{key}" if name else key)
    else:
        yield name, tree


@dataclasses.dataclass
class _LatestAndBest:
    """Orbax' question which checkpoints to keep: the latest two and the best.

    Orbax' own policy reads scores from a file of which one damaged byte stops it.
    """

    scores: Mapping[int, float]

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        steps = sorted(checkpoint.step for checkpoint in checkpoints)
        keep = {*steps[-2:], _best(self.scores, steps)}
        return [checkpoint.step in keep for checkpoint in checkpoints]


def _best(scores: Mapping[int, float], steps: Sequence[int]) -> int | None:
    scored = [step for step in steps if step in scores]
    return max(scored, key=lambda step: (scores[step], step), default=None)


@contextlib.contextmanager
def _reading(workdir: Path, phase: str) -> Iterator[tuple[Checkpoints, int]]:
    """Opens a phase's checkpoints for reading the best."""
    directory = phase_directory(workdir, phase)
    checkpoints = None
    try:
        if directory.is_dir():
            checkpoints = Checkpoints(directory, writable=False)
        if checkpoints is None or not checkpoints.steps:
            raise UserError(f"no checkpoint in {directory}: train first")
        # It may be the best one; another in its place would be a silent change.
        for step, reason in checkpoints.unreadable.items():
            raise UserError(
                f"checkpoint {directory / str(step)} is damaged ({reason}); restore it,"
                " or remove it to go on with the best of the others"
            )
        best = checkpoints.best
        step = checkpoints.steps[-1] if best is None else best
        try:
            yield checkpoints, step
        except DamagedError as error:
            raise UserError(
                f"checkpoint {directory / str(step)} is damaged ({error}); "
                "remove it and train again from the one before"
            ) from error
    finally:
        if checkpoints is not None:
            checkpoints.close()


def _last_phase(workdir: Path) -> str:
    """Name of the phase that ran last."""
    root = pathlib.Path(workdir) / workdirs.CHECKPOINTS
    numbers = {}
    for folder in sorted(root.glob("*")) if root.is_dir() else []:
        if folder.name == DAMAGED:
            continue
        with _reading(workdir, folder.name) as (checkpoints, step):
            numbers[folder.name] = checkpoints.about(step)["phase_number"]
    if not numbers:
        raise UserError(f"no checkpoint in {root}: train first")
    return max(numbers, key=lambda name: numbers[name])
