import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.layers.pooling import max_pool


def pool_by_loops(x, dy):
    """Maxima, and the gradient that goes to the first of equal ones."""
    batch, height, width, channels = x.shape
    y = np.full((batch, -(-height // 2), -(-width // 2), channels), -np.inf)
    dx = np.zeros_like(x)
    for b, r, c, k in np.ndindex(y.shape):
        best = None
        for i in range(max(2 * r - 1, 0), min(2 * r + 2, height)):
            for j in range(max(2 * c - 1, 0), min(2 * c + 2, width)):
                if best is None or x[b, i, j, k] > x[b, *best, k]:
                    best = (i, j)
        y[b, r, c, k] = x[b, *best, k]
        dx[b, *best, k] += dy[b, r, c, k]
    return y, dx


SHAPES = [(1, 1), (2, 2), (3, 4), (5, 3), (6, 6)]


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=20)
@given(seed=st.integers(0, 1000), levels=st.sampled_from([2, 100]))
def test_equals_loops_with_ties(shape, seed, levels):
    rng = np.random.default_rng(seed)
    x = rng.integers(-levels, levels, size=(2, *shape, 2)).astype(np.float32)
    dy_shape = (2, -(-shape[0] // 2), -(-shape[1] // 2), 2)
    dy = rng.integers(-9, 9, size=dy_shape).astype(np.float32)
    y, pull = jax.vjp(max_pool, jnp.asarray(x))
    expected, gradient = pool_by_loops(x, dy)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(pull(jnp.asarray(dy))[0], gradient)


def test_nan_and_bfloat16_pass_through():
    x = jnp.zeros((1, 4, 4, 1), jnp.bfloat16).at[0, 3, 3, 0].set(jnp.nan)
    y = max_pool(x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(
        jnp.isnan(y[0, :, :, 0]), [[False] * 2, [False, True]]
    )
