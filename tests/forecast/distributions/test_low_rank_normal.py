import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from forecast.distributions.low_rank_normal import LowRankNormal

RNG = np.random.default_rng(0)
LOG_PROB = jax.jit(LowRankNormal.log_prob)


def drawn(*axes, size=6, rank=2):
    return LowRankNormal(
        RNG.normal(size=(*axes, size)),
        np.exp(RNG.normal(size=(*axes, size))),
        RNG.normal(size=(*axes, size, rank)),
    )


def covariance(normal):
    return np.diag(normal.diagonal) + normal.factors @ normal.factors.T


def row(normal, *index):
    return LowRankNormal(*(leaf[index] for leaf in normal))


@pytest.mark.parametrize(("size", "rank"), [(6, 2), (1, 1), (2, 3)])
def test_log_densities_are_those_of_the_dense_covariance(size, rank):
    normal, x = drawn(2, 3, size=size, rank=rank), RNG.normal(size=(2, 3, size))
    with jax.enable_x64(True):
        found = LOG_PROB(normal, x, np.ones_like(x, bool))
    for index in np.ndindex(2, 3):
        one = row(normal, *index)
        dense = stats.multivariate_normal(one.mean, covariance(one))
        assert found[index] == pytest.approx(dense.logpdf(x[index]), rel=1e-10)


def test_what_is_not_observed_is_marginalised():
    normal, x = drawn(8), RNG.normal(size=(8, 6))
    observed = RNG.random((8, 6)) < 0.5
    observed[0], observed[1] = False, True
    x[~observed] = np.nan
    with jax.enable_x64(True):
        found = np.asarray(LOG_PROB(normal, x, observed))
    assert found[0] == 0
    for index in range(1, 8):
        one, seen = row(normal, index), observed[index]
        dense = covariance(one)[np.ix_(seen, seen)]
        expected = stats.multivariate_normal(one.mean[seen], dense)
        assert found[index] == pytest.approx(expected.logpdf(x[index, seen]), rel=1e-10)


def test_gradients_are_those_of_the_dense_formula():
    normal, x = drawn(), RNG.normal(size=6)
    observed = np.array([True, True, False, True, True, False])
    x[~observed] = np.nan

    def dense(normal):
        wanted = np.flatnonzero(observed)
        factors = normal.factors[wanted]
        matrix = jnp.diag(normal.diagonal[wanted]) + factors @ factors.T
        return jax.scipy.stats.multivariate_normal.logpdf(
            jnp.asarray(x[wanted]), normal.mean[wanted], matrix
        )

    with jax.enable_x64(True):
        normal = jax.tree.map(jnp.asarray, normal)
        found = jax.jit(jax.grad(lambda given: given.log_prob(x, observed)))(normal)
        expected = jax.jit(jax.grad(dense))(normal)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12),
        found,
        expected,
    )


def test_float32_holds_where_factors_explain_almost_all():
    """400 series, 1e-3 of their variance their own: Woodbury's difference loses it."""
    factors = RNG.normal(size=(400, 3))
    noise, common = RNG.normal(size=400), RNG.normal(size=3)
    normal = LowRankNormal(np.zeros(400), np.full(400, 1e-3), factors)
    x = normal.sample(noise, common)
    dense = stats.multivariate_normal(np.zeros(400), covariance(normal))
    single = jax.tree.map(lambda leaf: leaf.astype(np.float32), normal)
    seen = np.ones(400, bool)
    found = LOG_PROB(single, np.asarray(x).astype(np.float32), seen)
    assert found == pytest.approx(dense.logpdf(np.asarray(x, np.float64)), abs=0.05)


def test_parallel_factors_have_a_density_and_gradients():
    column = np.full((500, 1), 10.0, np.float32)
    normal = LowRankNormal(
        np.zeros(500, np.float32),
        np.full(500, 1e-3, np.float32),
        np.concatenate([column, column, -column], 1),
    )
    x = np.full(500, 5.0, np.float32)
    run = jax.jit(jax.value_and_grad(LowRankNormal.log_prob))
    value, gradient = run(normal, x, np.ones(500, bool))
    # V = 1e-3 I + 300 1 1^T: its determinant and x V^-1 x by Sherman and Morrison.
    log_det = 500 * np.log(1e-3) + np.log1p(500 * 300 / 1e-3)
    squares = 500 * 25 / (1e-3 + 500 * 300)
    expected = -(squares + log_det + 500 * np.log(2 * np.pi)) / 2
    # Of three parallel factors, eigenvalues of 1 stand for those that rounding hides.
    assert value == pytest.approx(expected, abs=5)
    assert all(np.isfinite(leaf).all() for leaf in gradient)


def test_samples_have_the_covariance():
    """x = m + B (noise, factor noise): each unit of noise gives a column of B."""
    normal = drawn()
    with jax.enable_x64(True):
        units = np.eye(8)
        rows = jax.vmap(lambda unit: normal.sample(unit[:6], unit[6:]))(units)
        columns = np.asarray(rows - normal.mean[None]).T
    np.testing.assert_allclose(columns @ columns.T, covariance(normal), atol=1e-12)
