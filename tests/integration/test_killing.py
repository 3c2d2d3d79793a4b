"""A run that was killed ten times ends as one that was not."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests.integration import killing

PROGRAM = str(pathlib.Path(__file__).with_name("toy_training.py"))


def command(workdir: pathlib.Path, **settings) -> list[str]:
    return [sys.executable, "-W", "error", PROGRAM, str(workdir), json.dumps(settings)]


@pytest.fixture
def env(monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")


def test_ten_kills_leave_no_trace(tmp_path, env):
    # The width makes a save long enough to be hit.
    settings = {"steps": 150, "second_steps": 90, "eval_every": 10, "width": 256}
    subprocess.run(command(tmp_path / "whole", **settings), check=True)
    slow = command(tmp_path / "killed", pause=0.01, **settings)
    kills = killing.kill_often(slow, tmp_path / "killed", kills=10, spread=0.4)
    print(*kills, sep="\n")
    assert len(kills) == 10
    assert sum(kill.during_save for kill in kills) >= 3
    whole = killing.fingerprint(tmp_path / "whole")
    assert killing.fingerprint(tmp_path / "killed") == whole
    assert {"first/best", "second/latest"} <= whole.keys()


def test_fingerprint_sees_one_flipped_metric(tmp_path, env):
    subprocess.run(command(tmp_path, steps=4), check=True)
    before = killing.fingerprint(tmp_path)
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text().replace('"step": 3', '"step": 2'))
    assert killing.fingerprint(tmp_path) != before


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_saves_and_ends(number, code, tmp_path, env):
    settings = {"steps": 60, "eval_every": 25, "checkpoint_every": 25, "log_every": 7}
    subprocess.run(command(tmp_path / "whole", **settings), check=True)
    workdir = tmp_path / "stopped"
    process = subprocess.Popen(command(workdir, pause=0.05, **settings))
    while not (workdir / "metrics.jsonl").exists():
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(timeout=60) == code
    saved = [int(path.name) for path in (workdir / "checkpoints/first").iterdir()]
    assert saved and min(saved) < 25  # not at one of its usual steps
    subprocess.run(command(workdir, **settings), check=True)
    assert killing.fingerprint(workdir) == killing.fingerprint(tmp_path / "whole")


def test_ctrl_c_before_the_first_step_leaves_at_once(tmp_path, env):
    process = subprocess.Popen(
        command(tmp_path, pause=60.0), stderr=subprocess.PIPE, text=True
    )
    while not tmp_path.joinpath("checkpoints").exists():
        time.sleep(0.01)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "interrupted\n"
    assert process.returncode == 130
    assert time.monotonic() - began < 2


def test_a_second_ctrl_c_does_not_wait_for_an_evaluation(tmp_path, env):
    process = subprocess.Popen(
        command(tmp_path, evaluation=60.0), stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob("checkpoints/first/4")):  # the step before one
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith("stopping when the state is saved")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=2)
    assert process.returncode == 130
