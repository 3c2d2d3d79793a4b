"""The door of every system: from the command line to one of its modes.

    def main(argv=None):
        app.main("ican", IcanConfig(), MODES, argv, summary="Price zones …")

A user's mistake ends with one line on stderr and exit code 2. Results go to stdout,
progress and errors to stderr.
"""

import contextlib
import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NoReturn

from absl import flags

from common.cli import outputs
from common.config import command_line, configs
from common.config.configs import knob
from common.errors import UserError
from common.parallel.processes import is_first_process
from common.training import activity, interruption, workdir_lock, workdirs


@dataclasses.dataclass(frozen=True)
class RunFlags:
    """The flags of a run that are no part of its config."""

    workdir: str = knob("", "folder of the run: checkpoints, metrics, report")
    mode: str = knob("train", "what to do; see above")
    input: str = knob("", "table of new rows (CSV or Parquet); predict, explain")
    images: str = knob("", "folder or tar archive with the photos of --input")
    output: str = knob("", "file or folder to write; predict, schema, export")
    split: Literal["train", "validation", "test"] = knob(
        "test", "rows to look at; evaluate, explain"
    )
    allow_missing_columns: bool = knob(
        False,
        "whether --input may lack attributes: their cells are empty; predict, explain",
    )
    init_from: str = knob("", "workdir whose weights training starts from")
    break_lock: bool = knob(
        False, "train although a run of another machine seems to train in --workdir"
    )


@dataclasses.dataclass(frozen=True)
class Command:
    """One call of the program: the run-level flags, as a mode gets them.

    Attributes:
      system: name of the system.
      mode: its name.
      workdir: folder of the run; the current folder in a mode that needs none.
      input: table of new rows, where given.
      images: photos of these rows, where given.
      output: what to write, where given.
      split: "train", "validation" or "test".
      init_from: workdir to take the first weights from, where given.
      allow_missing_columns: whether `input` may lack attributes.
      break_lock: whether a lock of another machine on the workdir counts for nothing.
      trained: whether the config is that of the run in `workdir`.
    """

    system: str
    mode: str
    workdir: pathlib.Path = pathlib.Path()
    input: pathlib.Path | None = None
    images: pathlib.Path | None = None
    output: pathlib.Path | None = None
    split: str = "test"
    init_from: pathlib.Path | None = None
    allow_missing_columns: bool = False
    break_lock: bool = False
    trained: bool = False

    def need(self, name: str) -> pathlib.Path:
        """Returns the path under `name` ("input"), or says which flag is missing."""
        path = getattr(self, name)
        if path is None:
            raise UserError(f"--mode={self.mode} needs --{name}=PATH")
        return path

    def say(self, text: str) -> None:
        """Prints progress: to stderr, on the first process."""
        if is_first_process():
            activity.say(text)

    def show(self, text: str) -> None:
        """Prints a result: to stdout, on the first process."""
        if is_first_process():
            _print_result(text)


@dataclasses.dataclass(frozen=True)
class Mode:
    """What a mode does and what it needs.

    Attributes:
      about: one line for `--help`.
      run: function of (config, command).
      needs: flags that must be given: run-level ones, and knobs such as "data.path".
      takes: run-level flags that may be given beside these.
      refuses: {run-level flag that would mislead: what to do instead}.
      trained: whether the config comes from the workdir; flags given override it.
      untrained: knob that may be given in the place of a trained workdir.
      output: what --output names: a "table" (.csv or .parquet), a "file", a "folder",
        or "" where it is not taken.
      replaces: names of a folder's files that an earlier call wrote.
      writes: what is written where no --output is given, below the workdir; a folder
        ends with "/".
    """

    about: str
    run: Callable[[Any, Command], None]
    needs: tuple[str, ...] = ("workdir",)
    takes: tuple[str, ...] = ()
    refuses: Mapping[str, str] = dataclasses.field(default_factory=dict)
    trained: bool = False
    untrained: str = ""
    output: Literal["", "table", "file", "folder"] = ""
    replaces: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


Modes = Mapping[str, Mode]


def main(
    system: str,
    default: Any,
    modes: Modes,
    argv: Sequence[str] | None = None,
    *,
    summary: str = "",
) -> NoReturn:
    """Parses the command line, runs a mode, exits; see `mistakes_in_one_line`.

    Args:
      system: name of the system, "ican".
      default: its config with the default values.
      modes: {name: mode}.
      argv: the command line with the program's name first; None for the process'.
      summary: one line on what the system does, for `--help`.
    """
    argv = sys.argv if argv is None else argv
    # Grain's workers read a flag of the global absl flags, which nobody else parses.
    flags.FLAGS.mark_as_parsed()
    with mistakes_in_one_line():
        if command_line.wants_help(argv[1:]):
            about = {name: mode.about for name, mode in modes.items()}
            parts = (RunFlags(), default)
            _print_result(
                command_line.help_text(_program(argv), summary or system, about, *parts)
            )
        else:
            config, command = parse(system, default, modes, argv)
            mode = modes[command.mode]
            if "workdir" in mode.needs and not mode.trained:
                workdirs.make_folder(command.workdir)
            check_inputs(mode, command)
            check_outputs(mode, command)
            with (
                activity.watched(),
                activity.doing(f"--mode={command.mode}"),
                workdir_lock.breaking(command.break_lock),
            ):
                mode.run(config, command)
    sys.exit(0)


@contextlib.contextmanager
def mistakes_in_one_line() -> Iterator[None]:
    """Ends the program where the block within fails for no bug of it.

    Exit codes: 2 for a user's mistake or a file that the system refuses, with one line
    on stderr; 130 on Ctrl-C. Any other exception is a bug and keeps its traceback.
    """
    interruption.let_main_tidy_up()
    try:
        yield
    except KeyboardInterrupt:
        interruption.leave()
    except Exception as error:
        if interruption.is_behind(error):
            interruption.leave()
        if (line := _mistake(error)) is None:
            raise
        print(f"error: {_one_line(line)}", file=sys.stderr, flush=True)
        sys.exit(2)


def _mistake(error: Exception) -> str | None:
    """What to tell the user of an error; None for a bug."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and isinstance(error.filename, str | os.PathLike):
        # A disk that is full, a folder that may not be written: no bug either.
        return f"{os.fspath(error.filename)}: {error.strerror}"
    return None


def parse(
    system: str, default: Any, modes: Modes, argv: Sequence[str]
) -> tuple[Any, Command]:
    """Turns a command line into a config and a command.

    Returns:
      (config of the type of `default`, command).

    Raises:
      UserError: for anything that is wrong with the command line.
    """
    flag_values = flags.FlagValues()
    configs.define_flags(RunFlags(), flag_values, system)
    configs.define_flags(default, flag_values, system)
    command_line.parse(flag_values, argv[1:])
    command = _make_command(system, configs.from_flags(RunFlags, flag_values), modes)
    if command.init_from is not None:
        workdirs.read_record(command.init_from)
    mode = modes[command.mode]
    untrained = mode.untrained and flag_values[mode.untrained].value
    if untrained and not flag_values["workdir"].present:
        needs = tuple(flag for flag in mode.needs if flag != "workdir")
        mode = dataclasses.replace(mode, needs=needs, trained=False)
    _check_needs(command.mode, mode, flag_values)
    _check_taken(command, mode, flag_values)
    if not mode.trained:
        config = configs.from_flags(type(default), flag_values)
        configs.check_together(config)
        return config, command
    trained = workdirs.load_config(command.workdir, type(default), system)
    given = {
        name: flag_values[name].value
        for name, *_ in configs.leaves(default)
        if flag_values[name].present
    }
    command = dataclasses.replace(command, trained=True)
    config = configs.replace(trained, given)
    if given:
        configs.check_together(config)
    for name, (before, now) in configs.differences(trained, config).items():
        usual = before if str(before) else "none"
        command.say(
            f"note: --{name}={now} instead of {usual}, as {command.workdir} has it"
        )
    return config, command


def _make_command(system: str, given: RunFlags, modes: Modes) -> Command:
    if given.mode not in modes:
        tip = configs.hint(given.mode, modes)
        raise UserError(f"--mode={given.mode}: must be one of {', '.join(modes)}{tip}")

    def path(name: str) -> pathlib.Path | None:
        text = getattr(given, name)
        return pathlib.Path(text).expanduser() if text else None

    return Command(
        system,
        given.mode,
        path("workdir") or pathlib.Path(),
        path("input"),
        path("images"),
        path("output"),
        given.split,
        path("init_from"),
        given.allow_missing_columns,
        given.break_lock,
    )


def _check_needs(name: str, mode: Mode, flag_values: flags.FlagValues) -> None:
    for flag in mode.needs:
        if not flag_values[flag].value:
            kind = {"workdir": "DIR", "input": "FILE", "output": "FILE"}
            raise UserError(f"--mode={name} needs --{flag}={kind.get(flag, 'TABLE')}")


def _check_taken(command: Command, mode: Mode, flag_values: flags.FlagValues) -> None:
    """Names run-level flags that the mode does not read; refuses those that mislead."""
    # A workdir may stand in a flag file that other modes share.
    taken = {"workdir", "mode", *mode.needs, *mode.takes}
    for field in dataclasses.fields(RunFlags):
        if flag_values[field.name].present and field.name not in taken:
            line = f"--mode={command.mode} takes no --{field.name}"
            if field.name in mode.refuses:
                raise UserError(f"{line}: {mode.refuses[field.name]}")
            command.say(f"note: {line}")


def check_inputs(mode: Mode, command: Command) -> None:
    """Sees to it that the files a mode reads are there, before a model is loaded.

    Raises:
      UserError: naming the flag and the file that is missing.
    """
    for name in ("input", "images"):
        path, read = getattr(command, name), name in (*mode.needs, *mode.takes)
        if read and path is not None and not path.exists():
            raise UserError(f"--{name}={path}: there is no such file or folder")


def check_outputs(mode: Mode, command: Command) -> None:
    """Sees to it that what a mode writes can be written, before it begins.

    Raises:
      UserError: naming the file or folder that can't be written, or holds other files.
    """
    if command.output is not None:
        if mode.output == "folder":
            outputs.check_folder(
                command.output, flag="--output=", replaced=mode.replaces
            )
        elif mode.output:
            table = mode.output == "table"
            outputs.check_file(command.output, flag="--output=", table=table)
        return
    for name in mode.writes:
        path = command.workdir / name.format(split=command.split)
        if not name or name.endswith("/"):
            outputs.check_folder(path, replaced=("*",))
        else:
            outputs.check_file(path)


def _one_line(text: str) -> str:
    """Text fit for a line of a terminal; names of files may hold anything."""
    return command_line.printable(" ".join(text.splitlines()))


def _print_result(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader has seen enough: `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _program(argv: Sequence[str]) -> str:
    """How this program is called."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name}" if spec else f"python {argv[0]}"
