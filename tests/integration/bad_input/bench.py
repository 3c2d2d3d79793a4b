"""The doors that bad input comes in by, and what is asked of each of them.

Whatever a user gives, a door does one of three things: it works, it works and names
the rows it rejects, or it ends with exit code 2 and one clear line on stderr.
"""

import contextlib
import dataclasses
import io
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from common.cli import app
from ican import main as ican_main
from ican.verbs.predict import Model

WORKS = "works"
REJECTED = "rows rejected"
REFUSED = "exit 2"
OUTCOMES = (WORKS, REJECTED, REFUSED)

LONGEST_MESSAGE = 300  # characters, the paths of the test's folders aside
_EXCEPTION = re.compile(r"\b[A-Z]\w*(Error|Exception|Warning)\b|<class|object at 0x")


@dataclasses.dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
      kind: of input, a row of the table that the tests print.
      name: says what is wrong with it.
      run: gives it to a door of the bench; returns the outcome, an AssertionError says
        what the door did wrong.
    """

    kind: str
    name: str
    run: Callable[["Bench"], str]


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a door was left.

    Attributes:
      outcome: WORKS or REFUSED.
      message: the one line on stderr, without "error: "; "" where it worked.
      value: what the function returned; None for a command.
    """

    outcome: str
    message: str
    value: Any = None


@dataclasses.dataclass(frozen=True)
class Trained:
    """A workdir of a finished training run, to be copied and damaged.

    Attributes:
      workdir: of the run.
      flags: that it was trained with, without --workdir.
      model: as loaded from it.
    """

    workdir: pathlib.Path
    flags: tuple[str, ...]
    model: Model


@dataclasses.dataclass(frozen=True)
class _NoConfig:
    """What a program without knobs of its own is configured by."""


class Bench:
    """The doors, and what stands ready for the cases.

    Attributes:
      folder: empty, for the case at hand.
      number: of the case.
      trained: name -> a training run, made when it is asked for.
    """

    def __init__(self, root: pathlib.Path, trained: Callable[[str], Trained]):
        self._root = root
        self.number = 0
        self.trained = trained
        self.folder = root

    @contextlib.contextmanager
    def new_folder(self) -> Iterator[None]:
        """Gives a case an empty folder of its own."""
        self.number += 1
        self.folder = self._root / f"case{self.number}"
        self.folder.mkdir()
        try:
            yield
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name: str, content: bytes | str) -> pathlib.Path:
        """Writes a file into the folder of the case."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(data)
        return path

    def command(self, *words: Any, about: Any = "") -> Ending:
        """Runs `ican`; `about` is what its message must name, one of several."""
        return self._leave(lambda argv: ican_main.main(argv), map(str, words), about)

    def call(self, function: Callable[[], Any], about: Any = "") -> Ending:
        """Calls a door of Python behind the door of every program."""
        found: list[Any] = []

        def run(argv: list[str]) -> NoReturn:
            mode = app.Mode("", lambda config, command: found.append(function()), ())
            app.main("ican", _NoConfig(), {"schema": mode}, argv)

        ending = self._leave(run, ["--mode=schema"], about)
        return dataclasses.replace(ending, value=found[0] if found else None)

    def _leave(self, run: Callable[[list[str]], Any], words: Any, about: Any) -> Ending:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                run(["ican", *words])
            except SystemExit as exit:
                code = exit.code
        text = err.getvalue()
        assert "Traceback" not in text + out.getvalue(), text
        errors = [line for line in text.splitlines() if line.startswith("error:")]
        if code == 0:
            assert not errors, errors
            return Ending(WORKS, "")
        assert code == 2, f"exit code {code}"
        assert len(errors) == 1 and text.endswith(errors[0] + "\n"), text
        message = errors[0].removeprefix("error: ")
        self._check_message(message, (about,) if isinstance(about, str) else about)
        return Ending(REFUSED, message)

    def _check_message(self, message: str, about: tuple[str, ...]) -> None:
        assert message.strip() == message != "", repr(message)
        assert message.isprintable(), ascii(message)
        assert not _EXCEPTION.search(message), message
        short = message.replace(f"{self.folder}/", "")
        assert len(short) <= LONGEST_MESSAGE, f"{len(short)} characters: {message}"
        assert any(word in message for word in about), f"{message} lacks {about}"


def expect(ending: Ending, *outcomes: str) -> str:
    """Checks how a door was left; returns it."""
    told = ending.message or ending.outcome
    assert ending.outcome in outcomes, f"{told}; wanted {' or '.join(outcomes)}"
    return ending.outcome
