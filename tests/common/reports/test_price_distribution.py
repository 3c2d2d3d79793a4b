import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from common.reports.price_distribution import Pooling, mass_between, t_quantile

T4 = stats.t(4)
POINTS = np.concatenate([-np.logspace(5, -9, 50), [0.0], np.logspace(-9, 5, 50)])


def test_tails_and_middle_of_the_t_agree_with_scipy():
    np.testing.assert_allclose(mass_between(-np.inf, POINTS), T4.cdf(POINTS), 1e-12)
    np.testing.assert_allclose(mass_between(POINTS, np.inf), T4.sf(POINTS), 1e-12)


@pytest.mark.parametrize("low", [-4000.0, -30.0, -1e-3, 0.0, 2.0, 500.0])
def test_a_narrow_slice_keeps_its_digits(low):
    """Its mass is that of the density in its middle, also where tails would cancel."""
    width = 1e-7 * max(1.0, abs(low))
    wanted = (low + width - low) * T4.pdf(low + width / 2)
    assert mass_between(low, low + width) == pytest.approx(wanted, rel=1e-7)


def test_quantiles_of_the_t_agree_with_scipy():
    found = t_quantile(T4.cdf(POINTS), T4.sf(POINTS))
    np.testing.assert_allclose(found, POINTS, rtol=1e-9, atol=1e-15)


@st.composite
def pools(draw):
    """Some rows over some zones, with any weights of votes and price."""
    seed = draw(st.integers(0, 2**32 - 1))
    zones = draw(st.integers(3, 20))
    rng = np.random.default_rng(seed)
    steps = rng.exponential(draw(st.floats(0.02, 1.0)), zones - 1) + 1e-3
    edges = np.exp(draw(st.floats(-2, 8)) + np.cumsum(steps))
    scores = rng.normal(size=(7, zones)) * draw(st.floats(0, 5))
    centres = np.log(edges.mean()) + rng.normal(size=7) * draw(st.floats(0, 10))
    pooling = Pooling(
        draw(st.floats(0, 3)), draw(st.floats(0, 3)), draw(st.floats(0.02, 3))
    )
    return scores, centres, edges, pooling


@settings(max_examples=60, deadline=None)
@given(pools())
def test_the_parts_are_one_distribution(drawn):
    scores, centres, edges, pooling = drawn
    known = pooling.distribution(scores, centres, edges)
    sums = np.cumsum(known.probabilities, 1)
    np.testing.assert_allclose(sums[:, -1], 1)
    # Zones against distribution function, at every edge.
    for j, edge in enumerate(edges):
        np.testing.assert_allclose(known.cdf(np.full(7, edge)), sums[:, j], atol=1e-12)
    # Quantiles against distribution function, and the zone that they lie in.
    for share in (1e-4, 0.05, 0.5, 0.9, 0.9999):
        prices = known.price(share)
        labels = np.searchsorted(edges, prices, side="right")
        np.testing.assert_array_equal(labels, (sums[:, :-1] <= share).sum(1))
        here = known.probabilities[np.arange(7), labels]
        solid = here > 1e-6  # within a zone of less, a step of rounding is wide
        np.testing.assert_allclose(known.cdf(prices)[solid], share, rtol=1e-6)


def test_the_density_is_the_slope_of_the_distribution():
    rng = np.random.default_rng(0)
    edges = np.exp(np.linspace(3, 6, 8))
    known = Pooling(0.7, 0.6, 0.4).distribution(
        rng.normal(size=(200, 9)), rng.normal(4.5, 1, 200), edges
    )
    logs = rng.uniform(1, 8, 200)
    logs = logs[abs(logs[:, None] - np.log(edges)).min(1) > 1e-3]
    known = known.rows(slice(len(logs)))
    slope = known.cdf(np.exp(logs + 1e-5)) - known.cdf(np.exp(logs - 1e-5))
    np.testing.assert_allclose(
        np.exp(known.log_density(np.exp(logs))), slope / 2e-5, rtol=1e-4, atol=1e-9
    )


def test_without_price_the_zones_are_the_softmax_of_the_votes():
    scores = np.random.default_rng(0).normal(size=(5, 4))
    known = Pooling(2.5, 0.0, 0.3).distribution(scores, np.zeros(5), [1.0, 2, 3])
    wanted = special.softmax(2.5 * scores, axis=1)
    np.testing.assert_allclose(known.probabilities, wanted)


def test_without_votes_the_price_is_the_t():
    scores = np.random.default_rng(0).normal(size=(3, 5))
    centres, edges = np.array([1.0, 3.0, 9.0]), [10.0, 20.0, 30.0, 90.0]
    known = Pooling(0.0, 1.0, 0.25).distribution(scores, centres, edges)
    np.testing.assert_allclose(known.price(0.5), np.exp(centres))
    for share in (0.01, 0.3, 0.95):
        wanted = centres + 0.25 * T4.ppf(share)
        np.testing.assert_allclose(np.log(known.price(share)), wanted)
    prices = np.array([5.0, 25.0, 4000.0])
    wanted = T4.logpdf((np.log(prices) - centres) / 0.25) - np.log(0.25)
    np.testing.assert_allclose(known.log_density(prices), wanted)


def test_a_price_far_from_all_zones_is_no_nan():
    """The t has mass there that a difference of two shares would round to 0."""
    known = Pooling(1.0, 1.0, 1e-3).distribution(
        np.zeros((2, 3)), np.array([-80.0, 300.0]), [1.0, 2.0]
    )
    np.testing.assert_allclose(known.probabilities, [[1, 0, 0], [0, 0, 1]], atol=1e-9)
    assert np.isfinite(known.log_probabilities).all()
    assert np.isfinite(known.log_density(np.array([5.0, 0.1]))).all()
    np.testing.assert_allclose(np.log(known.price(0.5)), [-80, 300])


def test_an_interval_of_all_shares_has_no_end():
    known = Pooling(1.0, 1.0, 0.5).distribution(
        np.zeros((2, 3)), np.ones(2), [1.0, 2.0]
    )
    for radius in (0.5, float("inf")):
        low, high = known.interval(radius)
        assert low.tolist() == [0, 0]
        assert np.isinf(high).all()


def test_a_program_in_float32_gives_the_same():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(300, 18)).astype(np.float32) * 2
    centres = rng.normal(5, 1, 300).astype(np.float32)
    edges = np.geomspace(30, 3000, 17)
    pooling = Pooling(0.6, 0.7, 0.6)

    def tell(scores, centres, xp):
        known = pooling.distribution(scores, centres, edges, xp)
        return known.price(0.5), *known.interval(0.45), known.probabilities

    found = jax.jit(lambda *arrays: tell(*arrays, jnp))(scores, centres)
    for one, other in zip(found, tell(scores, centres, np), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def draw_sales(rows, rng, pooling, edges):
    """Votes, named prices, and prices drawn from what they pool to."""
    scores = rng.normal(size=(rows, len(edges) + 1))
    centres = rng.normal(5, 0.7, rows)
    known = pooling.distribution(scores, centres, edges)
    shares = rng.uniform(size=rows)
    prices = [known.rows([n]).price(share)[0] for n, share in enumerate(shares)]
    return scores, centres, np.array(prices)


def test_fit_finds_what_the_prices_were_drawn_with():
    edges = np.geomspace(50, 500, 9)
    drawn = draw_sales(6000, np.random.default_rng(0), Pooling(0.8, 0.6, 0.4), edges)
    found = Pooling.fit(*drawn, edges)
    assert found.votes == pytest.approx(0.8, abs=0.08)
    assert found.price == pytest.approx(0.6, abs=0.06)
    assert found.scale == pytest.approx(0.4, rel=0.08)


def test_fit_without_named_prices_pools_none():
    edges = np.geomspace(50, 500, 9)
    drawn = draw_sales(2000, np.random.default_rng(0), Pooling(0.8, 0.0, 0.5), edges)
    found = Pooling.fit(*drawn, edges, pools_price=False)
    assert found.price == 0
    assert found.votes == pytest.approx(0.8, abs=0.15)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_fit_to_very_few_rows_stays_sober(rows):
    edges = np.geomspace(50, 500, 9)
    scores, centres = np.eye(10)[:rows], np.full(rows, 5.0)
    found = Pooling.fit(scores, centres, np.full(rows, 150.0), edges)
    assert 0.3 < found.votes < 3
    assert 0.3 < found.price < 3
    assert 1e-3 < found.scale < 3
