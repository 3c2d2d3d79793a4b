import dataclasses
from typing import Literal

import hypothesis
import pytest
from absl import flags
from hypothesis import strategies as st

from common.config import command_line, configs
from common.config.configs import check_bounds, knob
from common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Model:
    cells: int = knob(3, "co-attention cells", low=1, high=64)
    kind: Literal["block", "mfb"] = knob("mfb", "kind of fusion")
    on: bool = knob(True, "a switch", formerly=("fusion.active", "lit"))

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class Config:
    model: Model = Model()
    path: str = knob("", "a path", formerly=("model.cell",))

    def __post_init__(self):
        check_bounds(self)


def parse(*words):
    flag_values = flags.FlagValues()
    configs.define_flags(Config(), flag_values, "test")
    command_line.parse(flag_values, words)
    return configs.from_flags(Config, flag_values)


def error_of(*words):
    with pytest.raises(UserError) as caught:
        parse(*words)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_command_line_wins_over_flagfiles_and_the_later_of_equals(tmp_path):
    inner = tmp_path / "inner.flags"
    inner.write_bytes(b"--model.kind=block\n")
    outer = tmp_path / "outer.flags"
    text = f"# a comment\r\n\r\n// another\n  --model.cells=7  \n--flagfile={inner}\n"
    outer.write_bytes(b"\xef\xbb\xbf" + text.encode() + "--path=ä b".encode())
    got = parse(f"--flagfile={outer}", "--nomodel.on")
    assert got == Config(Model(7, "block", False), "ä b")
    for words in (
        ["--model.cells=2", f"--flagfile={outer}"],
        [f"--flagfile={outer}", "--model.cells=2"],
        ["--model.cells", "2", "--flagfile", str(outer)],
        ["--model.cells=3", f"--flagfile={outer}", "--model.cells=2"],
    ):
        assert parse(*words) == Config(Model(2, "block"), "ä b")
    other = tmp_path / "other.flags"
    other.write_text("--model.cells=8")
    assert parse(f"--flagfile={outer}", f"--flagfile={other}").model.cells == 8
    assert parse(f"--flagfile={other}", f"--flagfile={outer}").model.cells == 7
    assert parse("--flagfile", str(outer), "--model.cells", "9").model.cells == 9
    # Twice the same file is no recursion.
    assert parse(f"--flagfile={outer}", f"--flagfile={outer}").model.cells == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.cells=x"], "--model.cells=x: must be an integer from 1 to 64"),
        (["--model.cells=0"], "--model.cells=0: must be an integer from 1 to 64"),
        (
            ["--model.kind=blok"],
            "--model.kind=blok: must be one of block, mfb; did you mean block?",
        ),
        (
            ["--model.on", "false"],
            "stray argument 'false'; write --model.on=true or --model.on=false",
        ),
        (["train"], "stray argument 'train'; every argument is a flag, --name=value"),
        ([""], "stray argument ''; every argument is a flag, --name=value"),
        (["--", "x"], "stray argument 'x'; every argument is a flag, --name=value"),
        (["--cells=1"], "unknown flag '--cells'; did you mean --model.cells?"),
        (
            ["--model.cels=1"],
            "unknown flag '--model.cels'; did you mean --model.cells?",
        ),
        (["--model.noon"], "unknown flag '--model.noon'; did you mean --nomodel.on?"),
        (
            ["--fusion.active"],
            "unknown flag '--fusion.active'; did you mean --model.on?",
        ),
        (["--nolit"], "unknown flag '--nolit'; did you mean --nomodel.on?"),
        # The former name of a knob, though another knob is nearer by its letters.
        (["--model.cell=1"], "unknown flag '--model.cell'; did you mean --path?"),
        (["--zzz"], "unknown flag '--zzz'; --help lists the flags"),
        (["--undefok=zzz", "--zzz"], "unknown flag --undefok"),
        (
            ["--model.cells 4"],
            "unknown flag '--model.cells 4'; write --model.cells=value",
        ),
        (["--model.cells"], "Missing value for flag --model.cells; write --name=value"),
        (
            ["--nomodel.on=1"],
            "--nomodel.on=1 does not take an argument; write --name=value",
        ),
        (["--path=a\nb"], r"argument '--path=a\nb' holds control characters"),
        (["--path=\udcff"], r"argument '--path=\udcff' is not UTF-8"),
        (["--flagfile"], "--flagfile names no file; write --flagfile=FILE"),
        (["--flagfile="], "--flagfile names no file; write --flagfile=FILE"),
        (["--flagfile=/nowhere"], "--flagfile='/nowhere': No such file or directory"),
        (["--flagfile=/"], "--flagfile='/': Is a directory"),
        (["--flagfile=a\0b"], r"--flagfile='a\x00b': embedded null byte"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(map(ascii, value)),
)
def test_mistakes_on_the_command_line(words, message):
    assert error_of(*words) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"--model.cells=1\nmodel.cells=2", ":2: 'model.cells=2' is no flag"),
        (b"-model.cells=2", ":1: '-model.cells=2' is no flag"),
        (b"--", ":1: '--' is no flag"),
        (b"\n\n--model.cells=many", ":3: --model.cells=many: must be an integer"),
        (
            b"--model.cells 4",
            ":1: unknown flag '--model.cells 4'; write --model.cells=",
        ),
        (b"--model.cells\n4", ":1: Missing value for flag --model.cells"),
        (b"--model.cells=4 # four", ":1: --model.cells=4 # four: must be an integer"),
        (b"#\n--path=\xff", ":2: not UTF-8 text (byte 0xff); save the file as UTF-8"),
        (b"--path=a\0b", r":1: argument '--path=a\x00b' holds control characters"),
        (b"--flagfile", ":1: --flagfile names no file"),
        (b"--flagfile=/nowhere", ":1: --flagfile='/nowhere': No such file"),
        (b"--path=x\n" * 200_000, ": too large for a flag file"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_mistakes_in_a_flagfile_are_named_by_line(tmp_path, content, message):
    path = tmp_path / "bad.flags"
    path.write_bytes(content)
    start = f"--flagfile={path}" if "too large" in message else str(path)
    assert error_of(f"--flagfile={path}").startswith(start + message)


def test_flagfiles_that_include_each_other(tmp_path):
    first, second = tmp_path / "a.flags", tmp_path / "b.flags"
    first.write_text(f"--flagfile={second}")
    second.write_text(f"# back\n--flagfile={first}")
    message = error_of(f"--flagfile={first}")
    assert message == f"{second}:2: --flagfile={first}: the file includes itself"


def test_a_very_deep_chain_of_flagfiles(tmp_path):
    for number in range(30):
        (tmp_path / str(number)).write_text(f"--flagfile={tmp_path / str(number + 1)}")
    assert "too deep" in error_of(f"--flagfile={tmp_path / '0'}")


pieces = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=12).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from(
        [
            b"\n", b"\r\n", b"--", b"=", b"#", b" ", b"-", b"no", b".", b"--flagfile=",
            b"--model.cells=", b"--model.kind=", b"--nomodel.on", b"--model.on",
            b"--path=", b"3", b"block", b"--undefok=", b"--help", b"\xff", b"\0",
        ]
    ),
)  # fmt: skip


@hypothesis.settings(max_examples=200)
@hypothesis.given(st.lists(pieces, max_size=12).map(b"".join))
def test_any_bytes_are_a_flagfile_or_a_clear_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "garbage.flags"
    path.write_bytes(content)
    try:
        config = parse(f"--flagfile={path}")
    except UserError as error:
        message = str(error)
        assert str(path) in message and message.isprintable()
    else:
        assert isinstance(config, Config)


def test_a_value_that_does_not_print_is_told_in_escapes():
    with pytest.raises(UserError) as caught:
        parse("--model.cells=\x80\u200b")
    assert str(caught.value).startswith(r"--model.cells=\x80\u200b: must be")


@hypothesis.settings(max_examples=150)
@hypothesis.given(
    st.lists(
        st.one_of(
            st.text(max_size=10),
            st.text(max_size=6).map("--path={}".format),
            st.text(max_size=6).map("--{}".format),
            st.sampled_from(["--model.on", "--model.cells=3", "--", "--model.cells"]),
        ),
        max_size=4,
    )
)
def test_any_words_are_flags_or_a_clear_error(words):
    try:
        config = parse(*words)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert isinstance(config, Config)


def test_help_page():
    page = command_line.help_text("prog", "A summary.", {"train": "trains"}, Config())
    lines = page.splitlines()
    assert lines[0] == "A summary."
    assert "  train       trains" in lines
    cells = lines.index("  --model.cells=3")
    assert lines[cells + 1].strip() == "co-attention cells (an integer from 1 to 64)"
    assert lines.index("model") < cells
    assert lines[lines.index("  --path=") + 1].strip() == "a path"
    assert lines[lines.index("  --model.on=true") + 1].strip() == "a switch"
    assert command_line.wants_help(["--zzz", "--help"])
    assert not command_line.wants_help(["--path=--help"])
