"""What a knob may hold: its type, its bounds, and how it is read and written."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from absl import flags

NONE = "none"


@dataclasses.dataclass(frozen=True)
class Values:
    """The set of values of one knob, with its notation in flags.

    Attributes:
      type: int, float, bool or str: of the value, or of each entry of a tuple.
      optional: whether None (written `none`) is a value.
      entries: None for a single value, -1 for a tuple of any length, else the length
        of the tuple.
      low: least number allowed.
      high: largest number allowed.
      choices: the only values allowed.
      formerly: flags that the knob had before.
    """

    type: type
    optional: bool = False
    entries: int | None = None
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] | None = None
    formerly: tuple[str, ...] = ()

    @property
    def is_switch(self) -> bool:
        """Whether `--name` and `--noname` alone set it."""
        return self.type is bool and self.entries is None and not self.optional

    def describe(self) -> str:
        """Says in words what is allowed."""
        if self.choices is not None:
            words = "one of " + ", ".join(self._write_one(c) for c in self.choices)
        else:
            name = {int: "an integer", float: "a number", str: "text"}
            words = name.get(self.type, "true or false")
            if self.low is not None and self.high is not None:
                words += f" from {self.low} to {self.high}"
            elif self.low is not None:
                words += f" of at least {self.low}"
            elif self.high is not None:
                words += f" of at most {self.high}"
        if self.entries is not None:
            count = "any number of" if self.entries < 0 else str(self.entries)
            words = f"{count} entries separated by commas, each {words}"
        return words + (f", or {NONE}" if self.optional else "")

    def check(self, value: Any) -> None:
        """Raises ValueError, saying what is allowed, unless `value` is a value."""
        if value is None:
            if not self.optional:
                raise ValueError(f"must be {self.describe()}")
        elif self.entries is None:
            self._check_one(value)
        else:
            if not isinstance(value, tuple) or self.entries not in (-1, len(value)):
                raise ValueError(f"must be {self.describe()}")
            for entry in value:
                self._check_one(entry)

    def _check_one(self, value: Any) -> None:
        kinds = (int, float) if self.type is float else self.type
        right = isinstance(value, kinds)
        if isinstance(value, bool) and self.type is not bool:
            right = False
        if right and self.choices is not None and value not in self.choices:
            words = [self._write_one(choice) for choice in self.choices]
            near = difflib.get_close_matches(self._write_one(value), words, n=1)
            tail = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"must be {self.describe()}{tail}")
        if right and self.type in (int, float):
            right = (
                _is_usable(value)
                and (self.low is None or value >= self.low)
                and (self.high is None or value <= self.high)
            )
        if not right:
            raise ValueError(f"must be {self.describe()}")

    def parse(self, text: str) -> Any:
        """Reads a value as a flag gives it; ValueError says what is allowed."""
        value: Any
        if self.optional and text.strip().lower() == NONE:
            value = None
        elif self.entries is None:
            value = self._parse_one(text)
        else:
            parts = text.split(",") if text.strip() else []
            value = tuple(self._parse_one(part.strip()) for part in parts)
        self.check(value)
        return value

    def _parse_one(self, text: str) -> Any:
        if self.type is str:
            return text
        word = text.strip().lower()
        if self.type is bool:
            if word in ("true", "t", "1", "yes", "y"):
                return True
            if word in ("false", "f", "0", "no", "n"):
                return False
        else:
            try:
                return self.type(word)
            except (ValueError, OverflowError):
                pass
        raise ValueError(f"must be {self.describe()}")

    def write(self, value: Any) -> str:
        """Writes a value so that `parse` reads it back exactly, on one line.

        Raises:
          ValueError: where no line of a flag file reads back as this value.
        """
        if value is None:
            text = NONE
        elif self.entries is None:
            text = self._write_one(value)
        else:
            text = ",".join(self._write_one(entry) for entry in value)
        if not is_one_line(text) or text != text.strip() or self.parse(text) != value:
            raise ValueError(
                f"{value!r} can't be written in a flag file; avoid control"
                " characters, outer blanks, commas in lists and the text none"
            )
        text.encode()  # a lone surrogate is no text: UnicodeEncodeError, a ValueError
        return text

    def _write_one(self, value: Any) -> str:
        if self.type is float and not isinstance(value, bool):
            return float.__repr__(float(value))
        if self.type is bool:
            return "true" if value else "false"
        return str(value)


def _is_usable(number: float) -> bool:
    """Whether a number is finite, and an integer fits 64 bits."""
    if isinstance(number, int):
        return -(2**63) <= number < 2**63
    return math.isfinite(number)


def is_one_line(text: str) -> bool:
    """Whether a text fits on a line: no line breaks, no control characters."""
    return text.splitlines() in ([], [text]) and not any(
        (c < " " and c != "\t") or c == "\x7f" for c in text
    )


def values_of(annotation: Any, metadata: Mapping[str, Any]) -> Values:
    """Reads the values of a knob from its annotation and its metadata.

    Args:
      annotation: the type of the field, resolved.
      metadata: of the field; "low", "high", "choices" and "formerly" are read.

    Raises:
      TypeError: for a type that no flag can hold.
    """
    optional, entries = False, None
    inner = annotation
    if typing.get_origin(inner) in (typing.Union, types.UnionType):
        rest = [a for a in typing.get_args(inner) if a is not types.NoneType]
        if len(rest) == 1:
            optional, inner = True, rest[0]
    if typing.get_origin(inner) is tuple:
        args = typing.get_args(inner)
        entries = -1 if args[-1] is Ellipsis else len(args)
        if len({a for a in args if a is not Ellipsis}) == 1:
            inner = args[0]
    choices = metadata.get("choices")
    if typing.get_origin(inner) is typing.Literal:
        choices, inner = typing.get_args(inner), str
        if not all(isinstance(choice, str) for choice in choices):
            raise TypeError(f"a Literal knob holds strings, not {annotation}")
    if inner not in (int, float, bool, str):
        raise TypeError(f"no flag can hold {annotation}")
    low, high = metadata.get("low"), metadata.get("high")
    formerly = metadata.get("formerly", ())
    return Values(inner, optional, entries, low, high, choices, formerly)


class FlagParser(flags.ArgumentParser):
    """The notation of a knob as absl wants it."""

    def __init__(self, values: Values):
        super().__init__()
        self.values = values

    def parse(self, argument: Any) -> Any:
        """Reads the text of a flag; a default arrives as a value already."""
        return self.values.parse(argument) if isinstance(argument, str) else argument

    def flag_type(self) -> str:
        """Says in words what the flag takes."""
        return self.values.describe()


class FlagSerializer(flags.ArgumentSerializer):
    """Writes the value of a knob as absl wants it."""

    def __init__(self, values: Values):
        self.values = values

    def serialize(self, value: Any) -> str:
        """Writes a value as text."""
        return self.values.write(value)
