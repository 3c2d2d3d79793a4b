"""Positive parameters from unbounded outputs of a network.

    positive(r) = log(1 + exp(r)) + floor

Without a floor the likelihood of a series that stays where it is has no bound.
"""

import jax

FLOOR = 1e-4  # of data that is scaled to about 1


def positive(raw: jax.Array) -> jax.Array:
    """Softplus and a floor, of any shape."""
    return jax.nn.softplus(raw) + FLOOR
