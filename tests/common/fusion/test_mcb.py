"""MCB: the count sketch of the outer product, without any Fourier transform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.fusion.mcb import MCB, count_sketch

RNG = np.random.default_rng(0)


def test_count_sketch_by_hand():
    sketch = count_sketch(
        jnp.array([[1.0, 2.0, 4.0, 8.0]]),
        jnp.array([2, 0, 2, 1]),
        jnp.array([1.0, -1.0, -1.0, 1.0]),
        4,
    )
    np.testing.assert_array_equal(sketch, [[-2.0, 8.0, -3.0, 0.0]])


@pytest.mark.parametrize("length", [7, 8])
def test_authors_form_is_the_sketch_of_the_outer_product(length, power_l2):
    x, y = RNG.normal(size=(3, 5)), RNG.normal(size=(3, 4))
    mcb = MCB(length, width=None)
    sketch = mcb.init(jax.random.key(0), x, y)["sketch"]
    expected = np.zeros((3, length))
    for i, j in np.ndindex(5, 4):
        bucket = (sketch["bucket_x"][i] + sketch["bucket_y"][j]) % length
        sign = sketch["sign_x"][i] * sketch["sign_y"][j]
        expected[:, bucket] += sign * x[:, i] * y[:, j]
    plain = MCB(length, width=None, normalise=False)
    z = plain.apply({"sketch": sketch}, x, y)
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-5)
    z = mcb.apply({"sketch": sketch}, x, y)
    expected = np.stack([power_l2(row) for row in expected])
    np.testing.assert_allclose(z, expected, rtol=1e-3, atol=2e-3)


def test_sketch_is_drawn_once_and_is_no_parameter():
    x, y = np.ones((1, 300)), np.ones((1, 200))
    variables = MCB(4, width=16).init(jax.random.key(0), x, y)
    assert set(variables["params"]) == {"output"}
    sketch = variables["sketch"]
    for side, size in (("x", 300), ("y", 200)):
        bucket, sign = sketch[f"bucket_{side}"], sketch[f"sign_{side}"]
        assert bucket.shape == sign.shape == (size,) and bucket.dtype == jnp.int32
        assert set(np.unique(bucket)) == set(range(16))
        # Signs are fair: four standard deviations.
        assert set(np.unique(sign)) == {-1.0, 1.0}
        assert abs(np.mean(sign)) < 4 / np.sqrt(size)
    assert not np.array_equal(sketch["bucket_x"][:200], sketch["bucket_y"])
