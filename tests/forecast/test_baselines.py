"""Baselines against moments, loops and figures that are known."""

import gzip
import pathlib
import sys

import numpy as np
import pytest

from common.errors import UserError
from forecast import baselines, metrics
from forecast.baselines.autoregression import lagged, ridge
from forecast.baselines.history import fill

EXCHANGE = pathlib.Path("../shared/data/time_series/exchange_rate.txt.gz")
NAN = np.nan


def simulate(name, history, horizon=3, paths=5, season=4, seed=0):
    if name in baselines.NEED_STATSMODELS:
        pytest.importorskip("statsmodels")
    rng = np.random.default_rng(seed)
    return baselines.simulate(name, history, horizon, paths, rng, season)


def walk_of(steps=400, correlation=0.8, seed=0):
    """Two walks of correlated steps; the first is positive."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky([[1, correlation], [correlation, 1]])
    levels = np.cumsum(rng.normal(size=(steps, 2)) @ root.T, axis=0)
    return np.stack([np.exp(0.01 * levels[:, 0]), levels[:, 1] - 3.0], axis=1)


def returns_of(history, paths):
    """Returns of the paths of `walk_of`: of logarithms, and differences."""
    start = np.broadcast_to(history[-1], (len(paths), 1, 2))
    whole = np.concatenate([start, paths], axis=1)
    whole = np.stack([np.log(whole[..., 0]), whole[..., 1]], axis=-1)
    return np.diff(whole, axis=1)


def rows_of(history):
    return np.diff(np.stack([np.log(history[:, 0]), history[:, 1]], axis=1), axis=0)


def positions(drawn, rows):
    """Where each drawn row [.., D] stands among rows [n, D]; fails where it does not."""
    gaps = np.abs(drawn.reshape(-1, 1, drawn.shape[-1]) - rows).max(-1)
    assert gaps.min(1).max() < 1e-9
    return gaps.argmin(1).reshape(drawn.shape[:-1])


AWKWARD = {
    "constant": np.full((40, 2), 3.0),
    "all zero": np.zeros((40, 2)),
    "one constant": np.stack([np.full(40, 0.1), np.arange(40) % 7], axis=1),
    "NaN block": np.where(
        (np.arange(40)[:, None] > 9) & (np.arange(40)[:, None] < 25), NAN, walk_of(40)
    ),
    "NaN at both ends": np.where(
        np.abs(np.arange(40)[:, None] - 20) > 12, NAN, walk_of(40)
    ),
    "NaN alone": np.full((40, 2), NAN),
    "a series of NaN": np.stack([np.full(40, NAN), np.arange(40.0)], axis=1),
    "infinite": np.where(np.arange(40)[:, None] == 7, np.inf, walk_of(40)),
    "no row": np.zeros((0, 2)),
    "one row": np.full((1, 2), 5.0),
    "two rows": np.array([[1.0, 5.0], [2.0, -5.0]]),
    "three rows": np.array([[1.0, 5.0], [2.0, -5.0], [4.0, 0.0]]),
    "a season": walk_of(4),
    "a season and a row": walk_of(5),
    "twelve rows": walk_of(12),
    "one series": walk_of(60)[:, :1],
    "counts": np.random.default_rng(0).poisson(0.2, (60, 3)).astype(float),
    "huge": 1e300 * walk_of(60),
    "from small to huge": np.geomspace(1e-300, 1e300, 60)[:, None] * np.ones(2),
    "many series": np.random.default_rng(0).normal(size=(12, 14)),
}


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_no_history_gives_paths_that_are_not_finite(name):
    slow = name in baselines.NEED_STATSMODELS  # a fit a series
    for case, history in AWKWARD.items():
        if slow and case == "many series":
            continue
        kept = history.copy()
        paths = simulate(name, history)
        assert paths.shape == (5, 3, history.shape[1]), case
        assert paths.dtype == np.float64 and np.isfinite(paths).all(), case
        np.testing.assert_array_equal(history, kept)
        if slow:
            continue
        one = simulate(name, history, horizon=1, paths=1, season=1)
        assert one.shape == (1, 1, history.shape[1]) and np.isfinite(one).all(), case
    for case in ("constant", "all zero", "one row"):
        history = AWKWARD[case]
        paths = simulate(name, history, horizon=9)
        np.testing.assert_allclose(paths, np.broadcast_to(history[-1], paths.shape))


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_paths_are_a_function_of_the_history_and_the_draws(name):
    history = walk_of(80)
    paths = simulate(name, history)
    np.testing.assert_array_equal(paths, simulate(name, history))
    assert np.abs(paths - simulate(name, history, seed=1)).max() > 1e-6
    assert (paths[..., 0] > 0).all()  # a positive series stays so


def test_missing_values_are_carried_forward():
    history = np.array([[NAN, 1.0, NAN], [2.0, NAN, NAN], [NAN, np.inf, NAN]])
    expected = [[2, 1, 0], [2, 1, 0], [2, 1, 0]]
    np.testing.assert_array_equal(fill(history), expected)


@pytest.mark.parametrize(
    "name", ["gaussian_walk", "bootstrap_walk", "filtered_bootstrap"]
)
def test_walks_have_the_planted_correlation_and_no_drift(name):
    history = walk_of(2000, correlation=-0.6)
    drawn = returns_of(history, simulate(name, history, horizon=10, paths=4000))
    rows = rows_of(history)[-1000:]
    planted = np.corrcoef(rows.T)[0, 1]
    for lag in range(3):
        across = np.corrcoef(drawn[:, lag].T)[0, 1]
        assert across == pytest.approx(planted, abs=0.08)
    before, after = drawn[:, :-1].reshape(-1, 2), drawn[:, 1:].reshape(-1, 2)
    assert np.abs(np.corrcoef(before.T, after.T)[:2, 2:]).max() < 0.03
    error = drawn.std((0, 1)) / np.sqrt(40_000)
    assert (np.abs(drawn.mean((0, 1))) < 4 * error).all()


def test_the_gaussian_walk_has_the_moments_of_the_window():
    history = walk_of()
    rng = np.random.default_rng(0)
    paths = baselines.gaussian_walk(history, 4, 20_000, rng, window=50)
    drawn, rows = returns_of(history, paths), rows_of(history)[-50:]
    expected = rows.T @ rows / 50
    found = np.einsum("shi,shj->ij", drawn, drawn) / (4 * 20_000)
    np.testing.assert_allclose(found, expected, rtol=0.05)
    kurtosis = (drawn**4).mean((0, 1)) / (drawn**2).mean((0, 1)) ** 2
    np.testing.assert_allclose(kurtosis, 3, atol=0.15)
    variance = (np.log(paths[..., 0] / history[-1, 0]) ** 2).mean(0)
    np.testing.assert_allclose(variance, expected[0, 0] * np.arange(1, 5), rtol=0.07)


def test_the_bootstrap_walk_draws_rows_of_the_window():
    history = walk_of()
    rng = np.random.default_rng(0)
    paths = baselines.bootstrap_walk(history, 5, 60, rng, window=30)
    rows = rows_of(history)[-30:]
    where = positions(returns_of(history, paths), rows - rows.mean(0))
    assert set(where.ravel()) == set(range(30))


def test_the_filtered_bootstrap_follows_its_recursion():
    history = walk_of(120)
    history[60:, 1] *= 3  # another volatility
    rng = np.random.default_rng(0)
    paths = baselines.filtered_bootstrap(history, 5, 60, rng, half_life=5, window=40)
    rows, keep = rows_of(history), 0.5 ** (1 / 5)
    variance = (rows[:5] ** 2).mean(0)
    standard = []
    for row in rows:
        standard.append(row / np.sqrt(variance))
        variance = keep * variance + (1 - keep) * row**2
    last = np.array(standard[-40:])
    expected = (last - last.mean(0)) * np.sqrt(variance)
    where = positions(returns_of(history, paths), expected)
    assert set(where.ravel()) == set(range(40))


def test_a_pegged_series_that_jumped_stays_within_bounds():
    history = np.ones((400, 1))
    history[200:] = 1.2
    history[210:] += 1e-9 * np.arange(190)[:, None] % 3e-9
    paths = simulate("filtered_bootstrap", history, horizon=30, paths=200)
    assert 0.5 < paths.min() and paths.max() < 2.4


def test_resampled_values_are_rows_of_the_window():
    history = walk_of(60)
    paths = simulate("resampled_values", history, horizon=8, paths=40)
    assert set(positions(paths, history[-26:]).ravel()) == set(range(26))


def test_a_season_that_repeats_is_repeated():
    pattern = np.array([[1.0, -4.0], [5.0, 2.0], [3.0, 0.0]])
    history = np.tile(pattern, (6, 1))
    for name in ("seasonal_naive", "log_seasonal"):
        paths = simulate(name, history, horizon=7, season=3)
        expected = np.tile(pattern, (3, 1))[:7]
        np.testing.assert_allclose(paths, np.broadcast_to(expected, paths.shape))
    # Each season 2 more; each season twice as much.
    more = history + 2 * np.repeat(np.arange(6), 3)[:, None]
    paths = simulate("seasonal_naive", more, horizon=7, season=3)
    np.testing.assert_allclose(paths[4], np.tile(pattern, (3, 1))[:7] + MORE[:, None])
    twice = history[:, :1] * np.repeat(2.0 ** np.arange(6), 3)[:, None]
    paths = simulate("log_seasonal", twice, horizon=7, season=3)
    factor = 2.0 ** (MORE / 2)
    np.testing.assert_allclose(paths[4, :, 0], np.tile(pattern[:, 0], 3)[:7] * factor)


MORE = np.array([12.0, 12, 12, 14, 14, 14, 16])


def test_seasonal_errors_are_rows_that_follow_each_other():
    history = walk_of(50)
    paths = simulate("seasonal_naive", history, horizon=8, paths=200)
    errors = history[4:] - history[:-4]
    first = positions(paths[:, :4] - history[-4:], errors)
    assert (np.diff(first, axis=1) % len(errors) == 1).all()
    second = positions(paths[:, 4:] - paths[:, :4], errors)
    assert (np.diff(second, axis=1) % len(errors) == 1).all()
    assert len(set(first[:, 0])) > 40 and (first[:, 0] != second[:, 0]).any()


def test_growth_is_of_the_last_five_seasons():
    history = np.exp(np.cumsum(np.random.default_rng(0).normal(size=(60, 2)), axis=0))
    paths = simulate("log_seasonal", history, paths=200)
    growth = np.log(history[4:] / history[:-4])
    where = positions(np.log(paths / history[-4:-1]), growth)
    assert (
        set(where.ravel()) <= set(range(56 - 20, 56)) and len(set(where.ravel())) > 15
    )


def test_ridge_minimises_generalised_cross_validation():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(40, 6)), rng.normal(size=(40, 3))
    y = x @ rng.normal(size=(6, 3)) * 0.3 + noise

    def fit(penalty, rows):
        normal = x[rows].T @ x[rows] + penalty * np.eye(6)
        return np.linalg.solve(normal, x[rows].T @ y[rows])

    def criterion(penalty):
        hat = x @ np.linalg.inv(x.T @ x + penalty * np.eye(6)) @ x.T
        return 40 * ((y - hat @ y) ** 2).sum() / (40 - np.trace(hat)) ** 2

    penalties = [40 * 10.0**k for k in range(-3, 5)]
    chosen = min(penalties, key=criterion)
    assert penalties[0] < chosen < penalties[-1]
    weights, residuals = ridge(x, y)
    everything = np.arange(40)
    np.testing.assert_allclose(weights, fit(chosen, everything), rtol=1e-9)
    left_out = [y[i] - x[i] @ fit(chosen, everything != i) for i in everything]
    np.testing.assert_allclose(residuals, left_out, rtol=1e-9)
    weights, residuals = ridge(x, 0 * y)
    assert not weights.any() and not residuals.any()


def test_the_autoregression_of_more_series_than_rows_is_not_too_sure():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(90, 100))
    for t in range(1, 90):
        rows[t] += 0.8 * rows[t - 1]
    history = np.cumsum(rows, axis=0)
    inside = []
    for end in range(70, 90):
        paths = baselines.vector_autoregression(history[:end], 1, 200, rng)
        low, high = np.quantile(paths[:, 0], [0.1, 0.9], axis=0)
        inside.append(np.mean((low < history[end]) & (history[end] < high)))
    assert 0.6 < np.mean(inside) < 0.9  # not far from .8


def test_lags_stand_latest_first():
    rows = np.arange(10.0).reshape(5, 2)
    expected = [[2, 3, 0, 1], [4, 5, 2, 3], [6, 7, 4, 5]]
    np.testing.assert_array_equal(lagged(rows, 2), expected)


@pytest.mark.parametrize("lags", [1, 2])
def test_the_autoregression_finds_what_was_planted(lags):
    rng = np.random.default_rng(0)
    planted = np.array([[0.0, 0.9], [-0.5, 0.0]])
    rows = rng.normal(size=(1200, 2))
    for t in range(lags, len(rows)):
        rows[t] += rows[t - lags] @ planted
    rows[-lags] = (3.0, -2.0)
    history = np.cumsum(rows, axis=0) - 1e6
    paths = baselines.vector_autoregression(history, 3, 4000, rng, lags=lags)
    steps = np.diff(paths, axis=1, prepend=np.broadcast_to(history[-1], (4000, 1, 2)))
    expected = rows[-lags] @ planted
    np.testing.assert_allclose(steps[:, 0].mean(0), expected, atol=0.25)
    np.testing.assert_allclose(steps[:, 0].std(0), 1, atol=0.1)
    if lags == 1:
        np.testing.assert_allclose(steps[:, 1].mean(0), expected @ planted, atol=0.3)


def test_an_autoregression_that_explodes_stays_within_the_returns_seen():
    rng = np.random.default_rng(0)
    steps = 1.5 ** np.arange(40.0) + 0.01 * rng.normal(size=40)
    history = np.cumsum(steps)[:, None] - 1e9
    paths = baselines.vector_autoregression(history, 3000, 5, rng)
    assert np.diff(paths, axis=1).max() < 2 * steps.max()


def test_the_autoregression_of_a_walk_is_a_walk():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(600, 20))
    fitted, _ = ridge(lagged(rows, 1), rows[1:])
    free, *_ = np.linalg.lstsq(lagged(rows, 1), rows[1:])
    assert np.abs(fitted).max() < 0.3 * np.abs(free).max()


def test_the_exchange_rates_have_the_published_floors():
    """Means of five seeds, noted when the benchmark's files were read."""
    if not EXCHANGE.exists():
        pytest.skip("needs ../shared/data")
    with gzip.open(EXCHANGE, "rt") as file:
        rates = np.loadtxt(file, delimiter=",")
    ends = [6101, 6131, 6161, 6191, 6221]
    targets = np.stack([rates[end - 30 : end] for end in ends])
    floors = {
        "gaussian_walk": (0.00694, 0.00504),
        "bootstrap_walk": (0.00712, 0.00514),
        "seasonal_naive": (0.00822, 0.00610),
    }
    for name, floor in floors.items():
        found = []
        for seed in range(3):
            rng = np.random.default_rng(seed)
            paths = np.stack(
                [
                    baselines.simulate(name, rates[: end - 30], 30, 100, rng, 5)
                    for end in ends
                ]
            )
            scores = metrics.crps, metrics.crps_sum
            found.append([score(paths, targets).mean for score in scores])
        assert np.mean(found, 0) == pytest.approx(floor, rel=0.03), name


def test_smoothing_goes_on_as_statsmodels_says():
    holt = pytest.importorskip("statsmodels.tsa.holtwinters")
    rng = np.random.default_rng(0)
    step = np.arange(90.0)
    wave = 3 * np.sin(2 * np.pi * step / 6)
    noise = rng.normal(size=90)
    history = np.stack([step + wave + noise - 40, step + wave + 2 * noise - 40], axis=1)
    paths = simulate("ets", history, horizon=6, paths=4000, season=6)
    for series in range(2):
        fitted = holt.ExponentialSmoothing(
            history[:, series],
            trend="add",
            damped_trend=True,
            seasonal="add",
            seasonal_periods=6,
            initialization_method="heuristic",
        ).fit()
        spread = paths[..., series].std(0)
        shift = paths[..., series].mean(0) - fitted.forecast(6)
        assert (np.abs(shift) < 0.05 * spread).all()
        assert 0.8 < spread[0] / np.std(fitted.resid) < 1.2
    # The noise is shared, and rows of errors are drawn together.
    assert np.corrcoef(paths[:, 0].T)[0, 1] > 0.95


def test_theta_has_the_forecast_of_statsmodels_and_its_own_errors():
    module = pytest.importorskip("statsmodels.tsa.forecasting.theta")
    rng = np.random.default_rng(0)
    history = 50 + np.cumsum(rng.normal(0.3, 1, 80)) + rng.normal(0, 1, 80)
    paths = simulate("theta", history[:, None], horizon=5, paths=20_000, season=1)
    fitted = module.ThetaModel(np.log(history), period=1, deseasonalize=False).fit()
    found = np.log(paths[..., 0])
    np.testing.assert_allclose(found.mean(0), fitted.forecast(5), atol=0.002)
    variance = fitted.sigma2 * (1 + np.arange(5) * fitted.params["alpha"] ** 2)
    np.testing.assert_allclose(found.var(0), variance, rtol=0.05)
    bounds = fitted.prediction_intervals(1, alpha=0.2).to_numpy()[0]
    np.testing.assert_allclose(np.quantile(found[:, 0], [0.1, 0.9]), bounds, rtol=1e-3)


@pytest.mark.parametrize("name", baselines.NEED_STATSMODELS)
def test_statsmodels_is_asked_for_by_the_name_of_its_extra(name, monkeypatch):
    for module in [m for m in sys.modules if m.startswith("statsmodels")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "statsmodels", None)
    with pytest.raises(UserError, match=r"pip install -e '.\[rivals\]'"):
        baselines.simulate(name, walk_of(40), 3, 5, np.random.default_rng(0), 4)
