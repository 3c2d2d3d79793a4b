import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time
from typing import Literal

import pytest

from common.cli import app
from common.config.configs import check_bounds, knob
from common.errors import UserError
from common.training import activity, workdir_lock, workdirs

ROOT = pathlib.Path(__file__).parents[3]


@dataclasses.dataclass(frozen=True)
class Config:
    cells: int = knob(3, "cells", low=1)
    kind: Literal["block", "mfb"] = knob("mfb", "kind")
    steps: int = knob(10, "steps", low=1)

    def __post_init__(self):
        check_bounds(self)
        if self.kind == "block" and self.cells > 5:
            raise UserError("--cells is above 5: too many for --kind=block")


calls = []


def record_call(config, run):
    calls.append((config, run))
    run.say("working")
    run.show("done")


def train(config, run):
    workdirs.start_record(run.workdir, "toy", config, ("steps",))
    record_call(config, run)


MODES = {
    "train": app.Mode("train", train, takes=("init_from",), writes=("",)),
    "evaluate": app.Mode(
        "measure",
        record_call,
        takes=("split",),
        refuses={"init_from": "train again"},
        trained=True,
        writes=("metrics_{split}.json",),
    ),
    "predict": app.Mode(
        "predictions for the rows of --input",
        record_call,
        needs=("workdir", "input", "output"),
        takes=("images", "init_from"),
        trained=True,
        output="table",
    ),
    "schema": app.Mode(
        "infer the schema file",
        record_call,
        needs=(),
        takes=("output",),
        output="file",
    ),
    "check": app.Mode("report on the data", record_call, writes=("check.html",)),
    "export": app.Mode(
        "write a program",
        record_call,
        takes=("output",),
        output="folder",
        replaces=("program.*",),
        writes=("export/",),
    ),
}


def run(*words, modes=MODES):
    """Exit code of a toy program."""
    calls.clear()
    with pytest.raises(SystemExit) as caught:
        app.main("toy", Config(), modes, ["toy", *map(str, words)])
    return caught.value.code


def test_train_writes_its_record_and_evaluate_reads_it(tmp_path, capsys):
    assert run(f"--workdir={tmp_path}", "--cells=4") == 0
    assert calls == [
        (Config(cells=4), app.Command(system="toy", mode="train", workdir=tmp_path))
    ]
    assert capsys.readouterr() == ("done\n", "working\n")
    assert run("--mode=evaluate", f"--workdir={tmp_path}", "--split=validation") == 0
    config, given = calls[0]
    assert config == Config(cells=4)
    assert given.split == "validation" and given.input is None
    assert capsys.readouterr().err == "working\n"


def test_flags_override_the_record_and_say_so(tmp_path, capsys):
    run(f"--workdir={tmp_path}", "--cells=4")
    capsys.readouterr()
    assert (
        run("--mode=evaluate", f"--workdir={tmp_path}", "--cells=5", "--steps=10") == 0
    )
    assert calls[0][0] == Config(cells=5)
    assert capsys.readouterr().err == (
        f"note: --cells=5 instead of 4, as {tmp_path} has it\nworking\n"
    )


def test_continuing_with_another_config_is_refused_by_name(tmp_path, capsys):
    run(f"--workdir={tmp_path}")
    (tmp_path / "metrics.json").write_text("{}")
    assert run(f"--workdir={tmp_path}", "--steps=99") == 0
    assert run(f"--workdir={tmp_path}", "--cells=4", "--kind=block") == 2
    assert not calls
    assert "cells is 3 there and 4 now, kind is 'mfb' there" in capsys.readouterr().err


def test_paths_of_a_run(tmp_path, monkeypatch):
    run(f"--workdir={tmp_path}")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.csv").touch()
    words = [
        "--input=~/a.csv",
        f"--output={tmp_path / 'b.csv'}",
        f"--images={tmp_path}",
        f"--init_from={tmp_path}",
    ]
    assert run("--mode=predict", f"--workdir={tmp_path}", *words) == 0
    given = calls[0][1]
    assert given.input == tmp_path / "a.csv"
    assert given.need("output") == tmp_path / "b.csv"
    assert given.init_from == tmp_path
    with pytest.raises(UserError, match="--mode=train needs --input=PATH"):
        app.Command("toy", "train").need("input")


def test_folders_are_made_where_a_mode_writes(tmp_path):
    assert run("--mode=check", f"--workdir={tmp_path / 'a' / 'b'}") == 0
    assert (tmp_path / "a" / "b").is_dir()
    assert run("--mode=schema") == 0
    assert calls[0][1].workdir == pathlib.Path()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--mode=train needs --workdir=DIR"),
        (["--mode=predict", "--workdir=x"], "--mode=predict needs --input=FILE"),
        (
            ["--mode=predict", "--workdir=x", "--input=y"],
            "--mode=predict needs --output=FILE",
        ),
        (
            ["--mode=evalute"],
            "--mode=evalute: must be one of train, evaluate, predict, schema, check, export",
        ),
        (["--mode=explain", "--workdir=x"], "--mode=explain: must be one of train,"),
        (["--mode=evaluate", "--workdir=nowhere"], "nowhere holds no config.json"),
        (
            ["--split=tests"],
            "--split=tests: must be one of train, validation, test; did you mean test?",
        ),
        (
            ["--workdir=x", "--init_from=nowhere"],
            "nowhere holds no config.json: not the workdir of a training run",
        ),
        (
            ["--workdir=x", "--cells=6", "--kind=block"],
            "--cells is above 5: too many for --kind=block",
        ),
        (["--workdir=/dev/null/x"], "--workdir=/dev/null/x: Not a directory"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_mistakes_end_with_one_line_and_code_2(
    words, message, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    out, err = capsys.readouterr()
    assert out == "" and not calls
    assert err.startswith(f"error: {message}") and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_errors_of_a_mode(tmp_path, capsys):
    def schema(run):
        return {"schema": app.Mode("", run, needs=())}

    def fail(config, run):
        raise UserError("two\nlines")

    def crash(config, run):
        raise ZeroDivisionError("a bug")

    def interrupt(config, run):
        raise KeyboardInterrupt

    def interrupt_a_library(config, run):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise UserError("what the library made of it") from error

    assert run("--mode=schema", modes=schema(fail)) == 2
    assert capsys.readouterr().err == "error: two lines\n"
    for function in (interrupt, interrupt_a_library):
        assert run("--mode=schema", modes=schema(function)) == 130
        assert capsys.readouterr().err == "interrupted\n"
    blocked = tmp_path / "file"
    blocked.touch()

    def write(config, run):
        (blocked / "out.csv").write_text("")

    assert run("--mode=schema", modes=schema(write)) == 2
    assert capsys.readouterr().err == f"error: {blocked}/out.csv: Not a directory\n"
    with pytest.raises(ZeroDivisionError, match="a bug"):
        app.main("toy", Config(), schema(crash), ["toy", "--mode=schema"])


def test_help_wins_over_mistakes(capsys):
    assert run("--zzz", "--help") == 0
    out = capsys.readouterr().out
    assert "  --cells=3\n        cells (an integer of at least 1)" in out
    assert "  predict     predictions for the rows of --input" in out
    assert "explain  " not in out and not calls


def test_modes_and_what_they_need_are_flags():
    names = {field.name for field in dataclasses.fields(app.RunFlags)}
    for mode in MODES.values():
        assert set(mode.needs) <= names


@pytest.fixture
def program(tmp_path):
    """A program on the disk, to be run as a user runs it."""
    path = tmp_path / "toy.py"
    path.write_text(
        textwrap.dedent("""
        import dataclasses, sys, time
        from common.cli import app
        from common.config.configs import knob

        @dataclasses.dataclass(frozen=True)
        class Config:
            cells: int = knob(3, "cells", low=1)

        def train(config, run):
            run.show("started")
            time.sleep(60)

        def check(config, run):
            print("jax" in sys.modules, "matplotlib" in sys.modules)

        modes = {"train": app.Mode("", train), "check": app.Mode("", check)}
        app.main("toy", Config(), modes)
        """)
    )
    return path


def start(program, *words):
    return subprocess.Popen(
        [sys.executable, program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_process_ends_with_code_2(program):
    out, err = (process := start(program, "--cells=0")).communicate(timeout=60)
    assert process.returncode == 2
    assert (out, err) == ("", "error: --cells=0: must be an integer of at least 1\n")


def test_bytes_that_are_no_text_on_the_command_line(program):
    process = start(program, b"--workdir=\xff")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == "error: argument '--workdir=\\udcff' is not UTF-8\n"


def test_ctrl_c(program, tmp_path):
    # A suite that was started in the background has told its children to ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = start(program, f"--workdir={tmp_path / 'run'}")
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout.readline() == "started\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted\n")
    assert (tmp_path / "run").is_dir()


def test_the_door_is_light(program, tmp_path):
    out, err = start(program, "--mode=check", f"--workdir={tmp_path}").communicate(
        timeout=60
    )
    assert (out, err) == ("False False\n", "")


def test_a_reader_that_leaves_early(program):
    process = start(program, "--help")
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


@pytest.fixture
def trained(tmp_path):
    """The workdir of a run."""
    run(f"--workdir={tmp_path / 'run'}")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("mode", "output", "message"),
    [
        ("predict", "out.xlsx", "must end with .csv or .parquet"),
        ("predict", "no/out.csv", "there is no folder"),
        ("predict", "folder.csv", "is a folder; name a file"),
        ("schema", "folder.csv", "is a folder; name a file"),
        ("schema", "/proc/schema.json", "can't be written"),
        ("export", "file", "is no folder"),
        ("export", "file/below", "is no folder"),
        ("export", "full", "holds notes.txt already; name a new or an empty folder"),
    ],
)
def test_what_can_not_be_written_is_known_before_the_mode_runs(
    mode, output, message, trained, tmp_path, capsys
):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    for name in ("program.bin", "notes.txt"):
        (tmp_path / "full" / name).touch()
    (tmp_path / "in.csv").touch()
    given = [f"--input={tmp_path / 'in.csv'}", f"--workdir={trained}"]
    words = {"schema": [], "predict": given}
    words["export"] = [f"--workdir={trained}"]
    path = tmp_path / output
    capsys.readouterr()
    assert run(f"--mode={mode}", *words[mode], f"--output={path}") == 2
    assert not calls
    assert f"error: --output={path}: " in (err := capsys.readouterr().err)
    assert message in err and err.count("\n") == 1


@pytest.mark.parametrize("flag", ["input", "images"])
def test_what_is_to_be_read_is_there_before_the_mode_runs(
    flag, trained, tmp_path, capsys
):
    (tmp_path / "in.csv").touch()
    words = [f"--workdir={trained}", f"--output={tmp_path / 'out.csv'}"]
    words += [f"--input={tmp_path / 'in.csv'}", f"--{flag}={tmp_path / 'none'}"]
    capsys.readouterr()
    assert run("--mode=predict", *words) == 2
    assert not calls
    line = f"error: --{flag}={tmp_path / 'none'}: there is no such file or folder\n"
    assert capsys.readouterr().err == line


def test_an_earlier_export_is_written_over(trained, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "program.bin").touch()
    words = ("--mode=export", f"--workdir={trained}", f"--output={tmp_path / 'out'}")
    assert run(*words) == 0 and len(calls) == 1


@pytest.mark.parametrize(
    ("mode", "words", "blocked"),
    [
        ("evaluate", ["--split=validation"], "metrics_validation.json"),
        ("check", [], "check.html"),
    ],
)
def test_a_folder_in_the_place_of_a_result_is_known_first(
    mode, words, blocked, trained, capsys
):
    (trained / blocked).mkdir()
    capsys.readouterr()
    assert run(f"--mode={mode}", f"--workdir={trained}", *words) == 2
    assert not calls
    assert f"{trained / blocked}: is a folder" in capsys.readouterr().err


def test_flags_that_a_mode_does_not_read_are_named(trained, capsys):
    capsys.readouterr()
    words = ("--mode=check", f"--workdir={trained}", "--split=train", "--output=x")
    assert run(*words) == 0 and len(calls) == 1
    assert capsys.readouterr().err == (
        "note: --mode=check takes no --output\n"
        "note: --mode=check takes no --split\n"
        "working\n"
    )


def test_a_flag_that_misleads_is_refused_with_advice(trained, capsys):
    words = ("--mode=evaluate", f"--workdir={trained}", f"--init_from={trained}")
    capsys.readouterr()
    assert run(*words) == 2
    wanted = "error: --mode=evaluate takes no --init_from: train again\n"
    assert capsys.readouterr().err == wanted


def test_a_knob_that_a_mode_needs(capsys):
    modes = {"schema": app.Mode("", record_call, needs=("name",))}

    @dataclasses.dataclass(frozen=True)
    class Named:
        name: str = knob("", "of a table")

    with pytest.raises(SystemExit, match="2"):
        app.main("toy", Named(), modes, ["toy", "--mode=schema"])
    assert capsys.readouterr().err == "error: --mode=schema needs --name=TABLE\n"


def test_the_flag_that_breaks_a_lock_reaches_it(tmp_path, capsys):
    def hold(config, run):
        with workdirs.training_in(run.workdir):
            run.show("trains")

    modes = {"train": app.Mode("trains", hold, takes=("break_lock",))}
    lock = {"host": "elsewhere", "process": 7, "started": "1", "command": "python"}
    (tmp_path / workdir_lock.FILE).write_text(json.dumps(lock))
    assert run(f"--workdir={tmp_path}", modes=modes) == 2
    error = capsys.readouterr().err
    assert "process 7 on elsewhere" in error and error.count("\n") == 1
    assert run(f"--workdir={tmp_path}", "--break_lock", modes=modes) == 0
    assert capsys.readouterr().out == "trains\n"


def test_a_silent_mode_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(activity, "SILENCE", 0.05)
    seen = []

    def wait(config, run):
        while "--mode=schema\n" not in "".join(seen):
            seen.append(capsys.readouterr().err)
            time.sleep(0.01)

    modes = {"schema": app.Mode("waits", wait, needs=())}
    assert run("--mode=schema", modes=modes) == 0
