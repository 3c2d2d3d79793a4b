"""Against a slow loop over values, and what must hold of any past."""

import functools

import jax
import numpy as np
import pytest
from scipy import stats

from forecast.distributions import copula

RNG = np.random.default_rng(0)
FIT = jax.jit(copula.fit, static_argnames="tails")
TO, FROM = jax.jit(copula.to_normal), jax.jit(copula.from_normal)
LOG_SLOPE = jax.jit(copula.log_slope)
Z = np.linspace(-5, 5, 41)


def bound_of(n):
    n = max(n, 2)
    return 1 / (4 * n**0.25 * (3.14 * np.log(n)) ** 0.5)


class Slow:
    """The transform of one series from the definition, a value at a time."""

    def __init__(self, past, observed, tails):
        values = [x for x, seen in zip(past, observed, strict=True) if seen] or [0.0]
        if tails == "flat":
            values = (values * len(past))[: len(past)]
        self.v, self.n = np.sort(values), len(values)
        self.flat = tails == "flat"
        c = bound_of(self.n)
        self.c = c if self.flat else max(c, 0.5 / self.n)
        self.end = stats.norm.ppf(1 - self.c)

    def quantile(self, z):
        rank = self.n * stats.norm.cdf(z) - (0 if self.flat else 0.5)
        return np.interp(rank, np.arange(self.n), self.v)

    def slope(self, side):
        """Of the tail on this side, -1 or 1."""
        first, last = self.v[0], self.v[-1]
        extreme, edge = (last if side > 0 else first), self.quantile(side * self.end)
        least = (last - first) / 100
        if first == last:
            least = abs(first) / 100 if first else 0.01
        inner = self.quantile(side * self.end / 3)
        run = 2 * self.end / 3
        fitted = abs(edge - inner) / run if self.n > 1 else 0.0
        return max(fitted, abs(extreme - edge) / (4 - self.end), least)

    def to_normal(self, x):
        if not self.flat:
            for side in (-1, 1):
                edge = self.quantile(side * self.end)
                if side * (x - edge) > 0:
                    return side * self.end + (x - edge) / self.slope(side)
        same = np.flatnonzero(self.v == x)
        if len(same) > 1 or (len(same) and not self.flat):
            rank = same[len(same) // 2 - 1] if self.flat else same.mean()
        else:
            rank = np.interp(x, self.v, np.arange(self.n))
        p = (rank + (0 if self.flat else 0.5)) / self.n
        return stats.norm.ppf(np.clip(p, self.c, 1 - self.c))

    def from_normal(self, z):
        if not self.flat and abs(z) > self.end:
            side = np.sign(z)
            edge = self.quantile(side * self.end)
            return edge + self.slope(side) * (z - side * self.end)
        return self.quantile(z)


def pasts():
    """[2, 20, 8] and what is observed of it: much that can go wrong."""
    past = RNG.normal(size=(2, 20, 8))
    past[..., 1] = np.exp(3 * past[..., 1])  # one long tail
    past[..., 2] = np.round(past[..., 2])  # ties
    past[..., 3] = np.where(RNG.random((2, 20)) < 0.7, 0, RNG.poisson(4, (2, 20)))
    past[..., 4] = np.array([[5.0], [0.0]])  # constant, zero
    past[..., 5] = np.arange(20)[None] + 1000.0  # a trend
    observed = RNG.random(past.shape) < 0.7
    observed[..., 0] = True
    observed[0, :, 6], observed[1, :, 6] = False, np.arange(20) == 3  # none, one
    observed[..., 7] = np.arange(20) < 2
    return np.where(observed, past, np.nan), observed


@pytest.mark.parametrize("tails", ["linear", "flat"])
def test_the_transform_is_that_of_the_definition(tails):
    past, observed = pasts()
    around = past + 0.3 * RNG.normal(size=past.shape)
    x = np.concatenate([past, around, 2 * around - 1], 1)
    x[:, 0] = 0.0
    z = np.broadcast_to(Z[:, None], (2, 41, 8))
    with jax.enable_x64(True):
        marginals = FIT(past, observed, tails=tails)
        there, back = np.asarray(TO(marginals, x)), np.asarray(FROM(marginals, z))
    for b, d in np.ndindex(2, 8):
        slow = Slow(past[b, :, d], observed[b, :, d], tails)
        known = x[b, :, d]
        expected = [np.nan if np.isnan(v) else slow.to_normal(v) for v in known]
        np.testing.assert_allclose(there[b, :, d], expected, atol=1e-9, err_msg=str(d))
        expected = [slow.from_normal(v) for v in Z]
        np.testing.assert_allclose(back[b, :, d], expected, atol=1e-9, err_msg=str(d))


def test_flat_tails_by_hand():
    """1, 2, 2, 2, 5, 9: F is 0, then 1/6 to 3/6 at 2, 4/6 at 5, 5/6 from 9 on."""
    past = np.array([5.0, 2, 1, 2, 9, 2])[:, None]
    c = bound_of(6)
    x = np.array([0, 1, 1.5, 2, 3.5, 5, 7, 9, 50])[:, None]
    p = [c, c, 1 / 12, 1 / 6, 3.5 / 6, 4 / 6, 4.5 / 6, 5 / 6, 5 / 6]
    with jax.enable_x64(True):
        marginals = FIT(past, past > 0, tails="flat")
        expected = stats.norm.ppf(np.clip(p, c, 1 - c))
        np.testing.assert_allclose(TO(marginals, x)[:, 0], expected)
        z = stats.norm.ppf([1e-9, 1 / 12, 0.2, 0.49, 3.5 / 6, 4.5 / 6, 0.9, 1 - 1e-9])
        found = FROM(marginals, z[:, None])[:, 0]
        np.testing.assert_allclose(found, [1, 1.5, 2, 2, 3.5, 7, 9, 9], atol=1e-6)


def test_an_outlier_is_reached_at_4_and_constants_have_slopes_of_a_hundredth():
    past = np.zeros((100, 3))
    past[:, 0] = [*np.linspace(0, 1, 99), 50]
    past[:, 1] = -5.0
    x = np.array([[50.0, -5, 0], [0.5, -5.05, 0.01], [np.nan, np.nan, np.nan]])
    end = stats.norm.ppf(1 - bound_of(100))
    with jax.enable_x64(True):
        marginals = FIT(past, np.ones_like(past, bool))
        z, slope = TO(marginals, x), np.asarray(LOG_SLOPE(marginals, x))
    # 0.5 is value 49 of 0 to 98, and of all 100 at (49 + 1/2) / 100.
    expected = [[4, 0, 0], [stats.norm.ppf(0.495), -end - 1, end + 1], [np.nan] * 3]
    np.testing.assert_allclose(z, expected, atol=1e-9)
    np.testing.assert_allclose(slope[:2, 1:], np.log([[20, 100]] * 2))
    # From value 97.42 of the 99 on, at 2.04, to 50 at 4.
    edge = (100 * (1 - bound_of(100)) - 0.5) / 98
    assert slope[0, 0] == pytest.approx(np.log((4 - end) / (50 - edge)))
    assert np.isnan(slope[2]).all()


def wild_pasts(series=600, places=12):
    """Of all sizes, with ties, near ties, outliers, holes and nothing at all."""
    draws = [
        RNG.normal(size=(places, series)),
        RNG.integers(-2, 3, (places, series)).astype(float),
        1 + 1e-7 * RNG.integers(0, 3, (places, series)),
        np.where(RNG.random((places, series)) < 0.9, 0, RNG.normal(size=series)[None]),
        RNG.standard_cauchy((places, series)),
    ]
    past = np.choose(RNG.integers(0, 5, (1, series)), draws)
    past = past * 10.0 ** RNG.integers(-6, 7, (1, series)) + RNG.integers(0, 2, series)
    share = RNG.choice([0.0, 0.1, 0.6, 1.0], (1, series))
    return np.where(RNG.random(past.shape) < share, past, np.nan)


def test_linear_tails_climb_and_lead_back_whatever_the_past():
    past = wild_pasts()
    known = np.isfinite(past)
    filled = np.where(known, past, 0.0)
    spread = filled.std(0) + 1e-3 * np.abs(filled).max(0) + 1e-6
    x = (
        filled.mean(0)
        + spread * RNG.normal(size=(30, 600)) * np.logspace(-1, 2, 30)[:, None]
    )
    x = np.sort(np.concatenate([x, filled]), 0)
    with jax.enable_x64(True):
        marginals = FIT(past, known)
        leaves = TO(marginals, x), LOG_SLOPE(marginals, x), TO(marginals, past)
        z, slope, seen = (np.asarray(leaf) for leaf in leaves)
        back = np.asarray(FROM(marginals, z))
        forth = np.asarray(FROM(marginals, np.broadcast_to(Z[:, None], (41, 600))))
        again = np.asarray(TO(marginals, forth))
        steep = np.asarray(LOG_SLOPE(marginals, forth))
    assert np.isfinite(z).all() and np.isfinite(slope).all()
    size = np.abs(x).max(0, keepdims=True)
    assert (np.abs(back - x) <= 1e-12 * size).all()
    climb = np.diff(z, axis=0)
    assert (climb >= 0).all() and (climb[np.diff(x, axis=0) > 1e-12 * size] > 0).all()
    assert np.nanmax(np.abs(seen)) <= 4 + 1e-6
    np.testing.assert_array_equal(np.isnan(seen), ~known)
    # z leads back to itself, but for ties, and where x is rounded too much to tell.
    tied = (forth[:, None] == filled[None]).any(1)
    told = ~tied & (np.exp(steep) * np.abs(forth) < 1e8)
    assert told.mean() > 0.5
    np.testing.assert_allclose(
        again[told], np.broadcast_to(Z[:, None], told.shape)[told], atol=1e-6
    )


def test_linear_tails_treat_up_and_down_alike():
    past, observed = pasts()
    x = 3 * RNG.normal(size=(2, 30, 8))
    with jax.enable_x64(True):
        up, down = FIT(past, observed), FIT(-past, observed)
        np.testing.assert_allclose(TO(down, -x), -TO(up, x), atol=1e-9)


def test_the_past_of_a_normal_becomes_a_standard_normal_and_its_tails_too():
    past = 7 + 3 * stats.norm.ppf((np.arange(200) + 0.5) / 200)[:, None]
    with jax.enable_x64(True):
        marginals = FIT(past, np.ones_like(past, bool))
        z = np.asarray(TO(marginals, past))
        assert z.mean() == pytest.approx(0, abs=1e-9)
        # Beyond the range of the past, which ends at 2.8 standard deviations.
        far = np.array([-6.0, -4, -2, 0, 2, 4, 6])[:, None]
        np.testing.assert_allclose(FROM(marginals, far), 7 + 3 * far, atol=0.2)
        flat = FIT(past, np.ones_like(past, bool), tails="flat")
        assert np.max(FROM(flat, far)) == past.max()


def test_log_slopes_are_derivatives():
    past, observed = pasts()
    x = np.concatenate([3 * RNG.normal(size=(2, 40, 8)), past + 1e-3], 1)
    x = np.nan_to_num(x, nan=0.5)

    def one(marginals, x):
        return jax.grad(lambda x: copula.to_normal(marginals, x).sum())(x)

    with jax.enable_x64(True):
        marginals = FIT(past, observed)
        slopes = jax.jit(one)(marginals, x)
        np.testing.assert_allclose(LOG_SLOPE(marginals, x), np.log(slopes), atol=1e-8)
        z = TO(marginals, x)
        back = jax.jit(jax.grad(lambda z: copula.from_normal(marginals, z).sum()))(z)
        away = ~np.isin(x, past[observed])
        np.testing.assert_allclose((slopes * back)[away], 1, atol=1e-6)


def test_a_density_of_z_becomes_one_of_x():
    past = np.exp(RNG.normal(size=(30, 1)))
    with jax.enable_x64(True):
        marginals = FIT(past, np.ones_like(past, bool))
        grid = np.asarray(FROM(marginals, np.linspace(-6, 6, 200001)[:, None]))
        density = stats.norm.logpdf(TO(marginals, grid)) + LOG_SLOPE(marginals, grid)
    assert np.trapezoid(np.exp(density[:, 0]), grid[:, 0]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("tails", ["linear", "flat"])
def test_float32_is_finite_and_leads_back(tails):
    past, observed = (leaf for leaf in pasts())
    past = past.astype(np.float32)
    marginals = FIT(past, observed, tails=tails)
    z = np.broadcast_to(Z[:, None], (2, 41, 8)).astype(np.float32)
    x = FROM(marginals, z)
    assert np.isfinite(x).all() and np.isfinite(TO(marginals, x)).all()
    if tails == "linear":
        size = 1 + np.abs(x).max(1, keepdims=True)
        np.testing.assert_allclose(
            FROM(marginals, TO(marginals, x)) / size, x / size, atol=1e-5
        )
    # In a scan, as paths are drawn.
    step = functools.partial(copula.from_normal, marginals)
    _, rows = jax.lax.scan(lambda _, z: (0, step(z[:, None])), 0, z.swapaxes(0, 1))
    np.testing.assert_allclose(rows[:, :, 0].swapaxes(0, 1), x, rtol=1e-5, atol=1e-6)
