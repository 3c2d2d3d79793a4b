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
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from common.errors import UserError
from common.parallel import Execution

Path = str | os.PathLike[str]
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
    return pathlib.Path(workdir).absolute() / "checkpoints" / phase


class Checkpoints:
    """The checkpoints of one phase.

    Attributes:
      directory: where they are; made if it does not exist.
    """

    def __init__(self, directory: Path, *, writable: bool = True):
        self.directory = pathlib.Path(directory).absolute()
        policies = ocp.training.preservation_policies
        best = policies.BestN(
            n=1, get_metric_fn=_score, keep_checkpoints_without_metrics=False
        )
        registry = ocp.handlers.local_registry()
        registry.add(ocp.handlers.JsonHandler, checkpointable_name="about")
        context = ocp.Context()
        context.checkpointables.registry = registry
        self._orbax = ocp.training.Checkpointer(
            self.directory,
            context=context,
            preservation_policy=policies.AnyPreservationPolicy(
                [policies.LatestN(2), best]
            ),
            # A reader must not remove the save that a trainer is writing.
            cleanup_tmp_directories=writable,
        )

    @property
    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, rising."""
        return sorted(c.step for c in self._orbax.checkpoints)

    @property
    def best(self) -> int | None:
        """Step with the best score, the later of equals; None before any has one.

        A score that is not a number counts as the worst.
        """
        scored = [c for c in self._orbax.checkpoints if c.metrics]
        if not scored:
            return None
        return max(scored, key=lambda c: (_score(c.metrics), c.step)).step

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
        leaves = execution.to_saved(_without_keys(flatten(state)))
        self._orbax.save_checkpointables_async(
            step,
            # Orbax refuses arrays without entries; they hold nothing to save.
            {
                "state": _nonempty(leaves),
                "about": {**about, "leaves": _description(leaves)},
            },
            metrics=None if score is None else {"score": float(score)},
            force=True,
        )

    def about(self, step: int) -> dict[str, Any]:
        """The record of a checkpoint.

        Raises:
          DamagedError: where it can't be read.
        """
        about = self._load(step, "about", None)
        if not isinstance(about, dict) or not {"identity", "leaves"} <= about.keys():
            raise DamagedError("its record is not complete")
        return about

    def _load(self, step: int, name: str, wanted: Any) -> Any:
        try:
            return self._orbax.load_checkpointables(step, {name: wanted})[name]
        except _NOT_DAMAGE:
            raise
        except Exception as error:  # broken files raise of every kind
            text = str(error).strip().splitlines()
            reason = text[0][:200] if text else ""
            raise DamagedError(f"{type(error).__name__}: {reason}") from error

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
        wanted = flatten(abstract)
        plain = jax.eval_shape(_without_keys, wanted)
        _check_leaves(self.directory / str(step), about["leaves"], _description(plain))
        structs = execution.saved_structs(_nonempty(plain))
        loaded = self._load(step, "state", structs)
        leaves = execution.from_saved(loaded)
        empty = {path: x for path, x in plain.items() if path not in leaves}
        leaves |= execution.replicate(
            {path: np.zeros(x.shape, x.dtype) for path, x in empty.items()}
        )
        state = unflatten(abstract, _with_keys(leaves, wanted))
        return Restored(state, step, about)

    def load_arrays(self, step: int) -> dict[str, np.ndarray]:
        """Reads a checkpoint as host arrays by path, whatever state it is of."""
        structs = {
            path: np.empty(shape, jnp.dtype(dtype))
            for path, (shape, dtype) in self.about(step)["leaves"].items()
        }
        loaded = self._load(step, "state", _nonempty(structs))
        return {path: np.asarray(loaded.get(path, x)) for path, x in structs.items()}

    def restore_latest(
        self, abstract: Any, execution: Execution, identity: Mapping[str, Any]
    ) -> Restored | None:
        """Reads the latest checkpoint that is not damaged.

        Damaged ones are moved to a folder "damaged" beside this one, since the run
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
            target = self.directory.parent / "damaged"
            target.mkdir(exist_ok=True)
            for step in steps:
                place = target / f"{self.directory.name}-{step}"
                count = 1
                while place.exists():
                    count += 1
                    place = target / f"{self.directory.name}-{step}-{count}"
                os.rename(self.directory / str(step), place)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("checkpoints set aside")
        self._orbax.reload()

    def close(self) -> None:
        """Waits for the save in flight."""
        self._orbax.close()


def latest_step(workdir: Path, phase: str) -> int | None:
    """Step of a phase's latest checkpoint; None where there is none."""
    directory = phase_directory(workdir, phase)
    if not directory.is_dir():
        return None
    with contextlib.closing(Checkpoints(directory, writable=False)) as checkpoints:
        return checkpoints.steps[-1] if checkpoints.steps else None


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
      {"params/conv/kernel": array}; see `nest`.

    Raises:
      UserError: where there is none or it is damaged.
    """
    with _reading(workdir, phase or _last_phase(workdir)) as (checkpoints, step):
        return checkpoints.load_arrays(step)


def nest(flat: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries of the entries under a path.

    >>> nest({"params/conv/kernel": 1, "params/bias": 2, "opt/0": 3}, "params")
    {'conv': {'kernel': 1}, 'bias': 2}
    """
    start = f"{prefix}/" if prefix else ""
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        if not path.startswith(start):
            continue
        *folders, name = path.removeprefix(start).split("/")
        place = nested
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = value
    return nested


def flatten(tree: Any) -> dict[str, Any]:
    """Leaves of a tree by path; fields, keys and indices are joined by "/"."""
    pairs = jax.tree_util.tree_leaves_with_path(tree)
    flat = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in pairs
    }
    if len(flat) < len(pairs):
        raise ValueError("two leaves of the state have the same path")
    return flat


def unflatten(like: Any, flat: Mapping[str, Any]) -> Any:
    """Inverse of `flatten` for a tree of the same structure as `like`."""
    leaves = [flat[path] for path in flatten(like)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def check_identity(
    where: Path, saved: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    """Refuses to go on with a run under other settings.

    Raises:
      UserError: naming each field that differs, with both values.
    """
    before = dict(_fields(saved))
    now = dict(_fields(json.loads(json.dumps(wanted))))
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


def _fields(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from _fields(value, f"{name}.{key}" if name else key)
    else:
        yield name, tree


def _score(metrics: Mapping[str, float]) -> float:
    score = metrics["score"]
    return -math.inf if math.isnan(score) else score


def _nonempty(leaves: Mapping[str, Any]) -> dict[str, Any]:
    return {path: leaf for path, leaf in leaves.items() if math.prod(leaf.shape)}


def _description(leaves: Mapping[str, Any]) -> dict[str, Any]:
    return {path: [list(x.shape), str(x.dtype)] for path, x in leaves.items()}


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _without_keys(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces typed random keys by their numbers."""
    return {
        path: jax.random.key_data(leaf) if _is_key(leaf) else leaf
        for path, leaf in leaves.items()
    }


def _with_keys(leaves: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of `_without_keys`."""
    kinds: dict[str, Any] = {}

    def note(keys):
        # The kind of a key is known to traced keys, not to their shapes.
        kinds.update({path: jax.random.key_impl(key) for path, key in keys.items()})

    jax.eval_shape(note, {path: x for path, x in wanted.items() if _is_key(x)})
    return {
        path: jax.random.wrap_key_data(leaf, impl=kinds[path])
        if path in kinds
        else leaf
        for path, leaf in leaves.items()
    }


def _check_leaves(
    where: pathlib.Path, saved: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    """Compares names, shapes and dtypes; Orbax would cast a dtype in silence."""
    lines = []
    for path in sorted(saved.keys() | wanted.keys()):
        there, here = saved.get(path), wanted.get(path)
        if there is None or here is None:
            side = "only the model has" if there is None else "only the checkpoint has"
            lines.append(f"{side} {path}")
        elif there != here:
            lines.append(
                f"{path} is {there[1]}{there[0]} there and {here[1]}{here[0]} here"
            )
    if lines:
        more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
        raise UserError(
            f"{where} is of another model: {'; '.join(lines[:3])}{more}; use the "
            "settings it was trained with"
        )


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
    root = pathlib.Path(workdir) / "checkpoints"
    numbers = {}
    for folder in sorted(root.glob("*")) if root.is_dir() else []:
        if folder.name == "damaged":
            continue
        with _reading(workdir, folder.name) as (checkpoints, step):
            numbers[folder.name] = checkpoints.about(step)["phase_number"]
    if not numbers:
        raise UserError(f"no checkpoint in {root}: train first")
    return max(numbers, key=lambda name: numbers[name])
