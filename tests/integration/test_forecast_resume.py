"""forecast, killed while a checkpoint is being written."""

import pathlib
import sys

import numpy as np

from common.config import configs
from forecast import report, train
from forecast.config import Config
from tests.integration import killing

ROOT = pathlib.Path(__file__).parents[2]
STEPS, SAVED_EVERY = 12, 4
SETTINGS = {
    "demand.series": 5,
    "demand.days": 60,
    "window.horizon": 4,
    "window.context": 3,
    "window.support": "count",
    "window.dequantise": True,  # draws noise at random
    "model.cells": 5,
    "model.condition": 4,
    "model.blocks": 2,
    "model.flow_hidden": 6,
    "model.flow_layers": 1,
    "model.dropout": 0.3,
    "backtest.windows": 2,
    "backtest.paths": 5,
    "parallel.devices": 1,
    "parallel.compilation_cache": "",
    "train.batch_size": 8,
    "train.steps": STEPS,
    "train.log_every": 3,
    "train.eval_every": STEPS,
    "train.checkpoint_every": SAVED_EVERY,
    "train.progress": False,
    "train.tensorboard": False,
}


def test_a_kill_leaves_no_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.setattr(report, "write", lambda *_: None)
    config = configs.replace(Config(), SETTINGS)
    flagfile = tmp_path / "run.flags"
    flagfile.write_text("\n".join(configs.flag_lines(config)))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    door = [
        *(sys.executable, "-m", "experiments.forecast_main"),
        *(f"--flagfile={flagfile}", f"--workdir={killed}"),
    ]
    pattern = f"killed/checkpoints/train/{2 * SAVED_EVERY}*"
    killing.kill_when(door, tmp_path, pattern, "a save")
    assert not (killed / "metrics.json").exists()
    for folder in (whole, killed):
        train.train_and_evaluate(config, folder)

    expected = killing.fingerprint(whole)
    assert killing.fingerprint(killed) == expected
    assert expected["train/latest"]["step"] == STEPS
    for name in ("metrics.json", "model.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    for name in ("params.npz", "windows_test.npz"):
        with np.load(whole / name) as arrays, np.load(killed / name) as found:
            assert arrays.files and set(found) == set(arrays)
            for key, array in arrays.items():
                np.testing.assert_array_equal(found[key], array, err_msg=key)
