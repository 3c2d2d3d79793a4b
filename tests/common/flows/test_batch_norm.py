"""Normalisation by the batch, as a map of a flow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.flows.batch_norm import FlowBatchNorm
from tests.common.flows.jacobians import FORWARD, check


def test_log_determinants_and_the_way_back():
    check(FlowBatchNorm(3), 3)


def test_it_uses_the_batch_in_training_and_follows_it():
    module = FlowBatchNorm(2)
    x = np.array([[[1.0, 10.0], [3.0, 30.0]], [[5.0, 50.0], [7.0, 30.0]]], np.float32)
    condition = np.zeros((2, 2, 1), np.float32)
    variables = module.init(jax.random.key(0), x, condition, method=FORWARD)
    (u, log_det), changed = module.apply(
        variables, x, condition, train=True, method=FORWARD, mutable=["batch_stats"]
    )
    rows = x.reshape(4, 2)
    mean, var = rows.mean(0), rows.var(0, ddof=1)
    np.testing.assert_allclose(
        u.reshape(4, 2), (rows - mean) / np.sqrt(var + 1e-5), rtol=1e-5
    )
    np.testing.assert_allclose(
        log_det, np.full((2, 2), -np.log(var + 1e-5).sum() / 2), rtol=1e-5
    )
    running = changed["batch_stats"]
    np.testing.assert_allclose(running["mean"], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(running["var"], 0.9 + 0.1 * var, rtol=1e-5)


def test_the_gradient_flows_through_its_statistics():
    """Of log_det - |u|^2 / 2 of one column: scaling x scales nothing but the volume."""
    module = FlowBatchNorm(1)
    x = np.random.default_rng(0).normal(size=(6, 1)).astype(np.float32)
    variables = module.init(jax.random.key(0), x, x, method=FORWARD)

    def density(scale):
        (u, log_det), _ = module.apply(
            variables, scale * x, x, train=True, method=FORWARD, mutable=["batch_stats"]
        )
        return (log_det - jnp.square(u).sum(-1) / 2).sum()

    # sum_rows log_det = - 6 log(scale) + constant, and u does not depend on the scale.
    assert jax.grad(density)(1.5) == pytest.approx(-6 / 1.5, rel=1e-4)
