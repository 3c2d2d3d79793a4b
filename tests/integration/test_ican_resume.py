"""ICAN, trained through its command line and killed again and again."""

import pathlib
import subprocess
import sys

from tests.integration import killing

ROOT = pathlib.Path(__file__).parents[2]
KILLS = 3  # ten of them kill a smaller program in test_killing.py
SETTINGS = (
    "--flagfile=experiments/flagfiles/ican_smoke.flags",
    "--rings.train_count=41",
    "--rings.validation_count=13",
    "--rings.test_count=7",
    "--rings.pixels=40",
    "--photos.resize=40",
    "--photos.crop=36",
    "--model.dropout=0.1",
    "--model.ican.cells=1",
    "--train.steps=240",
    "--train.batch_size=8",
    "--train.log_every=7",
    "--train.eval_every=60",
    "--train.checkpoint_every=10",
    "--train.tensorboard=false",
    "--train.progress=false",
    "--parallel.devices=1",
)


def command(workdir: pathlib.Path, cache: pathlib.Path) -> list[str]:
    door = [sys.executable, "-m", "experiments.ican_main", *SETTINGS]
    return [*door, f"--workdir={workdir}", f"--data.cache={cache}"]


def test_kills_leave_no_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    cache = tmp_path / "cache"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole, cache), check=True, capture_output=True)
    kills = killing.kill_often(
        command(killed, cache), killed, kills=KILLS, seed=1, spread=0.3, timeout=300
    )
    print(*kills, sep="\n")
    assert sum(kill.during_save for kill in kills) >= 1
    wanted = killing.fingerprint(whole)
    assert killing.fingerprint(killed) == wanted
    assert {"train/latest", "train/best"} <= wanted.keys()
    assert (killed / "metrics.json").read_bytes() == (
        whole / "metrics.json"
    ).read_bytes()
