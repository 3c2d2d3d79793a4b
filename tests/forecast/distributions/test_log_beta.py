import jax
import numpy as np
from scipy import special

from forecast.distributions.log_beta import log_beta

GRID = np.array([1e-3, 0.5, 1, 2.5, 7.9, 8, 8.1, 30, 1e3, 1e6])
A, B = (grid.ravel() for grid in np.meshgrid(GRID, GRID))


def test_values_and_gradients_are_scipys():
    with jax.enable_x64(True):
        found, pull = jax.vjp(jax.jit(log_beta), A, B)
        by_a, by_b = pull(np.ones_like(A))
    np.testing.assert_allclose(found, special.betaln(A, B), rtol=1e-10, atol=1e-9)
    both = special.psi(A + B)
    # Differences of digammas have a few digits less.
    np.testing.assert_allclose(by_a, special.psi(A) - both, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(by_b, special.psi(B) - both, rtol=1e-8, atol=1e-9)


def test_float32_keeps_its_digits_where_log_gammas_have_none_left():
    small = np.minimum(A, B) <= 8.1
    a, b = A[small].astype(np.float32), B[small].astype(np.float32)
    found = jax.jit(log_beta)(a, b)
    np.testing.assert_allclose(found, special.betaln(a, b), rtol=1e-5, atol=3e-5)
