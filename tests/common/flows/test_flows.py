"""Every map and both flows: log-determinants by Jacobians, and the way back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from common.flows.affine_coupling import AffineCoupling
from common.flows.batch_norm import FlowBatchNorm
from common.flows.chain import Chain
from common.flows.flow import Flow
from common.flows.masked_autoregressive import MaskedAutoregressive
from common.flows.permutation import Permutation, reverse

FORWARD, INVERSE = "forward_and_log_det", "inverse_and_log_det"
RNG = np.random.default_rng(0)


def drawn(module, size, condition=4, scale=1.0, seed=1, **arguments):
    """Variables with every entry drawn, running variances above 0."""
    shapes = jax.eval_shape(
        lambda: module.init(
            jax.random.key(0),
            np.zeros((2, size)),
            np.zeros((2, condition)),
            **arguments,
        )
    )
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        values = (
            scale * rng.normal(size=leaf.shape) / np.sqrt(max(leaf.shape, default=1))
        )
        values = np.exp(values) if "var" in jax.tree_util.keystr(path) else values
        return values.astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def maps_of(size):
    order = tuple(np.random.default_rng(size).permutation(size).tolist())
    yield "maf", MaskedAutoregressive(size, hidden=7, layers=2)
    yield "narrow", MaskedAutoregressive(size, hidden=4, layers=3, masks="narrow")
    yield "unbounded", MaskedAutoregressive(size, hidden=9, bound=float("inf"))
    yield "coupling", AffineCoupling(size, hidden=6)
    yield "other half", AffineCoupling(size, first_moves=False, hidden=6)
    yield "batch norm", FlowBatchNorm(size)
    yield "permutation", Permutation(order)
    yield "chain", Chain([FlowBatchNorm(size), reverse(size), AffineCoupling(size)])


CASES = [
    pytest.param(size, module, id=f"{name}-{size}")
    for size in (1, 2, 7)
    for name, module in maps_of(size)
]


@pytest.mark.parametrize(("size", "module"), CASES)
def test_log_determinants_are_those_of_the_jacobian_and_the_way_back_is_one(
    size, module
):
    with jax.enable_x64(True):
        variables = drawn(module, size, method=FORWARD)
        x, condition = RNG.normal(size=(3, size)), RNG.normal(size=(3, 4))

        @jax.jit
        def check(x, condition):
            u, log_det = module.apply(variables, x, condition, method=FORWARD)
            back, inverse_log_det = module.apply(
                variables, u, condition, method=INVERSE
            )

            def one(x, condition):
                u, _ = module.apply(variables, x[None], condition[None], method=FORWARD)
                return u[0]

            jacobian = jax.vmap(jax.jacfwd(one))(x, condition)
            return log_det, jnp.linalg.slogdet(jacobian)[1], back, inverse_log_det

        log_det, expected, back, inverse_log_det = check(x, condition)
        np.testing.assert_allclose(log_det, expected, atol=1e-8)
        np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-8)
        np.testing.assert_allclose(back, x, atol=1e-8)


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


def test_batch_norm_uses_the_batch_in_training_and_follows_it():
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


def test_the_gradient_of_batch_norm_flows_through_its_statistics():
    """Of log_det - |u|^2 / 2 of one column: scaling x scales nothing but the volume."""
    module = FlowBatchNorm(1)
    x = RNG.normal(size=(6, 1)).astype(np.float32)
    variables = module.init(jax.random.key(0), x, x, method=FORWARD)

    def density(scale):
        (u, log_det), _ = module.apply(
            variables, scale * x, x, train=True, method=FORWARD, mutable=["batch_stats"]
        )
        return (log_det - jnp.square(u).sum(-1) / 2).sum()

    # sum_rows log_det = - 6 log(scale) + constant, and u does not depend on the scale.
    assert jax.grad(density)(1.5) == pytest.approx(-6 / 1.5, rel=1e-4)
