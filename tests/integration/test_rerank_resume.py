"""rerank, killed once in each of its phases of training."""

import pathlib
import sys

import numpy as np

from common.config import configs
from rerank import report, train
from rerank.config import LISTWISE, POINTER, POINTWISE, Config
from tests.integration import killing

ROOT = pathlib.Path(__file__).parents[2]
PHASES = (POINTWISE, LISTWISE, POINTER)
STEPS, SAVED_EVERY = 12, 4
SETTINGS = {
    "serp.preset": "fusion",
    "serp.train_count": 61,
    "serp.validation_count": 29,
    "serp.test_count": 13,
    "model.width": 8,
    "model.heads": 2,
    "model.field_layers": 0,  # less to compile
    "model.list_layers": 1,
    "model.history": False,
    "model.modality_dropout": 0.3,
    "loss.kind": "listmle",  # draws ties at random
    "search.use": "always",
    "search.beams": 2,
    "search.samples": 3,
    "search.budget": 9,
    "pointer_steps": STEPS,
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


def test_a_kill_in_each_phase_leaves_no_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.setattr(report, "write", lambda *_: None)
    config = configs.replace(Config(), SETTINGS)
    flagfile = tmp_path / "run.flags"
    flagfile.write_text("\n".join(configs.flag_lines(config)))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    door = [
        *(sys.executable, "-m", "experiments.rerank_main"),
        *(f"--flagfile={flagfile}", f"--workdir={killed}"),
    ]
    for number, phase in enumerate(PHASES):
        # While its second checkpoint is being written: it goes on from the first one.
        pattern = f"killed/checkpoints/{phase}/{2 * SAVED_EVERY}*"
        killing.kill_when(door, tmp_path, pattern, f"phase {phase}")
        begun = {path.name for path in (killed / "checkpoints").iterdir()}
        assert begun == set(PHASES[: number + 1])
        assert not (killed / "metrics.json").exists()
    for folder in (whole, killed):
        train.train_and_evaluate(config, folder)

    expected = killing.fingerprint(whole)
    assert killing.fingerprint(killed) == expected
    assert {expected[f"{phase}/latest"]["step"] for phase in PHASES} == {STEPS}
    for name in ("metrics.json", "model.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    for name in ("params.npz", "requests_test.npz"):
        with np.load(whole / name) as arrays, np.load(killed / name) as found:
            assert arrays.files and set(found) == set(arrays)
            for key, array in arrays.items():
                np.testing.assert_array_equal(found[key], array, err_msg=key)
