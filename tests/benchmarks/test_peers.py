"""Both sides of a comparison must compute the same."""

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import fusions, peers
from benchmarks.weights import draw
from common.fusion import MFB, Block
from common.layers.convolution import convolve


def run_both(fusion, peer, x, y):
    variables = draw(jax.eval_shape(fusion.init, jax.random.key(0), x, y))
    z = fusion.apply(variables, x, y)
    cotangent = np.random.default_rng(3).normal(size=z.shape).astype(np.float32)
    module = peer(variables["params"])
    theirs = peers.gradients(module, (x, y), cotangent)()
    ours = fusions.gradients(fusion, variables, x, y, cotangent)()
    return ours, [array.numpy() for array in theirs], module


def draws(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def assert_equal(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def test_block():
    x, y = draws((3, 11), (3, 6))
    fusion = Block(5, width=12, chunks=4, rank=None)
    (z, (params, dx, dy)), theirs, module = run_both(fusion, peers.Block, x, y)
    assert_equal(z, theirs[0])
    assert_equal(dx, theirs[1])
    assert_equal(dy, theirs[2])
    # Every parameter has its gradient on both sides.
    grads = params["params"]
    assert_equal(
        grads["blocks_0"]["core"].ravel(), theirs[3].ravel()
    )  # [C, I, J, O] both
    assert_equal(grads["project_x"]["linear"]["kernel"].T, theirs[5])
    assert_equal(grads["output"]["linear"]["bias"], theirs[-1])
    ours = sum(leaf.size for leaf in jax.tree.leaves(grads))
    assert ours == sum(p.numel() for p in module.parameters)


def test_convolution():
    x, kernel, cotangent = draws((2, 5, 4, 3), (3, 3, 3, 6), (2, 5, 4, 6))
    y, pull = jax.vjp(convolve, x, kernel)
    module = peers.Convolution(kernel)
    theirs = peers.gradients(module, (x,), cotangent)()
    dx, dkernel = pull(cotangent)
    assert_equal(y, theirs[0])
    assert_equal(dx, theirs[1])
    assert_equal(dkernel, theirs[2].permute(2, 3, 1, 0))
    assert_equal(y, peers.forward(module, (x,))())


def test_mfb_at_positions():
    x, y = draws((2, 7, 11), (2, 1, 6))
    fusion = MFB(4, factor=3)
    (z, (params, dx, dy)), theirs, module = run_both(
        fusion, lambda params: peers.MFB(params, 3), x, y
    )
    assert_equal(z, theirs[0])
    assert_equal(dx, theirs[1])
    assert_equal(dy, theirs[2])
    grads = params["params"]
    assert_equal(grads["linear_x"]["kernel"].T, theirs[3])
    assert_equal(grads["bias_y"], theirs[-1])
    ours = sum(leaf.size for leaf in jax.tree.leaves(grads))
    assert ours == sum(p.numel() for p in module.parameters)
