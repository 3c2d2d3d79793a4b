"""ICAN, trained through its command line and killed again and again."""

import pathlib
import subprocess
import sys

from common.config import configs
from tests.ican.conftest import open_shop
from tests.integration import killing

ROOT = pathlib.Path(__file__).parents[2]
KILLS = 3  # one of each kind; ten kill a smaller program in test_killing.py


def test_kills_leave_no_trace(tmp_path, monkeypatch):
    """Photos end to end, batch statistics, dropout, random crops, unseen categories."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    config = open_shop(tmp_path).config(
        model__dropout=0.1,
        train__steps=140,
        train__log_every=7,
        train__eval_every=35,
        train__checkpoint_every=10,
    )
    flagfile = tmp_path / "tiny.flags"
    flagfile.write_text("\n".join(configs.flag_lines(config)))
    door = [sys.executable, "-m", "experiments.ican_main", f"--flagfile={flagfile}"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*door, f"--workdir={whole}"], check=True, capture_output=True)
    kills = killing.kill_often(
        [*door, f"--workdir={killed}"],
        killed,
        kills=KILLS,
        seed=1,
        spread=0.3,
        timeout=300,
    )
    print(*kills, sep="\n")
    assert sum(kill.during_save for kill in kills) >= 1
    wanted = killing.fingerprint(whole)
    assert killing.fingerprint(killed) == wanted
    assert {"train/latest", "train/best"} <= wanted.keys()
    metrics = [(folder / "metrics.json").read_bytes() for folder in (whole, killed)]
    assert metrics[0] == metrics[1]
