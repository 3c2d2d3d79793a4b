"""Distributions of the values of a step, and the marginal transform of the copula.

A distribution is a NamedTuple of arrays [..., D], float32 or wider: a pytree for jit,
grad and scan. What isn't observed is marginalised. Draws come from noise, or from one
key a row: they are the same whatever the number of rows.
"""
