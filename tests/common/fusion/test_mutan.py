"""MUTAN: its authors' form with tanh and unequal widths, by loops over the rank."""

import jax
import numpy as np
import pytest

from common.fusion.mutan import Mutan

RNG = np.random.default_rng(0)


def draw_linear(size, features):
    return RNG.normal(size=(size, features)), RNG.normal(size=features)


def test_authors_form():
    width_x, width_y, width, rank = 4, 5, 3, 2
    x, y = RNG.normal(size=(6, 7)), RNG.normal(size=(6, 8))
    kernel_x, bias_x = draw_linear(7, width_x)
    kernel_y, bias_y = draw_linear(8, width_y)
    maps_x = [draw_linear(width_x, width) for _ in range(rank)]
    maps_y = [draw_linear(width_y, width) for _ in range(rank)]
    u, v = np.tanh(x @ kernel_x + bias_x), np.tanh(y @ kernel_y + bias_y)
    expected = np.zeros((6, width))
    for (a, b), (c, d) in zip(maps_x, maps_y, strict=True):
        expected += (u @ a + b) * (v @ c + d)

    def stack(maps):
        kernels, biases = zip(*maps, strict=True)
        return {
            "kernel": np.concatenate(kernels, axis=1)[None],
            "bias": np.concatenate(biases)[None],
        }

    params = {
        "project_x": {"linear": {"kernel": kernel_x, "bias": bias_x}},
        "project_y": {"linear": {"kernel": kernel_y, "bias": bias_y}},
        "core": {"expand_x": stack(maps_x), "expand_y": stack(maps_y)},
    }
    mutan = Mutan(width, width=None, width_x=width_x, width_y=width_y, rank=rank)
    z = mutan.apply({"params": params}, x, y)
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-5)


def test_shared_maps_exist_once_and_make_the_fusion_symmetric():
    mutan = Mutan(3, width=4, rank=2, shared=True)
    x, y = RNG.normal(size=(2, 5)), RNG.normal(size=(2, 5))
    variables = mutan.init(jax.random.key(0), x, y)
    assert set(variables["params"]) == {"project_x", "core", "output"}
    assert set(variables["params"]["core"]) == {"expand_x"}
    z, mirrored = mutan.apply(variables, x, y), mutan.apply(variables, y, x)
    np.testing.assert_allclose(z, mirrored, rtol=1e-5, atol=1e-6)


def test_shared_maps_of_unequal_widths_are_refused():
    mutan = Mutan(3, width=4, width_x=5, shared=True)
    with pytest.raises(ValueError, match="shared maps need width_x equal to width_y"):
        mutan.init(jax.random.key(0), np.ones((1, 5)), np.ones((1, 5)))
