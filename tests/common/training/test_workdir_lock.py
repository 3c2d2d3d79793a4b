import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from common.errors import UserError
from common.training import workdir_lock, workdirs

ROOT = pathlib.Path(__file__).parents[3]
HOLD = """
import pathlib, sys, time
from common.errors import UserError
from common.training import workdir_lock
try:
    with workdir_lock.held(pathlib.Path(sys.argv[1])):
        print("won", flush=True)
        sys.stdin.read()
except UserError as error:
    print(error, flush=True)
"""


def start(workdir):
    """A process that holds the lock until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workdir)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_one_of_many_started_at_once_wins_and_the_others_name_it(tmp_path):
    many = [start(tmp_path) for _ in range(8)]
    said = [process.stdout.readline().strip() for process in many]
    (winner,) = (p for p, text in zip(many, said, strict=True) if text == "won")
    refused = [text for text in said if text != "won"]
    host = workdir_lock._host()
    assert len(refused) == 7
    for text in refused:
        assert text.startswith(
            f"--workdir={tmp_path}: process {winner.pid} on {host} trains in it ("
        )
        assert f"kill {winner.pid}" in text
    for process in many:
        process.communicate()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
    process = start(tmp_path)
    assert process.stdout.readline() == "won\n"
    with pytest.raises(UserError, match=f"process {process.pid} on"):
        workdir_lock.held(tmp_path).__enter__()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / workdir_lock.FILE).exists()
    with workdir_lock.held(tmp_path):
        assert json.loads((tmp_path / workdir_lock.FILE).read_text())["process"] == (
            os.getpid()
        )


def leave(folder, **changes):
    """A lock file that nobody holds open."""
    holder = {**workdir_lock._this_process(), **changes}
    (folder / workdir_lock.FILE).write_text(json.dumps(holder))


def test_a_lock_of_another_machine_is_refused_with_the_flag_that_breaks_it(tmp_path):
    leave(tmp_path, host="elsewhere", process=77)
    with pytest.raises(UserError) as error, workdir_lock.held(tmp_path):
        pass
    text = str(error.value)
    assert "process 77 on elsewhere" in text and "--break_lock" in text
    assert "\n" not in text
    with workdir_lock.breaking(True), workdir_lock.held(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_another_machine_holds_now_can_be_broken_too(tmp_path):
    """As on a file system that tells all machines of `flock`."""
    leave(tmp_path, host="elsewhere")
    with (tmp_path / workdir_lock.FILE).open() as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="--break_lock"):
            workdir_lock.held(tmp_path).__enter__()
        with workdir_lock.breaking(True), workdir_lock.held(tmp_path):
            assert workdir_lock.FILE in os.listdir(tmp_path)


def test_a_living_process_of_this_machine_is_never_robbed(tmp_path):
    with (
        workdir_lock.held(tmp_path),
        workdir_lock.breaking(True),
        pytest.raises(UserError, match=f"process {os.getpid()} on"),
    ):
        workdir_lock.held(tmp_path).__enter__()


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, True),
        ({"started": "1"}, False),  # another process got its number
        ({"process": 2**22 + 1}, False),  # above all numbers that Linux gives
    ],
)
def test_without_flock_number_and_start_decide(changes, refused, tmp_path, monkeypatch):
    def absent(file, operation):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(workdir_lock.fcntl, "flock", absent)
    leave(tmp_path, **changes)
    if refused:
        with pytest.raises(UserError, match=f"process {os.getpid()} on"):
            workdir_lock.held(tmp_path).__enter__()
    else:
        with workdir_lock.held(tmp_path):
            pass


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_lock_that_says_nothing_is_taken_where_nobody_holds_it(text, tmp_path):
    (tmp_path / workdir_lock.FILE).write_text(text)
    with workdir_lock.held(tmp_path):
        pass


def test_a_lock_given_up_and_taken_by_others_stays_theirs(tmp_path):
    lock = workdir_lock.held(tmp_path)
    lock.__enter__()
    (tmp_path / workdir_lock.FILE).unlink()  # broken
    with workdir_lock.held(tmp_path):
        lock.__exit__(None, None, None)
        with pytest.raises(UserError):
            workdir_lock.held(tmp_path).__enter__()


def test_a_folder_that_may_not_be_written_is_one_line(tmp_path):
    with pytest.raises(UserError, match=f"--workdir={tmp_path}/no: No such file"):
        workdir_lock.held(tmp_path / "no").__enter__()


def test_training_frames_hold_it(tmp_path):
    with workdirs.training_in(tmp_path / "table"):
        with workdirs.training_in(tmp_path / "table" / "run"):
            pass
        with (
            pytest.raises(UserError, match="trains in it"),
            workdirs.training_in(tmp_path / "table"),
        ):
            pass
    with workdirs.training_in(tmp_path / "table"):
        pass
