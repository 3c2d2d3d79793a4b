"""MLB: its authors' form with tanh, written out."""

import numpy as np

from common.fusion.mlb import MLB

PROJECTIONS = {
    "project_x": {"linear": {"kernel": np.ones((1, 2)), "bias": np.array([0.0, 1.0])}},
    "project_y": {"linear": {"kernel": np.array([[2.0, -1.0]]), "bias": np.zeros(2)}},
}
X, Y = np.array([[0.5]]), np.array([[1.5]])


def test_authors_form_by_hand():
    output = {"linear": {"kernel": np.array([[1.0], [10.0]]), "bias": np.ones(1)}}
    z = MLB(1, width=2).apply({"params": {**PROJECTIONS, "output": output}}, X, Y)
    first = np.tanh(0.5) * np.tanh(3.0)
    second = np.tanh(1.5) * np.tanh(-1.5)
    np.testing.assert_allclose(z, [[1 + first + 10 * second]], rtol=1e-5)


def test_normalised_product_without_output_map_by_hand():
    mlb = MLB(2, width=None, activation="relu", normalise=True)
    # relu(0.5, 1.5) * relu(3, -1.5) = (1.5, 0).
    np.testing.assert_allclose(mlb.apply({"params": PROJECTIONS}, X, Y), [[1.0, 0.0]])
