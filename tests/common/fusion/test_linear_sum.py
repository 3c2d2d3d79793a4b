"""Sums, by hand."""

import numpy as np

from common.fusion.linear_sum import Addition, LinearSum

X, Y = np.array([[2.0]]), np.array([[3.0]])
PROJECTIONS = {
    "project_x": {"linear": {"kernel": np.array([[1.0, -1.0]]), "bias": np.ones(2)}},
    "project_y": {"linear": {"kernel": np.array([[2.0, 1.0]]), "bias": np.zeros(2)}},
}


def test_addition_by_hand():
    z = Addition().apply({}, np.array([[1.0, 2.0]]), np.array([[3.0, -5.0]]))
    np.testing.assert_array_equal(z, [[4.0, -3.0]])


def test_linear_sum_by_hand():
    kernel = np.array([[1.0, -1.0], [1.0, 1.0]])
    params = {
        **PROJECTIONS,
        "output": {"linear": {"kernel": kernel, "bias": np.array([0.5, 0.0])}},
    }
    # relu(3, -1) + relu(6, 3) = (9, 3); relu(12.5), relu(-6).
    z = LinearSum(2, width=2).apply({"params": params}, X, Y)
    np.testing.assert_array_equal(z, [[12.5, 0.0]])


def test_normalised_linear_sum_by_hand():
    z = LinearSum(2, width=None, normalise=True).apply({"params": PROJECTIONS}, X, Y)
    np.testing.assert_allclose(z, np.sqrt([[0.75, 0.25]]), rtol=1e-6)
