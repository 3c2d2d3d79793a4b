"""The benchmark runs, and both sides of it compute the same."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from benchmarks import rerank
from rerank.config import Config
from rerank.model import EXPANSION
from rerank.step import Learner
from tests.rerank.by_hand import draw_state


def test_it_runs_and_prints_its_rows(pytestconfig):
    # One device, as a user has it.
    environment = {k: v for k, v in os.environ.items() if k != "JAX_NUM_CPU_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.rerank", "--quick"],
        cwd=pytestconfig.rootpath,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    works = [line.split(" | ")[0] for line in lines if line.startswith("| ")]
    assert works[2:5] == [
        "| 1 requests of L = 10, 17 orders each",
        "| 32 requests of L = 10, 17 orders each",
        "| 1 requests of L = 10, 10 photos of 32 px encoded in it",
    ]
    (ours, *_) = [line for line in lines if "| training step, 4 lists of 10" in line]
    assert "| ours |" in ours
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        assert "PyTorch" not in done.stdout
    else:
        assert "| <= 1.5 |" in ours and "| PyTorch |" in done.stdout


def test_both_sides_of_the_step_are_the_same_network():
    torch = pytest.importorskip("torch")
    from benchmarks.rerank_peer import Armmt

    config, sizes = Config(), rerank.make_sizes(quick=True)
    batch = rerank.draw_batch(sizes, 5, 10)
    lengths = np.array([10, 1, 4, 7, 2])[:, None]
    batch["mask"] = mask = np.arange(10)[None] < lengths
    batch["history_mask"] = batch["history_mask"] & (lengths > 1)
    learner = Learner(config, sizes)
    state = draw_state(learner)
    outputs = jax.jit(learner.predict)(state, batch)
    peer = Armmt(config.model, sizes, EXPANSION)
    peer.copy_params(state.params)
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    assert count == sum(p.numel() for p in peer.parameters())
    with torch.no_grad():
        logits, clicks = peer({name: torch.from_numpy(x) for name, x in batch.items()})
    assert np.std(outputs.logits[mask]) > 0.1
    np.testing.assert_allclose(logits.numpy()[mask], outputs.logits[mask], atol=1e-4)
    expected = outputs.encoded.click_logits[mask]
    np.testing.assert_allclose(clicks.numpy()[mask], expected, atol=1e-4)
