"""Distributions of the values of a step, and the marginal transform of the copula.

A distribution is a NamedTuple of arrays [..., D], float32 or wider: a pytree for jit,
grad and scan. Its `log_prob` takes values x [..., D] and bool `observed` [..., D]: what
isn't observed may be any value, NaN too, and is marginalised. Draws come from noise, or
from one key a row: they are the same whatever the number of rows.
"""
