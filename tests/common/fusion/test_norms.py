"""Power norm and L2: values by hand, gradients at and near exact zeros."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.fusion.norms import l2_normalise, power_normalise, signed_sqrt


def test_signed_sqrt_by_hand():
    x = jnp.array([4.0, -9.0, 0.0, 0.25])
    np.testing.assert_array_equal(signed_sqrt(x), [2.0, -3.0, 0.0, 0.5])


def test_signed_sqrt_gradient_is_half_the_inverse_root_and_0_at_0():
    gradient = jax.grad(lambda x: signed_sqrt(x).sum())(jnp.array([4.0, -9.0, 0.0]))
    np.testing.assert_allclose(gradient, [1 / 4, 1 / 6, 0.0], rtol=1e-6)


def test_l2_normalise_by_hand():
    x = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(l2_normalise(x), [[0.6, 0.8], [0, 0]], rtol=1e-6)
    jointly = l2_normalise(jnp.array([[1.0, 2.0], [2.0, 4.0]]), axis=(0, 1))
    np.testing.assert_allclose(jointly, [[0.2, 0.4], [0.4, 0.8]], rtol=1e-6)


def test_l2_normalise_divides_by_epsilon_below_it():
    x = jnp.array([3e-3, 4e-3])
    np.testing.assert_allclose(l2_normalise(x, epsilon=1e-2), [0.3, 0.4], rtol=1e-6)
    np.testing.assert_allclose(l2_normalise(x, epsilon=1e-3), [0.6, 0.8], rtol=1e-6)


def test_power_normalise_by_hand():
    # Roots 1, -2, 2: norm 3.
    z = power_normalise(jnp.array([1.0, -4.0, 4.0]))
    np.testing.assert_allclose(z, [1 / 3, -2 / 3, 2 / 3], rtol=1e-6)


@pytest.mark.parametrize("norm", [signed_sqrt, l2_normalise, power_normalise])
def test_gradients_are_finite_at_exact_zeros(norm):
    x = jnp.zeros((2, 3)).at[0, 0].set(2.0)
    value, pull = jax.vjp(norm, x)
    assert np.isfinite(value).all()
    assert np.isfinite(pull(jnp.ones_like(value))[0]).all()


def test_power_normalise_gradient_of_an_all_zero_row_is_zero():
    gradient = jax.grad(lambda x: power_normalise(x).sum())(jnp.zeros((1, 4)))
    np.testing.assert_array_equal(gradient, 0.0)


def test_power_normalise_gradient_by_finite_differences():
    with jax.enable_x64(True):
        x = np.array([0.7, -1.3, 0.2, 2.0])
        weight = np.array([1.0, -2.0, 0.5, 3.0])

        def value(x):
            return jnp.dot(power_normalise(jnp.asarray(x)), weight)

        steps = np.eye(4) * 1e-6
        expected = [(value(x + h) - value(x - h)) / 2e-6 for h in steps]
        np.testing.assert_allclose(jax.grad(value)(jnp.asarray(x)), expected, rtol=1e-7)


@pytest.mark.parametrize("norm", [signed_sqrt, l2_normalise, power_normalise])
def test_half_precision_is_computed_in_float32(norm):
    x = jnp.linspace(-3, 3, 640).astype(jnp.bfloat16)
    z = norm(x)
    assert z.dtype == jnp.bfloat16
    expected = norm(x.astype(jnp.float32)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(z.astype(np.float32), expected.astype(np.float32))
