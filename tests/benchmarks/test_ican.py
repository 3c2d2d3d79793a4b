import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from benchmarks import cells, ican
from benchmarks.weights import draw
from ican.coattention import CoAttention
from ican.model_config import IcanConfig

WORKS = {
    "block": "BLOCK 4 x 3",
    "mfb": "MFB at 3 positions",
    "head": "head at 4 positions",
    "step": "training step, ResNet tiny, 32 px, batch 2",
    "convolution": "3 x 3 convolution, 2 x 4 x 4 x 3, forward + backward",
    "resnet": "ResNet tiny, 32 px, batch 2, training step",
    "pipeline": "photos of 32 px",
    "gpu": "ICAN step, ResNet tiny, 32 px, bfloat16",
}
NEED_TORCH = {"resnet"}
ALONE = {"block", "mfb", "convolution"}  # without torch, ours alone


def test_every_part_runs_and_prints_its_rows(pytestconfig):
    # One device, as a user has it, and programs that compile fast.
    environment = {k: v for k, v in os.environ.items() if k != "JAX_NUM_CPU_DEVICES"}
    environment["XLA_FLAGS"] += (
        " --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    )
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "benchmarks.ican", "--quick", f"--only={','.join(ican.PARTS)}"),
        ],
        cwd=pytestconfig.rootpath,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        absent, sides, bars = NEED_TORCH, 1, ("<= 1.8 ", "<= 1.1 ")
    else:
        absent, sides, bars = set(), 2, ("<= 1 ", "<= 1.8 ", "<= 1.1 ")
    assert set(WORKS) == set(ican.PARTS)
    rows = [line.split(" | ") for line in done.stdout.splitlines() if "| " in line]
    for part, work in WORKS.items():
        found = [row for row in rows if row[0].startswith(f"| {work}")]
        if part in absent:
            assert not found
        elif part == "gpu":
            assert len(found) == 1
        else:
            assert len(found) == (sides if part in ALONE else 2), part
    for bar in bars:
        assert f"| {bar}|" in done.stdout
    assert done.stdout.startswith("threads: 1; processors in a matrix product: JAX")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only=blok"], "no part 'blok'"),
        (["--repeats=0"], "must be positive"),
        (["--threads=-1"], "not negative"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        ican.parse(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_loop_computes_what_the_scan_does():
    config = IcanConfig(cells=3, mfb_features=4, attribute_features=5, hidden=3)
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(2, 6, 7)).astype(np.float32)
    attributes = rng.normal(size=(2, 4, 5)).astype(np.float32)
    scan, loop = CoAttention(config), cells.LoopedCoAttention(config)
    shapes = jax.eval_shape(scan.init, jax.random.key(0), positions, attributes)
    variables = draw(shapes)
    for ours, theirs in zip(
        scan.apply(variables, positions, attributes),
        loop.apply(variables, positions, attributes),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
