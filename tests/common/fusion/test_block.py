"""BLOCK: the block-term decomposition of one big tensor, and its options."""

import jax
import numpy as np
import pytest

from common.fusion.block import Block
from common.fusion.cores import FullCore

RNG = np.random.default_rng(0)


def draw_params(chunks, size, size_x=5, size_y=4, features=3, bias=0.0):
    width = chunks * size

    def linear(size, features):
        return {
            "kernel": RNG.normal(size=(size, features)),
            "bias": bias * RNG.normal(size=features),
        }

    return {
        "project_x": {"linear": linear(size_x, width)},
        "project_y": {"linear": linear(size_y, width)},
        "blocks_0": {
            "core": RNG.normal(size=(chunks, size, size, size)),
            "bias": bias * RNG.normal(size=(chunks, size)),
        },
        "output": {"linear": linear(width, features)},
    }


def test_is_a_sum_of_block_terms():
    """ICAN, equations 14 and 15: T = sum over r of D_r x1 A_r x2 B_r x3 C_r."""
    chunks, size = 3, 2
    params = draw_params(chunks, size)
    tensor = np.zeros((5, 4, 3))
    for r in range(chunks):
        block = slice(r * size, (r + 1) * size)
        a = params["project_x"]["linear"]["kernel"][:, block]
        b = params["project_y"]["linear"]["kernel"][:, block]
        c = params["output"]["linear"]["kernel"][block]
        core = params["blocks_0"]["core"][r]
        tensor += np.einsum("ijo,xi,yj,oz->xyz", core, a, b, c)
    x, y = RNG.normal(size=(6, 5)), RNG.normal(size=(6, 4))
    block = Block(3, width=6, chunks=chunks, rank=None, normalise="none")
    z = block.apply({"params": params}, x, y)
    expected = np.einsum("bx,by,xyz->bz", x, y, tensor)
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("normalise", ["before", "after", "none"])
def test_normalises_where_it_says(normalise, power_l2):
    params = draw_params(2, 3, bias=1.0)
    del params["output"]
    x, y = RNG.normal(size=(4, 5)), RNG.normal(size=(4, 4))
    u = (
        x @ params["project_x"]["linear"]["kernel"]
        + params["project_x"]["linear"]["bias"]
    )
    v = (
        y @ params["project_y"]["linear"]["kernel"]
        + params["project_y"]["linear"]["bias"]
    )
    expected = []
    for row_u, row_v in zip(u, v, strict=True):
        blocks = []
        for c in range(2):
            core, bias = (params["blocks_0"][name][c] for name in ("core", "bias"))
            part = slice(3 * c, 3 * c + 3)
            z = [row_u[part] @ core[:, :, o] @ row_v[part] + bias[o] for o in range(3)]
            blocks.append(power_l2(np.array(z)) if normalise == "before" else z)
        whole = np.concatenate(blocks)
        expected.append(power_l2(whole) if normalise == "after" else whole)
    block = Block(6, width=None, chunks=2, rank=None, normalise=normalise)
    z = block.apply({"params": params}, x, y)
    np.testing.assert_allclose(z, expected, rtol=1e-3, atol=1e-4)


def test_rank_limited_block_by_hand():
    one = {"linear": {"kernel": np.ones((1, 2)), "bias": np.array([0.0, 1.0])}}
    params = {
        "project_x": one,
        "project_y": one,
        "blocks_0": {
            # Blocks of width 1, rank 2.
            "expand_x": {
                "kernel": np.array([[[1.0, 2.0]], [[3.0, 4.0]]]),
                "bias": np.array([[0.0, 1.0], [0.0, 0.0]]),
            },
            "expand_y": {"kernel": np.ones((2, 1, 2)), "bias": np.zeros((2, 2))},
        },
    }
    block = Block(2, width=None, chunks=2, rank=2, normalise="none")
    z = block.apply({"params": params}, np.array([[2.0]]), np.array([[5.0]]))
    # Blocks hold x = 2, 3 and y = 5, 6:
    # (1*2 + 0) * 5 + (2*2 + 1) * 5 and (3*3) * 6 + (4*3) * 6.
    np.testing.assert_array_equal(z, [[35.0, 126.0]])


def test_parameter_count_of_the_ican_form():
    block = Block(1024, width=3200, chunks=100, rank=None)
    shapes = jax.eval_shape(
        block.init, jax.random.key(0), np.ones((1, 2048)), np.ones((1, 200))
    )
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    projections = 2048 * 3200 + 3200 + 200 * 3200 + 3200
    cores = 100 * (32**3 + 32)
    assert count == projections + cores + 3200 * 1024 + 1024 == 13_757_824


def test_shared_projection_and_maps_make_the_fusion_symmetric():
    block = Block(3, width=6, chunks=2, rank=2, shared=True)
    x, y = RNG.normal(size=(2, 5)), RNG.normal(size=(2, 5))
    variables = block.init(jax.random.key(0), x, y)
    assert set(variables["params"]) == {"project_x", "blocks_0", "output"}
    assert set(variables["params"]["blocks_0"]) == {"expand_x"}
    z, mirrored = block.apply(variables, x, y), block.apply(variables, y, x)
    np.testing.assert_allclose(z, mirrored, rtol=1e-4, atol=1e-5)


def test_core_starts_with_unit_gain():
    x, y = RNG.normal(size=(2, 8, 400, 16)).astype(np.float32)
    z, _ = FullCore(16).init_with_output(jax.random.key(0), x, y)
    assert 0.9 < np.std(z) < 1.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 10, "chunks": 3}, "width 10 is not divisible by 3 chunks"),
        ({"width": 6, "block_sizes": (4, 3)}, "sum to the width 6"),
        ({"width": 6, "block_sizes": (6, 0)}, "must be positive"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Block(3, **options).init(jax.random.key(0), np.ones((1, 5)), np.ones((1, 4)))
