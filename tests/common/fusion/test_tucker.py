"""Tucker: the full bilinear tensor, written out."""

import numpy as np

from common.fusion.tucker import Tucker

RNG = np.random.default_rng(0)


def test_equals_one_full_bilinear_tensor_where_there_are_no_biases():
    a, b = RNG.normal(size=(5, 3)), RNG.normal(size=(4, 3))
    core, c = RNG.normal(size=(3, 3, 3)), RNG.normal(size=(3, 2))
    tensor = np.einsum("xi,yj,ijo,oz->xyz", a, b, core, c)
    params = {
        "project_x": {"linear": {"kernel": a, "bias": np.zeros(3)}},
        "project_y": {"linear": {"kernel": b, "bias": np.zeros(3)}},
        "core": {"core": core[None], "bias": np.zeros((1, 3))},
        "output": {"linear": {"kernel": c, "bias": np.zeros(2)}},
    }
    x, y = RNG.normal(size=(6, 5)), RNG.normal(size=(6, 4))
    expected = [
        row_x @ tensor[:, :, z] @ row_y
        for row_x, row_y in zip(x, y, strict=True)
        for z in range(2)
    ]
    z = Tucker(2, width=3).apply({"params": params}, x, y)
    np.testing.assert_allclose(z.ravel(), expected, rtol=1e-4, atol=1e-4)


def test_biases_and_normalisation_by_hand():
    params = {
        "project_x": {
            "linear": {"kernel": np.ones((1, 2)), "bias": np.array([0, 1.0])}
        },
        "project_y": {
            "linear": {"kernel": np.ones((1, 2)), "bias": np.array([1.0, 0])}
        },
        "core": {
            "core": np.array([[[[1.0, 0], [0, 0]], [[0, 0], [0, 1.0]]]]),
            "bias": np.array([[-1.0, 1.0]]),
        },
    }
    x, y = np.array([[2.0]]), np.array([[3.0]])
    tucker = Tucker(2, width=None)
    # (2, 3) and (4, 3): 2 * 4 - 1 and 3 * 3 + 1.
    np.testing.assert_array_equal(tucker.apply({"params": params}, x, y), [[7.0, 10.0]])
    z = tucker.clone(normalise=True).apply({"params": params}, x, y)
    np.testing.assert_allclose(z, np.sqrt([[7 / 17, 10 / 17]]), rtol=1e-6)
