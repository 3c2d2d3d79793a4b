"""Concatenation and its perceptron, by hand."""

import jax
import numpy as np

from common.fusion.concatenation import Concatenation, ConcatenationMLP


def test_concatenation_by_hand():
    x, y = np.array([[1.0, 2.0]]), np.array([[3.0]])
    np.testing.assert_array_equal(Concatenation().apply({}, x, y), [[1.0, 2.0, 3.0]])


def test_perceptron_by_hand():
    params = {
        "layer_0": {
            "kernel": np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -9.0]]),
            "bias": np.array([0.5, 0.0]),
        },
        "layer_1": {"kernel": np.array([[-2.0], [1.0]]), "bias": np.array([1.0])},
    }
    mlp = ConcatenationMLP(1, hidden=(2,))
    z = mlp.apply({"params": params}, np.array([[1.0, 2.0]]), np.array([[3.0]]))
    # relu(1 + 3 + 0.5), relu(2 - 27); no relu at the end: 1 - 2 * 4.5.
    np.testing.assert_array_equal(z, [[-8.0]])


def test_without_hidden_layers_it_is_one_linear_map():
    x, y = np.ones((2, 3)), np.ones((2, 4))
    mlp = ConcatenationMLP(2, hidden=())
    variables = mlp.init(jax.random.key(0), x, y)
    kernel = variables["params"]["layer_0"]["kernel"]
    assert kernel.shape == (7, 2)
    np.testing.assert_allclose(
        mlp.apply(variables, x, y), np.tile(kernel.sum(0), (2, 1)), rtol=1e-5
    )
