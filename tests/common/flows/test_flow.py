"""Both flows as densities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from common.flows.flow import Flow
from tests.common.flows.jacobians import drawn

RNG = np.random.default_rng(0)


def test_leading_axes_are_rows():
    module = Flow("maf", 3, blocks=2, hidden=5, layers=1)
    variables = drawn(module, 3, method="log_prob")
    x = RNG.normal(size=(2, 4, 3)).astype(np.float32)
    condition = RNG.normal(size=(2, 4, 4)).astype(np.float32)
    run = jax.jit(module.apply, static_argnames="method")
    whole = run(variables, x, condition, method="log_prob")
    flat = x.reshape(8, 3), condition.reshape(8, 4)
    rows = run(variables, *flat, method="log_prob")
    assert whole.shape == (2, 4)
    np.testing.assert_allclose(whole.reshape(8), rows, rtol=1e-5)
    sampled = run(variables, x, condition, method="transform")
    rows = run(variables, *flat, method="transform")
    np.testing.assert_allclose(sampled.reshape(8, 3), rows, rtol=1e-5)


@pytest.mark.parametrize("kind", ["maf", "real_nvp"])
def test_a_flow_is_the_density_of_what_it_samples(kind):
    """In one dimension: the density integrates to the share of samples in a range."""
    module = Flow(kind, 1, blocks=2, hidden=6, layers=1)
    variables = drawn(module, 1, scale=0.3, method="log_prob")
    condition = np.array([[0.3, -1.0, 0.5, 2.0]], np.float32)
    grid = np.linspace(-12, 12, 4001, dtype=np.float32)[:, None]
    many = jnp.broadcast_to(condition, (len(grid), 4))
    run = jax.jit(module.apply, static_argnames="method")
    density = np.exp(run(variables, grid, many, method="log_prob"))
    assert np.trapezoid(density, grid[:, 0]) == pytest.approx(1, abs=1e-3)
    noise = stats.norm.ppf((np.arange(4001) + 0.5) / 4001).astype(np.float32)[:, None]
    samples = run(variables, noise, many, method="transform")[:, 0]
    mean = np.trapezoid(density * grid[:, 0], grid[:, 0])
    assert np.mean(samples) == pytest.approx(mean, abs=2e-3)


def test_a_flow_of_zero_weights_is_a_normal():
    module = Flow("real_nvp", 4, blocks=2)
    zeros = jax.tree.map(np.zeros_like, drawn(module, 4, method="log_prob"))
    stats_of = jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.ones_like(leaf) if "var" in str(path) else leaf, zeros
    )
    x = RNG.normal(size=(5, 4)).astype(np.float32)
    condition = np.zeros((5, 4), np.float32)
    run = jax.jit(module.apply, static_argnames="method")
    found = run(stats_of, x, condition, method="log_prob")
    # Each of two batch norms divides by sqrt(1 + 1e-5).
    expected = stats.norm.logpdf(x).sum(1)
    np.testing.assert_allclose(found, expected, atol=2e-4)
