"""NumPy oracles and parameter draws that the fusion tests share."""

import jax
import numpy as np
import pytest


@pytest.fixture
def power_l2():
    """Power norm and L2 of one vector (or, flattened, of one array), by loops."""

    def compute(z: np.ndarray) -> np.ndarray:
        rooted = np.zeros_like(z)
        for index, value in np.ndenumerate(z):
            rooted[index] = np.sqrt(value) if value >= 0 else -np.sqrt(-value)
        norm = np.sqrt(sum(value**2 for value in rooted.ravel()))
        return rooted / max(norm, 1e-12)

    return compute


@pytest.fixture
def randomise():
    """Replaces all parameters of a tree by normal draws, biases included."""

    def draw(params, seed: int = 0, scale: float = 0.5):
        rng = np.random.default_rng(seed)
        return jax.tree.map(
            lambda leaf: rng.normal(size=leaf.shape, scale=scale).astype(leaf.dtype),
            params,
        )

    return draw
