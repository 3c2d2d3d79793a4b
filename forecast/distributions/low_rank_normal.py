"""A normal whose series hang together through a few factors.

    x ~ N(m, V),   V = diag(d) + W W^T,   W [D, r]

With e = (x - m) / sqrt(d), A = W / sqrt(d) by rows and the capacitance C = I_r + A^T A:

    log det V = sum log d + log det C               (matrix determinant lemma)
    (x - m)^T V^-1 (x - m) = |e - A g|^2 + |g|^2,   g = C^-1 A^T e

The second line is Woodbury's |e|^2 - e^T A C^-1 A^T e, as a sum of squares: nothing
cancels in float32 where the factors explain almost all. g is the mean of the factors
given x.

Cost: O(D r^2 + r^3), and no matrix [D, D]. Source: Salinas et al. 2019,
"High-Dimensional Multivariate Forecasting with Low-Rank Gaussian Copula Processes".
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class LowRankNormal(NamedTuple):
    """N(mean, diag(diagonal) + factors factors^T).

    Attributes:
      mean: [..., D].
      diagonal: [..., D], variances, above 0.
      factors: [..., D, r].
    """

    mean: jax.Array
    diagonal: jax.Array
    factors: jax.Array

    def log_prob(self, x: jax.Array, observed: jax.Array) -> jax.Array:
        """Joint log-density [...] of what is observed of x [..., D], 0 of nothing.

        Variances and rows of the factors of what isn't drop out, exactly.
        """
        # A row that is N(0, 1) by itself, at 0, adds nothing but its constant.
        x = jnp.where(observed, x, self.mean)
        diagonal = jnp.where(observed, self.diagonal, 1.0)
        factors = jnp.where(observed[..., None], self.factors, 0.0)
        count = observed.sum(-1)
        deviation = jnp.sqrt(diagonal)
        e = (x - self.mean) / deviation  # [..., D]
        a = factors / deviation[..., None]  # [..., D, r]
        lower = _capacitance_cholesky(a)  # [..., r, r]
        g = jnp.einsum("...dr,...d->...r", a, e, precision="highest")[..., None]
        for transposed in (False, True):
            g = lax.linalg.triangular_solve(
                lower, g, left_side=True, lower=True, transpose_a=transposed
            )
        g = g[..., 0]
        rest = e - jnp.einsum("...dr,...r->...d", a, g, precision="highest")
        squares = jnp.square(rest).sum(-1) + jnp.square(g).sum(-1)
        half = jnp.log(jnp.diagonal(lower, axis1=-2, axis2=-1)).sum(-1)
        log_det = jnp.log(diagonal).sum(-1) + 2 * half
        return -(squares + log_det + count * math.log(2 * math.pi)) / 2

    def sample(self, noise: jax.Array, factor_noise: jax.Array) -> jax.Array:
        """mean + sqrt(diagonal) noise [..., D] + factors factor_noise [..., r]."""
        common = jnp.einsum("...dr,...r->...d", self.factors, factor_noise)
        return self.mean + jnp.sqrt(self.diagonal) * noise + common


def _capacitance_cholesky(a: jax.Array) -> jax.Array:
    """Lower L [..., r, r] with L L^T = I + A^T A, of A [..., D, r]."""
    rank = a.shape[-1]
    product = jnp.einsum("...dr,...ds->...rs", a, a, precision="highest")
    # Parallel and large factors leave the unit matrix below the rounding of A^T A:
    # about as much as that rounding is added, so that there always is a root.
    largest = jnp.diagonal(product, axis1=-2, axis2=-1).max(-1)
    ridge = 1 + rank * jnp.finfo(a.dtype).eps * largest  # [...]
    identity = jnp.eye(rank, dtype=a.dtype)
    identity = identity.reshape((1,) * (a.ndim - 2) + identity.shape)
    return jnp.linalg.cholesky(product + ridge[..., None, None] * identity)
