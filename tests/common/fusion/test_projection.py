"""The maps around a fusion: order of map, activation and dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.fusion.projection import Output, Projection, activate

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", [-1.0, 0.0, 2.0]),
        ("relu", [0.0, 0.0, 2.0]),
        ("tanh", np.tanh([-1.0, 0.0, 2.0])),
        ("sigmoid", [1 / (1 + np.e), 0.5, 1 / (1 + np.exp(-2.0))]),
    ],
)
def test_activations(name, expected):
    z = activate(jnp.array([-1.0, 0.0, 2.0]), name)
    np.testing.assert_allclose(z, expected, rtol=1e-6)


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation 'swish': expected none, relu"):
        activate(jnp.zeros(1), "swish")


LINEAR = {"linear": {"kernel": jnp.ones((1, 8)), "bias": jnp.full(8, 0.5)}}


def run(module, x, seed=0):
    rngs = {"dropout": jax.random.key(seed)}
    return np.asarray(
        module.apply({"params": LINEAR}, jnp.asarray(x), train=True, rngs=rngs)
    )


def test_projection_maps_then_activates():
    z = Projection(8, "relu").apply(
        {"params": LINEAR}, jnp.array([[2.0], [-3.0]]), train=False
    )
    np.testing.assert_allclose(z, [[2.5] * 8, [0.0] * 8])


def test_dropout_on_raw_inputs_comes_before_the_map():
    # One input: a dropped row is the bias alone, a kept one has its input doubled.
    z = run(Projection(8, dropout_raw=0.5), np.full((64, 1), 2.0))
    assert {tuple(row) for row in z} == {(0.5,) * 8, (4.5,) * 8}


def test_dropout_on_projections_comes_after_the_activation():
    # sigmoid(0.5) never is 0: zeros can only come from dropout behind it.
    z = run(Projection(8, "sigmoid", dropout=0.5), np.zeros((64, 1)))
    expected = 2 / (1 + np.exp(-0.5))
    assert ((z == 0) | np.isclose(z, expected)).all()
    assert (z == 0).any() and (z != 0).any() and len(np.unique(z[0])) == 2


def test_dropout_on_the_fused_vector_comes_before_the_map():
    z = run(Output(8, dropout_fused=0.5), np.full((64, 1), 2.0))
    assert {tuple(row) for row in z} == {(0.5,) * 8, (4.5,) * 8}


def test_dropout_on_the_output_comes_after_the_activation():
    z = run(Output(8, "sigmoid", dropout=0.5), np.zeros((64, 1)))
    expected = 2 / (1 + np.exp(-0.5))
    assert ((z == 0) | np.isclose(z, expected)).all() and len(np.unique(z[0])) == 2


def test_dropout_rate_and_scale():
    z = run(Output(8, dropout=0.3), np.ones((1000, 1)))
    kept = z != 0
    np.testing.assert_allclose(z[kept], 1.5 / 0.7, rtol=1e-6)
    # 8,000 draws: four standard deviations.
    assert abs(kept.mean() - 0.7) < 4 * np.sqrt(0.21 / 8000)


def test_output_without_map_keeps_the_vector_and_its_dropouts():
    z = jnp.ones((50, 4))
    output = Output(None, "relu", dropout_fused=0.5, dropout=0.5)
    assert not output.init(KEY, z, train=False)
    np.testing.assert_array_equal(output.apply({}, -z, train=False), -z)
    dropped = output.apply({}, z, train=True, rngs={"dropout": KEY})
    assert set(np.unique(dropped)) == {0.0, 4.0}
