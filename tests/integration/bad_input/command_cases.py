"""Command lines and flag files that were mistyped, mangled or meant otherwise."""

import dataclasses
import random
from collections.abc import Iterator

from common.cli import app
from common.config import configs
from ican.config import Config
from tests.integration.bad_input import damage, tables
from tests.integration.bad_input.bench import REFUSED, WORKS, Bench, Case, expect


@dataclasses.dataclass(frozen=True)
class _CommandCase:
    """Infers the schema of a good table; {folder} stands for the case's folder.

    Attributes:
      words: of the command line, before and after those that make it work.
      wanted: right outcomes.
      about: what a refusal must name.
      file: content of the flag file run.flags; None for none.
    """

    words: tuple[str, ...] = ()
    wanted: tuple[str, ...] = (REFUSED,)
    about: tuple[str, ...] = ("",)
    file: bytes | None = None

    def __call__(self, bench: Bench) -> str:
        table = bench.write("table.csv", tables.plain_text(4))
        if self.file is not None:
            content = self.file.replace(b"{folder}", str(bench.folder).encode())
            bench.write("run.flags", content)
        words = [word.replace("{folder}", str(bench.folder)) for word in self.words]
        about = tuple(
            word.replace("{folder}", str(bench.folder)) for word in self.about
        )
        plain = ("--mode=schema", f"--data.path={table}")
        return expect(bench.command(*plain, *words, about=about), *self.wanted)


def _wrong_values() -> Iterator[tuple[str, _CommandCase]]:
    """A wrong value for every knob that has one."""
    parts = (app.RunFlags(), Config())
    for name, _, holds, _ in (leaf for part in parts for leaf in configs.leaves(part)):
        texts = ["12x", "", "[1]"] if holds.type in (int, float) else []
        texts += ["1.5", "1e999"] if holds.type is int else []
        texts += ["nan"] if holds.type is float else []
        texts += ["maybe"] if holds.type is bool else []
        texts += ["Zzz"] if holds.choices else []
        texts += [f"{holds.low - 1}"] if holds.low is not None else []
        texts += [f"{holds.high + 1}"] if holds.high is not None else []
        if texts:
            text = random.Random(name).choice(texts)
            if not (holds.entries is not None and text in ("", "1.5")):
                yield (
                    f"--{name}={text}",
                    _CommandCase(
                        (f"--{name}={text}",),
                        about=(f"--{name}", name.rpartition(".")[2]),
                    ),
                )


def _words() -> Iterator[tuple[str, _CommandCase]]:
    refused = {
        "--bogus=1": "--bogus",
        "--data.pat=x": "data.path",
        "--Data.path=x": "data.path",
        "--data.path.x=1": "--data.path.x",
        "--steps=5": "train.steps",
        "--model=block": "--model",
        "--train.stepss=4": "train.steps",
        "-x": "x",
        "-": "-",
        "--=x": "=",
        "--=": "=",
        "stray": "stray",
        "train": "train",
        "--mode": "mode",
        "--mode=": "--mode",
        "--mode=trian": "train",
        "--mode=TRAIN": "train",
        "--mode=predict": "--workdir",
        "--mode=reproduce": "--workdir",
        "--split=all": "split",
        "--nomode": "mode",
        "--undefok=x": "undefok",
        "--train.progress=perhaps": "train.progress",
        "--notrain.progress=true": "train.progress",
        "--notrain.steps": "notrain.steps",
        "--photos.crop=600": "photos.crop",
        "--backbone.cache=x": "backbone.frozen",
        "--model.concatenation_mlp.hidden=": "hidden",
        "--data.split_fractions=0.5,0.5": "split_fractions",
        "--data.split_fractions=1": "split_fractions",
        "--train.steps=५x": "train.steps",
        "--train.steps=1_000_000_000_000_000_000_000": "train.steps",
        "--data.path=a\nb": "control",
        "--data.path=a\0b": "control",
        "--data.path=\x1b[31m": "control",
        "--data.path=\udcff": "UTF-8",
        "\udcff": "UTF-8",
        "--data.path={folder}/nothing.csv": "nothing.csv",
        "--data.path={folder}": "",
        "--data.path=": "data.path",
        "--data.path=/dev/null": "/dev/null",
        "--data.path=" + "x" * 200 + ".csv": "xxx",
        "--output={folder}/nothing/schema.json": "nothing",
        "--output={folder}": "",
        "--output=/proc/schema.json": "/proc",
        "--init_from={folder}": "config.json",
        "--init_from={folder}/nothing": "nothing",
        "--flagfile": "--flagfile",
        "--flagfile=": "--flagfile",
        "--flagfile={folder}/nothing.flags": "nothing.flags",
        "--flagfile={folder}": "--flagfile",
        "--flagfile=a\0b": "a\\x00b",
        "-flagfile={folder}/nothing.flags": "nothing.flags",
    }
    for word, about in refused.items():
        yield f"{word[:40]!a}", _CommandCase((word,), about=(about,))
    several = (
        (("--train.steps", "many"), "train.steps"),
        (("--train.steps",), "train.steps"),
        (("--train.progress", "false"), "train.progress"),
        (("--train.steps=3", "--train.steps=x"), "train.steps"),
        (("--flagfile", "{folder}/nothing.flags"), "nothing.flags"),
        (("---data.path=x",), "data.path"),
        (("--data.path = x",), "data.path"),
    )
    for words, about in several:
        yield " ".join(words), _CommandCase(words, about=(about,))
    works = ("--train.steps=5", "--notrain.progress", "-train.steps=5", "--help")
    for word in (*works, "--train.steps= 7 ", "--train.progress=NO", "--helpfull"):
        yield word, _CommandCase((word,), (WORKS,))
    yield "--output", _CommandCase(("--output={folder}/new.json",), (WORKS,))


def flag_cases(count: int) -> Iterator[Case]:
    """Words of the command line, then a wrong value for one knob after the other."""
    values = list(_wrong_values())
    random.Random("flags").shuffle(values)
    found = [*_words(), *values]
    assert len(found) >= count, len(found)
    for name, run in found[:count]:
        yield Case("flags", name, run)


def _lines() -> Iterator[tuple[str, bytes, int]]:
    """(name, a line that no flag file may hold, its number among the lines)."""
    lines = {
        "stray word": "stray",
        "flag without --": "train.steps=5",
        "one dash": "-train.steps=5",
        "dashes of a typewriter": "\u2013train.steps=5",
        "two typographic dashes": "\u2014train.steps=5",
        "dashes alone": "--",
        "unknown flag": "--train.stepss=5",
        "wrong value": "--train.steps=five",
        "out of bounds": "--train.steps=0",
        "value missing": "--train.steps",
        "blank for =": "--train.steps 5",
        "blanks around =": "--train.steps = 5",
        "a comment behind": "--train.steps=5 # five",
        "a backslash behind": "--train.steps=5 \\",
        "two flags": "--train.steps=5 --train.seed=1",
        "section": "[train]",
        "YAML": "train: {steps: 5}",
        "JSON": '{"train": 1}',
        "conflict": "<<<<<<< HEAD",
        "shell": "$(reboot)",
        "undefok": "--undefok=train.stepss",
        "NUL": "--data.path=a\0b",
        "escape": "--data.path=\x1b[0m",
        "a very long line": "x" * 100_000,
        "quoted": '"--train.steps=5"',
        "semicolon": "; comment",
        "percent": "% comment",
        "HTML": "<html>",
        "flag file that is missing": "--flagfile={folder}/nothing.flags",
        "flag file without a name": "--flagfile=",
        "flag file that is this one": "--flagfile={folder}/run.flags",
        "flag file that is a folder": "--flagfile={folder}",
    }
    for number, (name, line) in enumerate(lines.items()):
        yield name, line.encode(), number % 4


_GOOD_FILE = [b"# a run", b"", b"--train.steps=5", b"--notrain.progress", b"// end"]


def _files() -> Iterator[tuple[str, _CommandCase]]:
    words = ("--flagfile={folder}/run.flags",)

    def file(data: bytes, *about: str, works: bool = False) -> _CommandCase:
        return _CommandCase(
            words, (WORKS,) if works else (REFUSED,), about or ("run.flags",), data
        )

    for name, line, place in _lines():
        content = [*_GOOD_FILE[:place], line, *_GOOD_FILE[place:]]
        yield name, file(b"\n".join(content), f"run.flags:{place + 1}")
    good = b"\n".join(_GOOD_FILE)
    for encoding in ("utf-16", "utf-16-le", "utf-32", "cp500"):
        yield encoding, file(good.decode().encode(encoding))
    for number, byte in enumerate((b"\xff", b"\xe9", b"\xc0\xaf", b"\xed\xa0\x80")):
        content = [*_GOOD_FILE[:number], b"# caf" + byte, *_GOOD_FILE[number:]]
        yield f"byte {byte!r}", file(b"\n".join(content), f"run.flags:{number + 1}")
    yield "too large", file(b"# " + b"x" * 2_000_000)
    yield "PNG", file(b"\x89PNG\r\n\x1a\n" + bytes(100))
    yield "zeros", file(bytes(100))
    yield "gzip", file(b"\x1f\x8b\x08\0" + bytes(50))
    yield "BOM", file(b"\xef\xbb\xbf" + good, works=True)
    yield "CR LF", file(good.replace(b"\n", b"\r\n"), works=True)
    yield "CR", file(good.replace(b"\n", b"\r"), works=True)
    yield "empty", file(b"", works=True)
    yield "blank lines", file(b"\n \n\t\n", works=True)
    yield "indented", file(b"    --train.steps=5\n", works=True)
    yield "the same flag twice", file(b"--train.steps=4\n--train.steps=5", works=True)
    yield "no last end", file(good.rstrip(), works=True)
    yield "umlaut in a comment", file("# für\n".encode(), works=True)
    for seed in range(40):
        way = damage.WAYS[seed % len(damage.WAYS)]
        case = file(way(b"\n".join(_GOOD_FILE * 3), seed), "run.flags")
        yield (
            f"{way.__name__} {seed}",
            dataclasses.replace(case, wanted=(WORKS, REFUSED)),
        )


def flagfile_cases(count: int) -> Iterator[Case]:
    """Flag files: wrong lines, other encodings, damage."""
    found = list(_files())
    assert len(found) >= count, len(found)
    for name, run in found[:count]:
        yield Case("flag files", name, run)
