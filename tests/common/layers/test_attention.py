import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from common.layers.attention import glimpse_weights, pool_positions


def test_weights_by_hand():
    weights = glimpse_weights(jnp.log(jnp.array([[1.0, 3.0, 4.0]])))
    np.testing.assert_allclose(weights, [[0.125, 0.375, 0.5]], rtol=1e-6)
    mask = jnp.array([[True, True, False]])
    weights = glimpse_weights(jnp.log(jnp.array([[1.0, 3.0, 4.0]])), mask)
    np.testing.assert_allclose(weights, [[0.25, 0.75, 0.0]], rtol=1e-6)


@settings(max_examples=30)
@given(
    st.lists(st.floats(-50, 50, width=32), min_size=5, max_size=5),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_masked_positions_are_as_if_they_were_not_there(scores, mask):
    weights = glimpse_weights(jnp.array([scores]), jnp.array([mask]))[0]
    kept = [score for score, keep in zip(scores, mask, strict=True) if keep]
    expected = np.exp(np.array(kept) - max(kept, default=0))
    expected = expected / expected.sum()
    np.testing.assert_allclose(weights[np.array(mask)], expected, rtol=1e-4, atol=1e-30)
    assert np.all(np.asarray(weights)[~np.array(mask)] == 0)


def test_gradients_are_finite_where_no_position_is_left():
    mask = jnp.array([[False, False], [True, False]])
    gradient = jax.grad(lambda x: (glimpse_weights(x, mask) ** 2).sum())(
        jnp.array([[1.0, 2.0], [3.0, 4.0]])
    )
    assert np.all(np.isfinite(gradient))


def test_softmax_is_computed_in_float32():
    scores = jnp.array([[1.0, 1.0078125]], jnp.bfloat16)
    weights = glimpse_weights(scores)
    assert weights.dtype == jnp.float32
    expected = np.exp([0, 0.0078125]) / np.exp([0, 0.0078125]).sum()
    np.testing.assert_allclose(weights[0], expected, rtol=1e-6)


def test_pooling_by_hand():
    values = jnp.array([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]])
    pooled = pool_positions(jnp.array([[0.5, 0.0, 2.0]]), values)
    np.testing.assert_allclose(pooled, [[6.5, 65.0]], rtol=1e-6)


def test_pooling_in_half_precision_accumulates_in_float32():
    # 4096 times 1/4096 of 1: a bfloat16 sum would get stuck at 2^-4.
    values = jnp.ones((1, 4096, 1), jnp.bfloat16)
    pooled = pool_positions(jnp.full((1, 4096), 1 / 4096), values)
    assert pooled.dtype == jnp.bfloat16
    assert float(pooled[0, 0]) == 1.0
