"""The width model against integrals, loops and planted volatilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from forecast import width
from forecast.baselines.history import levels_of

NAN = np.nan
STILL = width.fit(np.zeros((3, 1)), 1, 1, 0)  # factor 1


def walk_of(rows=400, series=2, seed=0, scale=0.01, correlation=0.0):
    """Walks about 0, so that returns are differences; the seventh row is negative."""
    rng = np.random.default_rng(seed)
    cov = np.full((series, series), correlation) + (1 - correlation) * np.eye(series)
    steps = rng.normal(size=(rows, series)) @ np.linalg.cholesky(cov).T
    walk = np.cumsum(scale * steps, axis=0)
    walk[6] = -abs(walk[6]) - scale
    return walk


def clustered(rows=1500, series=4, seed=0):
    """Prices, and the volatility of each step: bursts that pass within five."""
    rng = np.random.default_rng(seed)
    logs = np.zeros((rows, series))
    for row in range(1, rows):
        logs[row] = 0.87 * logs[row - 1] + 0.6 * rng.normal(size=series)
    steps = 0.01 * np.exp(logs) * rng.normal(size=(rows, series))
    return np.exp(np.cumsum(steps, axis=0)), 0.01 * np.exp(logs)


@pytest.fixture(scope="module")
def fitted():
    return width.fit(clustered()[0], 2, 300, 0)


def params_of(seed=0):
    """Weights that are not 0."""
    rng = np.random.default_rng(seed)
    start = width.init(jax.random.key(0))
    return jax.tree.map(
        lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape), jnp.float32), start
    )


def volatilities(values, half_life):
    """Of each row by a loop, float64 [T, D]; 0 at the first."""
    keep, found = 0.5 ** (1 / half_life), np.zeros(values.shape)
    for row in range(1, len(values)):
        shares = keep ** np.arange(row)
        squares = np.diff(values[: row + 1], axis=0)[::-1] ** 2
        found[row] = np.sqrt(shares @ squares / shares.sum())
    return found


@pytest.mark.parametrize(("scale", "outcome"), [(1, 0), (0.5, -1.3), (2, 7), (3, 0.1)])
def test_crps_is_the_integral_of_squared_distances_of_distributions(scale, outcome):
    def below(x):
        return stats.norm.cdf(x, scale=scale) ** 2

    def above(x):
        return stats.norm.sf(x, scale=scale) ** 2

    expected = integrate.quad(below, -40, outcome)[0]
    expected += integrate.quad(above, outcome, 40)[0]
    found = width.gaussian_crps(jnp.float32(scale), jnp.float32(outcome))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_features_by_a_loop():
    history = walk_of(120)
    levels = levels_of(history)
    base, inputs = width.features(levels)
    shares = history / levels.units
    every = [volatilities(shares, each) for each in (5, 20, 250, 1000)]
    expected = volatilities(shares, 60)
    np.testing.assert_allclose(base[50:], expected[50:], rtol=1e-10)
    ratios = np.log(np.stack(every, -1)[50:] / expected[50:, :, None])
    assert inputs.shape == (120, 2, 9) and inputs.dtype == np.float32
    np.testing.assert_allclose(inputs[50:, :, :4], ratios, atol=1e-5)
    for series in range(2):
        np.testing.assert_allclose(
            inputs[50:, series, 4:8], ratios.mean(1), rtol=1e-4, atol=1e-5
        )
    weights = 0.5 ** (np.arange(120) / 1000)
    mean = weights @ shares[::-1] / weights.sum()
    distance = np.abs(shares[-1] - mean) / every[-1][-1] / 1000**0.5
    np.testing.assert_allclose(inputs[-1, :, 8], distance, rtol=1e-4)


def test_features_are_of_the_past_and_of_sizes_alone():
    history = walk_of(300)
    base, inputs = width.features(levels_of(history))
    of_past = width.features(levels_of(history[:200]))
    units = levels_of(history).units / levels_of(history[:200]).units
    np.testing.assert_allclose(base[100:200] * units, of_past[0][100:], rtol=1e-9)
    np.testing.assert_allclose(inputs[100:200], of_past[1][100:], atol=1e-6)
    turned = width.features(levels_of(-history))
    np.testing.assert_array_equal(base, turned[0])
    np.testing.assert_array_equal(inputs, turned[1])


def test_a_calm_series_counts_as_a_quarter_of_its_returns():
    history = walk_of(1200)
    history[900:, 0] = history[899, 0]
    levels = levels_of(history)
    base, inputs = width.features(levels)
    size = np.sqrt(np.mean(np.diff(levels.values[-1001:, 0]) ** 2))
    assert base[-1, 0] == pytest.approx(size / 4)
    assert inputs[-1, 0, 0] == 0.0  # the volatility of half-life 5 likewise


def test_examples_by_hand():
    history = np.stack([np.exp(walk_of(80)[:, 0]), np.full(80, 5.0)], axis=1)
    history[40, 0] = NAN
    found = width.make_examples(history, 7)
    assert found.outcomes.shape == (80, 3, 2)  # 1, 2 and 5 steps
    base, _ = width.features(levels_of(history))
    moved = (np.log(history[55, 0]) - np.log(history[50, 0])) / base[50, 0]
    assert found.outcomes[50, 2, 0] == pytest.approx(moved, rel=1e-5)
    missing = np.isnan(found.outcomes[:, :, 0])
    for number, step in enumerate((1, 2, 5)):
        expected = {40, 40 - step, *range(80 - step, 80)}
        assert set(np.flatnonzero(missing[:, number])) == expected
    assert (found.weights[:, 1] == 0).all()
    assert found.weights.mean() == pytest.approx(1.0, rel=1e-5)
    ratio = history[70, 0] * base[70, 0] / (history[20, 0] * base[20, 0])
    assert found.weights[70, 0] / found.weights[20, 0] == pytest.approx(ratio, rel=1e-5)


def test_loss_by_a_loop():
    history = walk_of(60, 3)
    history[30:34, 1] = NAN
    batch = width.Examples(*(part[20:50] for part in width.make_examples(history, 5)))
    params = params_of()
    total = weight = 0.0
    for row in range(30):
        for series in range(3):
            inputs = [*batch.features[row, series].astype(np.float64), 1.0]
            hidden = np.tanh(inputs @ np.asarray(params["inner"]))
            g = inputs @ np.asarray(params["linear"]) + hidden @ params["outer"]
            for number, step in enumerate((1, 2, 5)):
                outcome = batch.outcomes[row, number, series]
                if np.isfinite(outcome):
                    s = np.exp(2 * np.tanh(g / 2)) * step**0.5
                    w = outcome / s
                    crps = w * (2 * stats.norm.cdf(w) - 1) + 2 * stats.norm.pdf(w)
                    total += batch.weights[row, series] * s * (crps - np.pi**-0.5)
                    weight += batch.weights[row, series]
    assert float(width.loss(params, batch)) == pytest.approx(total / weight, rel=1e-4)
    gradient = jax.jit(jax.grad(width.loss))(params, batch)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient))


def test_the_state_is_the_best_of_validation_and_a_function_of_the_seed(fitted):
    history, _ = clustered()
    examples = width.make_examples(history, 2)
    valid = width.Examples(*(part[1199:1498] for part in examples))
    assert fitted.validation.shape == (61, 2) and fitted.steps[-1] == 600
    assert fitted.validation[0, 0] == fitted.validation[0, 1]
    for member in range(2):
        params = jax.tree.map(lambda leaf, at=member: leaf[at], fitted.params)
        lowest = fitted.validation[:, member].min()
        assert float(width.loss(params, valid)) == pytest.approx(lowest, rel=1e-5)
    again = width.fit(history, 2, 300, 0)
    np.testing.assert_array_equal(fitted.validation, again.validation)
    other = width.fit(history, 2, 300, 1)
    assert (fitted.validation[1:] != other.validation[1:]).any()


def test_planted_volatility_is_learned(fitted):
    history, planted = clustered(seed=1)
    examples = width.make_examples(history, 2)
    rows = slice(100, 1400)
    later = width.Examples(*(part[rows] for part in examples))
    ones = jax.tree.map(jnp.zeros_like, params_of())
    logs = jax.vmap(width.log_factor, (0, None))(fitted.params, later.features).mean(0)
    base, _ = width.features(levels_of(history))
    true = np.log(planted[101:1401] / base[rows])
    assert np.corrcoef(logs.ravel(), true.ravel())[0, 1] > 0.4
    for member in range(2):
        params = jax.tree.map(lambda leaf, at=member: leaf[at], fitted.params)
        assert width.loss(params, later) < 0.92 * width.loss(ones, later)


@pytest.mark.parametrize(("seen", "learned"), [([1198], False), ([1197, 1199], True)])
def test_nothing_is_learned_from_rows_of_validation(seen, learned):
    history, _ = clustered()
    kept = history[seen]
    history[:1200] = NAN
    history[seen] = kept
    found = width.fit(history, 2, 300, 0)
    assert (np.ptp(found.validation[1:]) > 0) == learned


@pytest.mark.parametrize(
    ("rows", "horizon", "validation"), [(0, 1, 5), (1, 30, 0), (160, 1, 1), (400, 7, 4)]
)
def test_too_few_rows_leave_factor_1(rows, horizon, validation):
    found = width.fit(walk_of(400)[:rows], horizon, validation, 0)
    assert found.steps.shape == (0,) and found.validation.shape == (0, 2)
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(5, 9)), jnp.float32)
    logs = jax.vmap(width.log_factor, (0, None))(found.params, inputs)
    np.testing.assert_array_equal(logs, 0.0)


def test_paths_are_walks_of_the_width_of_now():
    history = walk_of(700, correlation=-0.6)
    levels = levels_of(history)
    base, _ = width.features(levels)
    paths = width.simulate(STILL, history, 40, 4000, np.random.default_rng(0))
    start = np.broadcast_to(history[-1], (4000, 1, 2))
    steps = np.diff(np.concatenate([start, paths], axis=1), axis=1)
    steps /= base[-1] * levels.units
    rows = np.diff(levels.values, axis=0) / base[:-1]
    drawn = rows - rows.mean(0)
    drawn /= np.sqrt((drawn**2).mean(0))
    boot, student = steps[::2], steps[1::2]
    gaps = np.abs(boot[:50].reshape(-1, 1, 2) - drawn).max(-1)
    assert gaps.min(1).max() < 1e-9
    assert len(set(gaps.argmin(1))) > 600  # of 699
    np.testing.assert_allclose((boot**2).mean((0, 1)), 1.0, atol=0.02)
    last = rows[-250:]
    planted = (last[:, 0] @ last[:, 1]) / np.sqrt((last**2).sum(0).prod())
    assert np.corrcoef(student.reshape(-1, 2).T)[0, 1] == pytest.approx(
        planted, abs=0.03
    )
    # One chi-square a path: the mean square of 40 steps is (4 - 2) / chi-square, nearly.
    squares = (student[:, :, 0] ** 2).mean(1)
    expected = 2 / stats.chi2(4).ppf([0.75, 0.5, 0.25])
    np.testing.assert_allclose(
        np.quantile(squares, [0.25, 0.5, 0.75]), expected, rtol=0.1
    )
    for half in (boot, student):
        total = half.sum(1) / 40**0.5
        np.testing.assert_allclose(total.mean(0), 0.0, atol=4 / len(half) ** 0.5)


def test_the_factor_scales_the_paths():
    history = walk_of(300)
    linear = STILL.params["linear"].copy()
    linear[:, -1] = 0.7  # of the constant
    wider = STILL._replace(params=STILL.params | {"linear": linear})
    plain, wide = (
        width.simulate(each, history, 5, 9, np.random.default_rng(3)) - history[-1]
        for each in (STILL, wider)
    )
    np.testing.assert_allclose(wide, plain * np.exp(2 * np.tanh(0.35)), rtol=1e-5)


def test_no_history_gives_paths_that_are_not_finite(fitted):
    late = np.arange(400)[:, None]
    cases = {
        "constant": np.full((400, 2), 3.0),
        "all zero": np.zeros((400, 2)),
        "one constant": np.stack([np.full(400, 0.1), walk_of()[:, 0]], axis=1),
        "NaN block": np.where((late > 100) & (late < 250), NAN, walk_of()),
        "NaN at both ends": np.where(abs(late - 200) > 120, NAN, walk_of()),
        "NaN alone": np.full((400, 2), NAN),
        "infinite": np.where(late == 7, np.inf, walk_of()),
        "no row": np.zeros((0, 2)),
        "one row": np.full((1, 2), 5.0),
        "two rows": np.array([[1.0, 5.0], [2.0, -5.0]]),
        "one series": walk_of()[:, :1],
        "counts": np.random.default_rng(0).poisson(0.2, (400, 2)).astype(float),
        "huge": 1e300 * walk_of(),
        "from small to huge": np.geomspace(1e-300, 1e300, 400)[:, None] * np.ones(2),
        "a jump after a peg": np.where(late < 390, 1.0, 100.0) * np.ones(2),
        "many series": np.random.default_rng(0).normal(size=(12, 14)),
    }
    for case, history in cases.items():
        kept = history.copy()
        for model, horizon, paths in ((fitted, 30, 5), (STILL, 1, 1)):
            rng = np.random.default_rng(0)
            found = width.simulate(model, history, horizon, paths, rng)
            assert found.shape == (paths, horizon, history.shape[1]), case
            assert found.dtype == np.float64 and np.isfinite(found).all(), case
            if case in ("constant", "all zero", "one row"):
                np.testing.assert_allclose(
                    found, np.broadcast_to(history[-1], found.shape)
                )
        np.testing.assert_array_equal(history, kept)


@pytest.mark.parametrize(
    "history",
    [
        np.full((300, 2), 3.0),
        np.full((300, 2), NAN),
        np.stack([np.zeros(300), 1e300 * walk_of(300)[:, 0]], axis=1),
    ],
    ids=["constant", "NaN alone", "zeros beside huge"],
)
def test_no_history_gives_weights_that_are_not_finite(history):
    found = width.fit(history, 1, 60, 0)
    assert len(found.steps) and np.isfinite(found.validation).all()
    assert all(np.isfinite(leaf).all() for leaf in found.params.values())
