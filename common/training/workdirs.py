"""What a workdir remembers of its run: `config.json` and `flags.txt`."""

import contextlib
import functools
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from common.config import configs
from common.errors import UserError
from common.parallel.processes import is_first_process, wait_for_all
from common.training import workdir_lock

T = TypeVar("T")

Say = Callable[[str], None]  # prints a line of progress

RECORD = "config.json"
FLAGS = "flags.txt"
CHECKPOINTS = "checkpoints"
METRICS = "metrics.json"
_PACKAGES = (
    "resale-jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "grain",
    "tensorflow-datasets",
    "pandas",
    "pillow",
)


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Writes a text file so that a reader sees the old or the new one, whole."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives an empty file beside a path, and its place to it when all went well."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial.")
    os.close(handle)
    temporary = pathlib.Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_signed(path: pathlib.Path, contents: Mapping[str, Any]) -> None:
    """Writes a JSON object that `read_signed` can tell from a damaged one."""
    signed = {**contents, "checksum": _checksum(contents)}
    write_atomically(path, json.dumps(signed, indent=1, ensure_ascii=False) + "\n")


def read_signed(path: pathlib.Path) -> dict[str, Any]:
    """Reads what `write_signed` wrote; one without a checksum is read as it is.

    Raises:
      OSError: it can't be read.
      ValueError, TypeError: not what was written.
    """
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(contents, dict):
        raise TypeError("no JSON object")
    checksum = contents.pop("checksum", None)
    if checksum is not None and checksum != _checksum(contents):
        raise ValueError("not what was written")
    return contents


def read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a .npz file.

    Raises:
      OSError: it can't be read.
      ValueError: no whole .npz file.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
            return dict(saved)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path.name}: {error}") from None


def _checksum(contents: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(contents, sort_keys=True).encode())


def write_metrics(path: pathlib.Path, values: Mapping[str, Any]) -> None:
    """Writes figures as one flat JSON object; null for what is not finite."""
    plain = {
        name: value if math.isfinite(value) else None for name, value in values.items()
    }
    write_atomically(path, json.dumps(plain, indent=1) + "\n")


def read_metrics(workdir: pathlib.Path) -> dict[str, Any]:
    """Metrics of a finished run; None where a figure is not finite."""
    values: dict[str, Any] = json.loads((workdir / METRICS).read_text(encoding="utf-8"))
    return values


def make_folder(workdir: pathlib.Path) -> None:
    """Makes the folder of a run.

    Raises:
      UserError: if it can't be made.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--workdir={workdir}: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise UserError(f"--workdir={workdir}: {error}") from None


def start_record(
    workdir: pathlib.Path, system: str, config: Any, free: Iterable[str] = ()
) -> None:
    """Writes `config.json` and `flags.txt` of a training run, or continues them.

    What a run left that ended before its first checkpoint, at a wrong file name say,
    is written over.

    Args:
      workdir: folder of the run; made where it is absent.
      system: name of the system, "ican".
      config: the config of the run.
      free: knobs that may change when a run is continued: dotted names, and groups
        ("parallel.").

    Raises:
      UserError: if the workdir belongs to another system or another config.
      ValueError: for a free name that is no knob.
    """
    free = tuple(free)
    _check_free(config, free)
    lines = configs.flag_lines(config)
    make_folder(workdir)
    facts: Mapping[str, Any] = {}
    if (workdir / RECORD).exists() and has_begun(workdir):
        before = load_config(workdir, type(config), system)
        _refuse_changes(workdir, configs.differences(before, config), free)
        facts = read_record(workdir)["facts"]
    record = {
        "system": system,
        "config": configs.to_dict(config),
        "versions": versions(),
        "git_commit": git_commit(),
        "facts": facts,
    }
    try:
        write_atomically(workdir / FLAGS, "\n".join(lines) + "\n")
        write_atomically(workdir / RECORD, json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"--workdir={workdir}: {error.strerror}") from None


class RunRecord:
    """What a run leaves of itself in its workdir; see `recording`.

    Attributes:
      workdir: of the run.
    """

    def __init__(self, workdir: pathlib.Path):
        self.workdir = workdir

    @property
    def has_ended(self) -> bool:
        """Whether its metrics are there."""
        return (self.workdir / METRICS).exists()

    def add_data(self, fingerprint: str) -> None:
        """Notes the hash of the data, and refuses other data than before.

        Raises:
          UserError: if the workdir was begun on other data.
        """
        if is_first_process():
            add_facts(self.workdir, {"data": fingerprint})

    def finish(self, values: Mapping[str, Any]) -> None:
        """Writes metrics.json, which says that the run has ended: call it last."""
        if is_first_process():
            write_metrics(self.workdir / METRICS, values)
        wait_for_all("metrics written")


@contextlib.contextmanager
def recording(
    workdir: pathlib.Path, system: str, config: Any, free: Iterable[str] = ()
) -> Iterator[RunRecord]:
    """The frame of a training run; every process enters it. See `start_record`.

    Meanwhile no other run may train in the workdir.

    with workdirs.recording(workdir, "ican", config, FREE) as record:
        record.add_data(listings.fingerprint)
        record.finish(train(...))
    """
    with training_in(workdir):
        if is_first_process():
            start_record(workdir, system, config, free)
        wait_for_all("record started")
        yield RunRecord(workdir)


@contextlib.contextmanager
def training_in(workdir: pathlib.Path) -> Iterator[None]:
    """Makes the folder of a run and keeps others out; every process enters it.

    Raises:
      UserError: another process trains there, or the folder can't be made.
    """
    with contextlib.ExitStack() as stack:
        if is_first_process():
            make_folder(workdir)
            stack.enter_context(workdir_lock.held(workdir))
        yield


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
    """Turns what goes wrong with a trained model's files within into one line.

    Args:
      path: of the file that tells what was fitted.

    Raises:
      UserError: a file is missing or damaged.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename or path} is missing: run --mode=train there to its end"
            " first"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        raise UserError(f"{path} is damaged ({error}); train again") from None


def has_begun(workdir: pathlib.Path) -> bool:
    """Whether a training run has left anything that is worth keeping."""
    if (workdir / METRICS).exists():
        return True
    return any((workdir / CHECKPOINTS).glob("*/*"))


def add_facts(workdir: pathlib.Path, facts: Mapping[str, Any]) -> None:
    """Adds what is known only after the start, such as the fingerprint of the data.

    Raises:
      UserError: if the workdir holds another value for one of the facts, since a run
        must not continue on other data.
    """
    record = read_record(workdir)
    plain = json.loads(json.dumps(dict(facts)))
    for name, value in plain.items():
        if record["facts"].get(name, value) != value:
            raise UserError(
                f"{name} is not what {workdir} was trained on"
                f" ({record['facts'][name]!r} there, {value!r} now);"
                " restore it or use another --workdir"
            )
    record["facts"] = {**record["facts"], **plain}
    write_atomically(workdir / RECORD, json.dumps(record, indent=2) + "\n")


def _check_free(config: Any, free: tuple[str, ...]) -> None:
    names = [name for name, *_ in configs.leaves(config)]
    for entry in free:
        is_group = entry.endswith(".")
        if not any(n.startswith(entry) if is_group else n == entry for n in names):
            raise ValueError(f"free names {entry!r}, which is no knob of the config")


def _refuse_changes(
    workdir: pathlib.Path, changes: Mapping[str, tuple[Any, Any]], free: tuple[str, ...]
) -> None:
    groups = tuple(name for name in free if name.endswith("."))
    fixed = [
        f"{name} is {before!r} there and {now!r} now"
        for name, (before, now) in changes.items()
        if name not in free and not name.startswith(groups)
    ]
    if fixed:
        more = f" and {len(fixed) - 4} more" if len(fixed) > 4 else ""
        raise UserError(
            f"--workdir={workdir} was started with another config:"
            f" {', '.join(fixed[:4])}{more}; use the same flags or another --workdir"
        )


def read_record(workdir: pathlib.Path) -> dict[str, Any]:
    """Reads `config.json` of a workdir.

    Returns:
      {"system": str, "config": nested dict, "versions": {package: version},
      "git_commit": str or None, "facts": dict}.

    Raises:
      UserError: if the folder is no workdir or the file is damaged.
    """
    path = pathlib.Path(workdir) / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{workdir} holds no {RECORD}: not the workdir of a training run; run"
            " --mode=train there first"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path} is damaged: not JSON; restore it") from None
    kinds = {"system": str, "config": dict, "versions": dict, "facts": dict}
    for key, kind in kinds.items():
        if not isinstance(record, dict) or not isinstance(record.get(key), kind):
            raise UserError(f"{path} is damaged: no {key!r} in it; restore it")
    return record


def load_config(workdir: pathlib.Path, cls: type[T], system: str) -> T:
    """Reads the config that a workdir was trained with.

    Raises:
      UserError: if the folder is no workdir of this system.
    """
    record = read_record(workdir)
    if record["system"] != system:
        raise UserError(f"{workdir} was trained by {record['system']}, not by {system}")
    try:
        return configs.from_dict(cls, record["config"])
    except UserError as error:
        path = pathlib.Path(workdir) / RECORD
        raise UserError(f"{path}: {error}") from None


def versions() -> dict[str, str]:
    """Versions of Python and of the packages a result depends on."""
    by_name = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            by_name[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return by_name


@functools.cache
def git_commit() -> str | None:
    """Commit of this checkout, "+changes" where files differ; None without git."""
    root = pathlib.Path(__file__).resolve().parents[2]

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *words],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
            return None
        return done.stdout.strip()

    if git("rev-parse", "--show-toplevel") != str(root):
        return None
    commit = git("rev-parse", "HEAD")
    dirty = git("status", "--porcelain", "--untracked-files=no")
    return f"{commit}+changes" if commit and dirty else commit
