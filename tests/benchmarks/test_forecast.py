"""The benchmark runs, and both sides of it compute the same."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from benchmarks import forecast, forecast_work

WORK = forecast_work.QUICK


def test_it_runs_and_prints_its_rows(pytestconfig, tmp_path):
    plot = tmp_path / "growth.png"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.forecast", "--quick", f"--plot={plot}"],
        cwd=pytestconfig.rootpath,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[:2] for line in lines if " | spread" in line] == [
        ["| 7", "spread"]
    ]
    (step, *peer) = [line for line in lines if "training step of gru_maf, 2" in line]
    assert "| ours |" in step
    assert sum("<= 250 ms" in line or "<= 200 ms" in line for line in lines) == 2
    grown = [line.split(" | ")[1] for line in lines if " of the horizon" in line]
    assert grown == ["4 steps of the horizon"]
    assert plot.read_bytes().startswith(b"\x89PNG")
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        assert not peer and "PyTorch" not in done.stdout
    else:
        assert "| <= 1.5 |" in step and "losses differ by" in step
        assert "| PyTorch |" in peer[0]


@pytest.mark.parametrize("masks", ["spread", "narrow"])
def test_d_dense_passes_find_what_our_inverse_finds(masks):
    torch = pytest.importorskip("torch")
    from benchmarks.forecast_peer import Maf

    size, model = 9, WORK.model
    ours = forecast_work.make_inverse(WORK, size, masks)
    options = (model["flow_hidden"], model["flow_layers"], model["condition"])
    peer = Maf(size, *options, masks, 3.0)
    peer.copy_params(ours.params)
    noise, condition = torch.from_numpy(ours.noise), torch.from_numpy(ours.condition)
    with torch.no_grad():
        x = peer.inverse(noise, condition)
        back, log_det = peer(x, condition)
    # The map does something, and the peer's two ways belong together.
    assert (x - noise).abs().mean() > 0.1 and log_det.std() > 0.01
    np.testing.assert_allclose(back, noise, atol=1e-5)
    np.testing.assert_allclose(ours.back(), x, atol=1e-5)
    with torch.no_grad():
        there, _ = peer(noise, condition)
    np.testing.assert_allclose(ours.there(), there, atol=1e-5)


def test_both_sides_of_the_step_are_the_same_network():
    torch = pytest.importorskip("torch")

    learner, grid = forecast_work.make_learner(WORK, 3, 4, dropout=0.0)
    batch = forecast_work.make_batch(WORK, learner, grid, 5)
    state = forecast_work.make_state(learner)
    rng = np.random.default_rng(0)
    # Biases that are all alike would hide that they are mixed up.
    params = jax.tree.map(
        lambda leaf: leaf + (0.3 * rng.normal(size=leaf.shape)).astype(np.float32),
        state.params,
    )
    forward = forecast_work.make_forward(learner)
    expected = forward(params, state.batch_stats, batch)
    peer, loss_of = forecast.peer_loss(learner, params, batch)
    np.testing.assert_allclose(loss_of().item(), expected, atol=1e-4)
    # The second biases of two gates of three, in both layers, are PyTorch's alone.
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    more = 2 * 2 * WORK.model["cells"]
    assert sum(p.numel() for p in peer.parameters()) == count + more
    loss_of().backward()
    assert all(torch.isfinite(p.grad).all() for p in peer.parameters())


def test_a_side_that_does_something_else_is_refused():
    x = np.zeros((2, 3), np.float32)
    assert forecast.check_agreement(x, x + np.float32(5e-5)) < 1e-4
    for other in (x + np.float32(2e-4), x * np.nan):
        with pytest.raises(ValueError, match="both sides differ by"):
            forecast.check_agreement(x, other)
