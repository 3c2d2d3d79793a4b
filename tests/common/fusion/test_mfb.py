"""MFB: values by hand, its two halves, and its authors' joint norm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.fusion.mfb import MFB

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def draw_params(size_x, size_y, expanded):
    return {
        "linear_x": {"kernel": draw(size_x, expanded)},
        "linear_y": {"kernel": draw(size_y, expanded)},
        "bias_x": draw(expanded),
        "bias_y": draw(expanded),
    }


def test_by_hand():
    params = {
        "linear_x": {"kernel": jnp.array([[1.0, 2.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]])},
        "linear_y": {"kernel": jnp.array([[1.0, 1.0, 2.0, 1.0]])},
        "bias_x": jnp.array([0.0, 0.0, 1.0, -1.0]),
        "bias_y": jnp.array([1.0, 0.0, 0.0, 0.0]),
    }
    mfb = MFB(2, factor=2, normalise=False)
    x, y = jnp.array([[1.0, 2.0]]), jnp.array([[3.0]])
    # x to (1, 4, 3, 2), y to (4, 3, 6, 3), product (4, 12, 18, 6), pairs summed.
    np.testing.assert_array_equal(mfb.apply({"params": params}, x, y), [[16.0, 24.0]])
    normalised = MFB(2, factor=2).apply({"params": params}, x, y)
    # Power norm: the squares of a unit vector are 16/40 and 24/40.
    np.testing.assert_allclose(normalised, np.sqrt([[0.4, 0.6]]), rtol=1e-6)


def test_repository_variant_has_relu_and_an_output_map():
    params = {
        "linear_x": {"kernel": jnp.array([[1.0, -1.0]])},
        "linear_y": {"kernel": jnp.array([[2.0, 3.0]])},
        "bias_x": jnp.zeros(2),
        "bias_y": jnp.array([0.0, 1.0]),
        "output": {"linear": {"kernel": jnp.array([[1.0, -1.0]]), "bias": jnp.ones(2)}},
    }
    mfb = MFB(
        2,
        width=1,
        factor=2,
        activation="relu",
        activation_output="relu",
        normalise=False,
    )
    z = mfb.apply({"params": params}, jnp.array([[2.0]]), jnp.array([[1.0]]))
    # (2, 0) * (2, 4) pooled to 4; relu(1 + 4), relu(1 - 4).
    np.testing.assert_array_equal(z, [[5.0, 0.0]])


@pytest.mark.parametrize("activation", ["none", "relu"])
def test_projection_once_and_scaled_equals_projecting_scaled_inputs(activation):
    mfb = MFB(6, factor=5, activation=activation)
    variables = {"params": draw_params(7, 4, 30)}
    positions, vector = draw(2, 9, 7), draw(2, 1, 4)
    scales = np.abs(draw(2, 9, 1)) * 3

    @jax.jit
    def scaled_halves(scales):
        bound = mfb.bind(variables)
        px, py = bound.project_x(positions), bound.project_y(vector)
        return bound.combine(scales * px, py)

    whole = jax.jit(mfb.apply)(variables, scales * positions, vector)
    np.testing.assert_allclose(scaled_halves(scales), whole, rtol=1e-4, atol=1e-5)
    # Biases are drawn, so the scale does matter.
    assert np.abs(scaled_halves(np.ones_like(scales)) - whole).max() > 0.01


def test_joint_norm_is_the_authors(power_l2):
    params = draw_params(3, 4, 10)
    x, y = draw(2, 5, 3), draw(2, 1, 4)
    pooled = np.zeros((2, 5, 2))
    for b, p, o, k in np.ndindex(2, 5, 2, 5):
        column = o * 5 + k
        u = x[b, p] @ params["linear_x"]["kernel"][:, column] + params["bias_x"][column]
        v = y[b, 0] @ params["linear_y"]["kernel"][:, column] + params["bias_y"][column]
        pooled[b, p, o] += u * v
    jointly = MFB(2, factor=5, joint_norm=True).apply({"params": params}, x, y)
    expected = np.stack([power_l2(item) for item in pooled])
    np.testing.assert_allclose(jointly, expected, rtol=1e-4, atol=1e-6)
    by_position = MFB(2, factor=5).apply({"params": params}, x, y)
    expected = np.stack([[power_l2(position) for position in item] for item in pooled])
    np.testing.assert_allclose(by_position, expected, rtol=1e-4, atol=1e-6)


def test_joint_norm_is_that_of_a_vector_where_there_are_no_positions():
    variables = {"params": draw_params(3, 4, 10)}
    x, y = draw(2, 3), draw(2, 4)
    jointly = MFB(2, factor=5, joint_norm=True).apply(variables, x, y)
    np.testing.assert_array_equal(jointly, MFB(2, factor=5).apply(variables, x, y))


@pytest.mark.parametrize(
    ("rates", "values"),
    [
        ({"dropout_product": 0.5}, {0.0, 2.0}),
        ({"dropout_projected": 0.5}, {0.0, 4.0}),
        ({"dropout_product": 0.5, "dropout_projected": 0.5}, {0.0, 8.0}),
    ],
)
def test_dropout_acts_on_products_before_pooling(rates, values):
    params = {
        "linear_x": {"kernel": jnp.ones((1, 600))},
        "linear_y": {"kernel": jnp.ones((1, 600))},
        "bias_x": jnp.zeros(600),
        "bias_y": jnp.zeros(600),
    }
    one = jnp.ones((1, 1))
    rngs = {"dropout": jax.random.key(0)}

    def run(factor):
        mfb = MFB(600 // factor, factor=factor, normalise=False, **rates)
        return mfb.apply({"params": params}, one, one, train=True, rngs=rngs)

    assert set(np.unique(run(1))) == values
    # Pooled after: sums of three such values.
    top = max(values)
    assert set(np.unique(run(3))) == {0.0, top, 2 * top, 3 * top}
