"""From the words of a command line to parsed flags; every mistake is one line."""

import pathlib
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import flags

from common.config import configs, knobs
from common.errors import UserError

LARGEST_FLAGFILE = 1 << 20  # bytes; more is no flag file
DEEPEST_FLAGFILE = 20  # flag files inside flag files
_HELP = ("-h", "-help", "--help", "-helpfull", "--helpfull")


def wants_help(arguments: Sequence[str]) -> bool:
    """Whether the user asks for help, however wrong the rest is."""
    return any(argument in _HELP for argument in arguments)


def parse(flag_values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """Parses flags, flag files included.

    A flag on the command line wins over the same one in a flag file, wherever it
    stands; otherwise the later of two equal flags wins. absl would go by the order
    alone, and `--workdir=mine --flagfile=FILE` might write to another workdir. It would
    also ignore stray words and lines of a flag file without `--`, and would crash on a
    flag file that is not text.

    Args:
      flag_values: the flags as `config.define_flags` declared them.
      arguments: the command line without the program's name.

    Raises:
      UserError: naming the flag or word, for a flag file also file and line.
    """
    plain: list[str] = []
    words = iter(arguments)
    for word in words:
        name, has_value, value = word.lstrip("-").partition("=")
        if not (word.startswith("-") and name == "flagfile"):
            plain.append(word)
            continue
        path = value if has_value else next(words, "")
        for where, line in _flagfile_lines(path, "", ()):
            _parse_words(flag_values, [line], where)
    _parse_words(flag_values, plain)


def _flagfile_lines(
    path: str, where: str, parents: tuple[pathlib.Path, ...]
) -> Iterator[tuple[str, str]]:
    """Yields ("file:line: ", flag) for the flags of a flag file and of those in it."""
    if not path:
        raise UserError(f"{where}--flagfile names no file; write --flagfile=FILE")
    file = pathlib.Path(path).expanduser()
    text = _read_flagfile(file, where)
    if file.resolve() in parents:
        raise UserError(f"{where}--flagfile={path}: the file includes itself")
    if len(parents) >= DEEPEST_FLAGFILE:
        raise UserError(f"{where}--flagfile={path}: flag files nested too deep")
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        here = f"{path}:{number}: "
        if not line or line.startswith(("#", "//")):
            continue
        if not line.startswith("--") or line == "--":
            raise UserError(
                f"{here}{_shown(line)} is no flag; write --name=value, or # before a"
                " comment"
            )
        name, _, value = line[2:].partition("=")
        if name == "flagfile":
            yield from _flagfile_lines(value, here, (*parents, file.resolve()))
        else:
            yield here, line


def _read_flagfile(file: pathlib.Path, where: str) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST_FLAGFILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        shown = _shown(str(file), longest=200)
        raise UserError(f"{where}--flagfile={shown}: {reason}") from None
    if len(data) > LARGEST_FLAGFILE:
        raise UserError(f"{where}--flagfile={file}: too large for a flag file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{file}:{line}: not UTF-8 text (byte 0x{data[error.start]:02x}); save the"
            " file as UTF-8"
        ) from None


def _parse_words(
    flag_values: flags.FlagValues, words: Sequence[str], where: str = ""
) -> None:
    for word in words:
        _check_word(word, where)
    try:
        rest = flag_values(["", *words])[1:]
    except flags.UnrecognizedFlagError as error:
        raise UserError(
            f"{where}unknown flag {_shown('--' + error.flagname)}"
            f"{_unknown_flag_hint(error.flagname, flag_values)}"
        ) from None
    except flags.IllegalFlagValueError as error:
        message = str(error).removeprefix("flag ")
        raise UserError(f"{where}{printable(message)}") from None
    except (flags.Error, ValueError) as error:  # ValueError: --noswitch=value
        message = printable(str(error))
        raise UserError(f"{where}{message}; write --name=value") from None
    if rest:
        before = words[len(words) - len(rest) - 1] if len(rest) < len(words) else ""
        name = before.lstrip("-")
        switch = name in flag_values and flag_values[name].boolean
        advice = (
            f"write --{name}=true or --{name}=false"
            if switch
            else "every argument is a flag, --name=value"
        )
        raise UserError(f"{where}stray argument {_shown(rest[0])}; {advice}")


def _check_word(word: str, where: str) -> None:
    try:
        word.encode()
    except UnicodeEncodeError:
        raise UserError(f"{where}argument {_shown(word)} is not UTF-8") from None
    if not knobs.is_one_line(word):
        raise UserError(f"{where}argument {_shown(word)} holds control characters")
    name = word.lstrip("-").partition("=")[0]
    if word.startswith("-") and name == "undefok":  # absl's way to hide typos
        raise UserError(f"{where}unknown flag --undefok")


def _unknown_flag_hint(name: str, flag_values: flags.FlagValues) -> str:
    """Says which flag was probably meant."""
    if renamed := _renamed(name, flag_values):
        return f"; did you mean {renamed}?"
    group, dot, last = name.rpartition(".")
    positive = f"{group}{dot}{last.removeprefix('no')}"
    if last.startswith("no") and positive in flag_values:
        return f"; did you mean --no{positive}?"
    first = name.partition(" ")[0]
    if first != name and first in flag_values:
        return f"; write --{first}=value"
    known = [other for other in flag_values if other != "help"]
    tip = (
        configs.hint(name, known).replace("mean ", "mean --").replace(" or ", " or --")
    )
    return tip or "; --help lists the flags"


def _renamed(name: str, flag_values: flags.FlagValues) -> str:
    """The flags of today that had this name before; "" for none."""
    found = []
    for flag in map(flag_values.__getitem__, flag_values):
        if isinstance(flag.parser, knobs.FlagParser):
            formerly = flag.parser.values.formerly
            if name in formerly:
                found.append(f"--{flag.name}")
            elif flag.boolean and name in [f"no{old}" for old in formerly]:
                found.append(f"--no{flag.name}")
    return " or ".join(found)


def printable(text: str) -> str:
    """The text with everything that does not print as an escape sequence."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _shown(text: str, longest: int = 80) -> str:
    """A piece of what the user gave, safe to print and short."""
    text = printable(text)
    return f"'{text}'" if len(text) <= longest else f"'{text[: longest - 3]}...'"


def help_text(program: str, summary: str, modes: Mapping[str, str], *parts: Any) -> str:
    """Writes the page of `--help`.

    Args:
      program: how the program is called.
      summary: one line on what it does.
      modes: what each `--mode` does.
      *parts: config objects, whose knobs are listed group by group.
    """
    columns = min(shutil.get_terminal_size((88, 24)).columns, 100)
    lines = [summary, "", f"usage: {program} --workdir=DIR [--mode=MODE]"]
    lines += ["    [--flagfile=FILE] [--name=value ...]", "", "modes"]
    lines += [f"  {mode:<12}{text}" for mode, text in modes.items()]
    lines += ["", "A flag file holds one --name=value a line; # starts a comment line."]
    for part in parts:
        group = None
        for name, value, holds, text in configs.leaves(part):
            if group != (group := name.rpartition(".")[0]):
                lines += ["", group or "settings of the run"]
            lines.append(f"  --{name}={_default(holds, value)}")
            if holds.describe() not in ("text", "true or false"):  # the default shows
                text = f"{text} ({holds.describe()})".strip()
            indent = " " * 8
            lines += textwrap.wrap(
                text, columns, initial_indent=indent, subsequent_indent=indent
            )
    return "\n".join(lines)


def _default(holds: knobs.Values, value: Any) -> str:
    try:
        return holds.write(value)
    except ValueError:
        return repr(value)
