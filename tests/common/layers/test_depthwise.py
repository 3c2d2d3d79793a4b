import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from common.layers import depthwise

SHAPES = [  # height, width, kernel, stride: even and odd sides, one below the kernel
    (6, 8, 3, 1),
    (7, 6, 3, 2),
    (9, 12, 5, 2),
    (5, 7, 5, 1),
    (2, 3, 5, 2),
    (1, 1, 3, 2),
]


def draw(height, width, size, stride):
    rng = np.random.default_rng(0)
    shapes = [(2, height, width, 3), (size, size, 1, 3)]
    shapes.append((2, -(-height // stride), -(-width // stride), 3))
    return [jnp.asarray(rng.normal(size=shape)) for shape in shapes]


@pytest.mark.parametrize(("height", "width", "size", "stride"), SHAPES)
def test_both_forms_are_the_convolution_with_its_gradients(height, width, size, stride):
    with jax.enable_x64(True):
        x, kernel, dy = draw(height, width, size, stride)

        def oracle(x, kernel):
            return lax.conv_general_dilated(
                x,
                kernel,
                (stride, stride),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=3,
            )

        y, pull = jax.vjp(oracle, x, kernel)
        wanted = (y, *pull(dy))
        # What the CPU runs, and the sum and the convolution called by name.
        called, pull = jax.vjp(
            lambda x, k: depthwise.convolve_channels(x, k, stride), x, kernel
        )
        grouped, pull_grouped = jax.vjp(
            functools.partial(depthwise.convolve_groups, stride=stride), x, kernel
        )
        summed = depthwise.sum_products(x, kernel, stride)
        gradients = depthwise.sum_products_gradient(x, kernel, dy, stride)
        for found in (
            (called, *pull(dy)),
            (grouped, *pull_grouped(dy)),
            (summed, *gradients),
        ):
            for array, right in zip(found, wanted, strict=True):
                np.testing.assert_allclose(array, right, rtol=1e-12, atol=1e-12)


def test_each_platform_gets_its_form():
    x, kernel, dy = draw(6, 6, 3, 1)

    def both(x, kernel):
        y, pull = jax.vjp(lambda x, k: depthwise.convolve_channels(x, k, 1), x, kernel)
        return y, pull(dy)

    for platform, grouped in (("cpu", False), ("cuda", True), ("tpu", True)):
        text = jax.jit(both).trace(x, kernel).lower(lowering_platforms=(platform,))
        assert ("stablehlo.convolution" in text.as_text()) == grouped, platform


def test_half_precision_sums_in_float32():
    x, kernel, _ = (array.astype(jnp.bfloat16) for array in draw(8, 8, 5, 1))
    found = depthwise.convolve_channels(x, kernel, 1)
    wide = (array.astype(jnp.float32) for array in (x, kernel))
    wanted = depthwise.convolve_channels(*wide, 1).astype(jnp.bfloat16)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, wanted)
