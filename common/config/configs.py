"""Configuration as a tree of frozen dataclasses, and its flags.

Every field of the tree is a `knob` with a default, a help text and, where it has
them, bounds or choices. A knob becomes one absl flag under its dotted name
(`--model.cells=3`). No other module reads a flag:

    @dataclasses.dataclass(frozen=True)
    class ModelConfig:
        cells: int = knob(3, "co-attention cells", low=1, high=64)

        def __post_init__(self):
            check_bounds(self)
"""

import dataclasses
import difflib
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from absl import flags

from common.config import knobs
from common.errors import UserError

T = TypeVar("T")


def knob(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] | None = None,
    formerly: tuple[str, ...] = (),
) -> Any:
    """Declares a field of a config dataclass.

    The annotation of the field says what it holds: int, float, bool, str,
    `Literal` of strings, `X | None`, `tuple[X, ...]` or a tuple of fixed length.

    Args:
      default: its value where the user says nothing.
      help: one line for `--help`; names the unit.
      low: least value allowed, inclusive; for tuples of each entry.
      high: largest value allowed, inclusive.
      choices: the only values allowed.
      formerly: flags that it had before, whole dotted names. They are unknown flags,
        answered with the name of today.

    Returns:
      A dataclass field.
    """
    metadata = {
        "help": help,
        "low": low,
        "high": high,
        "choices": None if choices is None else tuple(choices),
        "formerly": formerly,
    }
    return dataclasses.field(default=default, metadata=metadata)


def _fields(cls: type) -> tuple[tuple[dataclasses.Field, knobs.Values | type], ...]:
    """Fields of a config class with what each holds: values, or a config class."""
    hints = typing.get_type_hints(cls)
    found: list[tuple[dataclasses.Field, knobs.Values | type]] = []
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            found.append((field, hint))
        else:
            found.append((field, knobs.values_of(hint, field.metadata)))
    return tuple(found)


def leaves(
    config: Any, prefix: str = ""
) -> Iterator[tuple[str, Any, knobs.Values, str]]:
    """Walks the knobs of a config in the order of declaration.

    Yields:
      (dotted name, value, what it may hold, help) for each knob.
    """
    for field, holds in _fields(type(config)):
        value = getattr(config, field.name)
        if isinstance(holds, knobs.Values):
            yield prefix + field.name, value, holds, field.metadata.get("help", "")
        else:
            yield from leaves(value, f"{prefix}{field.name}.")


def check_bounds(config: Any) -> None:
    """Checks type, bounds and choices of the knobs of one config object.

    Called in `__post_init__`, so that no config with a bad value can exist,
    however it was made. NaN is never a value.

    Raises:
      UserError: naming the field, its value and what is allowed.
    """
    for field, holds in _fields(type(config)):
        value = getattr(config, field.name)
        if isinstance(holds, knobs.Values):
            _check(f"{type(config).__name__}.{field.name}", value, holds)
        elif not isinstance(value, holds):
            raise UserError(
                f"{type(config).__name__}.{field.name} must be a {holds.__name__},"
                f" not {value!r}"
            )


def check_together(config: Any) -> None:
    """Calls `check_together` of a config and of those in it, where they have one.

    It refuses values that are right each and can't go together. The command line calls
    this before anything is read; a config that is only looked at may hold them.

    Raises:
      UserError: naming the flags.
    """
    for field, holds in _fields(type(config)):
        if not isinstance(holds, knobs.Values):
            check_together(getattr(config, field.name))
    if hasattr(config, "check_together"):
        config.check_together()


def _check(name: str, value: Any, holds: knobs.Values) -> None:
    try:
        holds.check(value)
    except ValueError as error:
        raise UserError(f"{name}={value!r}: {error}") from None


def define_flags(
    default: Any, flag_values: flags.FlagValues, module_name: str | None = None
) -> None:
    """Declares one absl flag for every knob of a config.

    Args:
      default: the config whose values are the defaults of the flags.
      flag_values: where the flags go.
      module_name: the module under which `--help` lists them.
    """
    for name, value, holds, text in leaves(default):
        flag = flags.Flag(
            knobs.FlagParser(holds),
            # absl writes a switch itself, as --name or --noname.
            None if holds.is_switch else knobs.FlagSerializer(holds),
            name,
            value,
            text,
            boolean=holds.is_switch,
        )
        flags.DEFINE_flag(flag, flag_values=flag_values, module_name=module_name)


def from_flags(cls: type[T], flag_values: flags.FlagValues) -> T:
    """Builds a config of class `cls` from parsed flags.

    Raises:
      UserError: where the values do not go together.
    """

    def build(part: type, prefix: str) -> Any:
        values = {}
        for field, holds in _fields(part):
            name = prefix + field.name
            if isinstance(holds, knobs.Values):
                values[field.name] = flag_values[name].value
            else:
                values[field.name] = build(holds, name + ".")
        return part(**values)

    return build(cls, "")


def flag_lines(config: Any) -> list[str]:
    """Writes a config as flags, one `--name=value` a line, that read back exactly.

    Raises:
      UserError: where a value can't be written on one line (a newline, outer blanks,
        a comma inside an entry of a tuple).
    """
    lines = []
    for name, value, holds, _ in leaves(config):
        try:
            lines.append(f"--{name}={holds.write(value)}")
        except ValueError as error:
            raise UserError(f"--{name}: {error}") from None
    return lines


def to_dict(config: Any) -> dict[str, Any]:
    """Turns a config into nested dicts and lists that JSON can hold."""
    result: dict[str, Any] = {}
    for field, holds in _fields(type(config)):
        value = getattr(config, field.name)
        if not isinstance(holds, knobs.Values):
            result[field.name] = to_dict(value)
        else:
            result[field.name] = list(value) if isinstance(value, tuple) else value
    return result


def from_dict(cls: type[T], data: Mapping[str, Any], prefix: str = "") -> T:
    """Builds a config from what `to_dict` wrote; what is absent takes its default.

    Raises:
      UserError: for an unknown key, a wrong type or a value out of bounds.
    """
    if not isinstance(data, Mapping):
        raise UserError(f"{prefix or 'config'}: expected an object, found {data!r}")
    names = [field.name for field, _ in _fields(cls)]
    for key in data:
        if key not in names:
            raise UserError(
                f"unknown config field {prefix}{key}{hint(str(key), names)}"
            )
    values: dict[str, Any] = {}
    for field, holds in _fields(cls):
        if field.name not in data:
            continue
        value, name = data[field.name], prefix + field.name
        if isinstance(holds, knobs.Values):
            value = tuple(value) if isinstance(value, list) else value
            _check(name, value, holds)
            values[field.name] = value
        else:
            values[field.name] = from_dict(holds, value, name + ".")
    return cls(**values)


def replace(config: T, changes: Mapping[str, Any], prefix: str = "") -> T:
    """Returns a config with some knobs changed.

    Args:
      config: the config to start from.
      changes: new values under dotted names, `{"model.kind": "block"}`. A name may
        also be a whole sub-config.
      prefix: of the names in error messages.

    Raises:
      UserError: for an unknown name or a value that is not allowed.
    """
    fields = {field.name: holds for field, holds in _fields(type(config))}
    own: dict[str, Any] = {}
    below: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        head, _, rest = name.partition(".")
        if head not in fields or (rest and isinstance(fields[head], knobs.Values)):
            known = [leaf for leaf, *_ in leaves(config, prefix)]
            name = prefix + name
            raise UserError(f"unknown config field {name}{hint(name, known)}")
        if rest:
            below.setdefault(head, {})[rest] = value
        else:
            own[head] = value
    for head, inner in below.items():
        part = own.get(head, getattr(config, head))
        own[head] = replace(part, inner, f"{prefix}{head}.")
    return dataclasses.replace(typing.cast(Any, config), **own)


def differences(a: Any, b: Any) -> dict[str, tuple[Any, Any]]:
    """Lists the knobs in which two configs of one class differ.

    Returns:
      {dotted name: (value in a, value in b)}.
    """
    pairs = zip(leaves(a), leaves(b), strict=True)
    return {x[0]: (x[1], y[1]) for x, y in pairs if x[1] != y[1]}


def hint(name: str, known: Iterable[str]) -> str:
    """Says which known name was probably meant: "; did you mean x?" or nothing."""
    known = list(known)
    group, _, last = name.rpartition(".")
    beside = [other for other in known if group and other.rpartition(".")[0] == group]
    meant = difflib.get_close_matches(name, beside, n=1, cutoff=0.9)
    if not meant:
        meant = [other for other in known if other.rpartition(".")[2] == last][:3]
    if not meant:
        meant = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    if not meant:
        ends = {other.rpartition(".")[2]: other for other in reversed(known)}
        meant = [ends[end] for end in difflib.get_close_matches(last, ends, n=1)]
    return f"; did you mean {' or '.join(meant)}?" if meant else ""
