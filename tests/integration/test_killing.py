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


def test_sigterm_saves_and_exits_with_143(tmp_path, env):
    settings = {"steps": 60, "eval_every": 25, "checkpoint_every": 25, "log_every": 7}
    subprocess.run(command(tmp_path / "whole", **settings), check=True)
    workdir = tmp_path / "stopped"
    process = subprocess.Popen(command(workdir, pause=0.05, **settings))
    while not (workdir / "metrics.jsonl").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    saved = [int(path.name) for path in (workdir / "checkpoints/first").iterdir()]
    assert saved and min(saved) < 25  # not at one of its usual steps
    subprocess.run(command(workdir, **settings), check=True)
    assert killing.fingerprint(workdir) == killing.fingerprint(tmp_path / "whole")
