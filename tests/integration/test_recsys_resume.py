"""recsys, trained through its command line and killed in the middle."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.integration import killing

ROOT = pathlib.Path(__file__).parents[2]
SMOKE = ROOT / "experiments" / "flagfiles" / "recsys_smoke.flags"
STEPS, SAVED_EVERY = 40, 4

# With users drawn, so that rows of all tables rest, and have rested at a checkpoint.
RULES = {
    "dense": (),
    "lazy_corrected": (
        "--row_optimizer=lazy_corrected",
        "--loss.softmax=sampled",
        "--loss.sampled_users=8",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_kill_leaves_no_trace(rule, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    door = [
        *(sys.executable, "-m", "experiments.recsys_main", f"--flagfile={SMOKE}"),
        f"--data.cache={tmp_path / 'closet'}",
        f"--train.steps={STEPS}",
        "--train.log_every=7",
        f"--train.eval_every={STEPS // 2}",
        f"--train.checkpoint_every={SAVED_EVERY}",
        "--train.tensorboard=false",
        *RULES[rule],
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*door, f"--workdir={whole}"], check=True, capture_output=True)
    (kill,) = killing.kill_often(
        [*door, f"--workdir={killed}"], killed, kills=1, timeout=600
    )
    assert kill.kind == "saving"
    expected = killing.fingerprint(whole)
    assert killing.fingerprint(killed) == expected
    assert expected["train/latest"]["step"] == STEPS
    for name in ("metrics.jsonl", "metrics.json", "model.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    for name in ("params.npz", "corpus.npz"):
        with np.load(whole / name) as arrays, np.load(killed / name) as again:
            assert set(again) == set(arrays)
            for key, array in arrays.items():
                np.testing.assert_array_equal(again[key], array, err_msg=key)
    assert_rows_rested(whole, rule)


def assert_rows_rested(workdir, rule):
    """Rows that the best checkpoint has as they were before their rest."""
    best = killing.Checkpoints(workdir / "checkpoints" / "train", writable=False)
    try:
        saved = best.load_arrays(best.best)
    finally:
        best.close()
    with np.load(workdir / "params.npz") as params:
        differ = {
            name: array.any()
            for name in params
            for path, old in saved.items()
            if path.endswith(f"params/{name}")
            for array in [params[name] != old]
        }
    assert differ["user_preference"] == differ["leaf_matrix"] == (rule != "dense")
