"""The width model against integrals, loops and planted volatilities."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from common.config import configs
from forecast import train, width
from forecast.config import Config
from forecast.panel.backtest import make_backtest
from forecast.panel.panel import Panel
from forecast.run import prepare
from forecast.step import Learner
from forecast.windows import cut, make_grid, sizes_of
from tests.integration import killing
from tests.integration.test_forecast_resume import SETTINGS

NAN = np.nan
KEYS = jax.random.split(jax.random.key(0), (1, 300))


def config_of(horizon, **changes):
    settings = {
        "model.name": "width",
        "window.horizon": horizon,
        "window.support": "real",
        "window.dequantise": False,
        "backtest.validation": 300,
        "optimizer.learning_rate": 0.01,
        "train.batch_size": 32,
        "train.steps": 60,
        "train.eval_every": 20,
        "train.checkpoint_every": 100,
    }
    return configs.replace(Config(), {**SETTINGS, **settings, **changes})


def window_of(values, horizon, start=None):
    """(config, sizes, the window of a table at a row)."""
    times = pd.date_range("2000-01-01", periods=len(values))
    panel = Panel.of(np.asarray(values, np.float32), times, "D")
    config = config_of(horizon)
    sizes = sizes_of(config, panel)
    rows = jnp.array([len(values) if start is None else start])
    return config, sizes, cut(make_grid(config, sizes, panel), rows, sizes)


def walk_of(rows=400, series=2, seed=0, scale=0.01, correlation=0.0):
    """Walks about 0, so that returns are differences; the seventh row is negative."""
    rng = np.random.default_rng(seed)
    cov = np.full((series, series), correlation) + (1 - correlation) * np.eye(series)
    steps = rng.normal(size=(rows, series)) @ np.linalg.cholesky(cov).T
    walk = np.cumsum(scale * steps, axis=0)
    walk[6] = -abs(walk[6]) - scale
    return walk


def clustered(rows=2400, series=4, seed=0):
    """Prices, and the volatility of each step: bursts that pass within five."""
    rng = np.random.default_rng(seed)
    logs = np.zeros((rows, series))
    for row in range(1, rows):
        logs[row] = 0.87 * logs[row - 1] + 0.6 * rng.normal(size=series)
    steps = 0.01 * np.exp(logs) * rng.normal(size=(rows, series))
    return np.exp(np.cumsum(steps, axis=0)), 0.01 * np.exp(logs)


def params_of(seed=0, scale=0.3):
    """Weights of the network; zeros have factor 1."""
    rng = np.random.default_rng(seed)
    shapes = {"linear": (2, 10), "inner": (2, 10, 16), "outer": (2, 16)}
    return {
        name: (scale * rng.normal(size=shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


@functools.cache
def compiled(sizes, method):
    return jax.jit(functools.partial(width.Width(sizes).apply, method=method))


@functools.partial(jax.jit, static_argnums=1)
def read(window, past):
    """(walk, v, features) of windows."""
    walk = width.make_walk(window.values[:, :past], window.observed[:, :past])
    return walk, *width.features(walk)


def sample(values, horizon, params=None, keys=KEYS, start=None):
    """Paths [S, H, D], and the window that they follow."""
    _, sizes, window = window_of(values, horizon, start)
    params = params or params_of(scale=0.0)
    found = compiled(sizes, "sample")({"params": params}, window, keys)
    return np.asarray(found[0], np.float64), window


def volatility(levels, half_life):
    """Of the last row by a loop, float64 [D]."""
    total = weight = 0.0
    for row in range(1, len(levels)):
        share = 0.5 ** ((len(levels) - 1 - row) / half_life)
        total = total + share * (levels[row] - levels[row - 1]) ** 2
        weight += share
    return np.sqrt(total / weight)


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


def expected_features(values):
    """(v, features) of a history by loops; logarithms where it is positive."""
    levels = np.where((values > 0).all(0), np.log(np.abs(values) + 1e-300), values)
    every = np.stack([volatility(levels, each) for each in (5, 20, 60, 250, 1000)], -1)
    ratios = np.log(every[:, [0, 1, 3, 4]] / every[:, [2]])
    weights = 0.5 ** (np.arange(len(levels))[::-1] / 1000)
    away = np.abs(levels[-1] - weights @ levels / weights.sum())
    distance = np.minimum(away / every[:, 4] / 1000**0.5, 3)
    means = np.broadcast_to(ratios.mean(0), ratios.shape)
    return every[:, 2], np.concatenate([ratios, means, distance[:, None]], -1)


def test_features_by_a_loop():
    """Of a short history, with a series that begins later than the other."""
    history = np.stack([walk_of(120)[:, 0], np.exp(walk_of(120)[:, 1])], 1)
    history[:30, 1] = NAN
    _, sizes, window = window_of(history, 5)
    walk, base, inputs = read(window, sizes.past)
    np.testing.assert_array_equal(walk.logged[0, 0], [False, True])
    alone = [expected_features(history[:, :1]), expected_features(history[30:, 1:])]
    unit = np.abs(history[:, 0]).max()
    expected = [alone[0][0][0] / unit, alone[1][0][0]]
    np.testing.assert_allclose(base[0], expected, rtol=1e-4)
    for series, (_, wanted) in enumerate(alone):
        np.testing.assert_allclose(inputs[0, series, :4], wanted[0, :4], atol=1e-4)
        assert inputs[0, series, 8] == pytest.approx(wanted[0, 8], rel=1e-3)
    means = np.mean([wanted[0, :4] for _, wanted in alone], axis=0)
    np.testing.assert_allclose(
        inputs[0, :, 4:8], np.broadcast_to(means, (2, 4)), atol=1e-4
    )


def test_a_calm_series_counts_as_a_quarter_of_its_returns():
    history = walk_of(1200)
    history[900:, 0] = history[899, 0]
    _, sizes, window = window_of(history, 5)
    _, base, inputs = read(window, sizes.past)
    moves = np.diff(history[-1001:, 0]) / np.abs(history[:, 0]).max()
    assert float(base[0, 0]) == pytest.approx(np.sqrt((moves**2).mean()) / 4, rel=1e-4)
    assert inputs[0, 0, 0] == 0.0  # the volatility of half-life 5 likewise


def test_loss_by_a_loop():
    history = np.concatenate([np.exp(walk_of(90)), walk_of(90, 1)], axis=1)
    history[81, 1] = NAN
    config, sizes, window = window_of(history, 7, start=80)
    params = params_of()
    base, inputs = expected_features(history[:80].astype(np.float32).astype(float))
    totals, weights = np.zeros(3), np.zeros(3)
    for series, number in np.ndindex(3, 3):
        step = (1, 2, 5)[number]
        ends = history[[79, 79 + step], series]
        if np.isnan(ends).any():
            continue
        moved = np.diff(np.log(ends) if series < 2 else ends)[0]
        unit = history[79, series] if series < 2 else 1.0
        for member in range(2):
            x = np.append(inputs[series], 1.0)
            g = x @ params["linear"][member]
            g += np.tanh(x @ params["inner"][member]) @ params["outer"][member]
            s = base[series] * np.exp(2 * np.tanh(g / 2)) * step**0.5
            w = moved / s
            crps = w * (2 * stats.norm.cdf(w) - 1) + 2 * stats.norm.pdf(w)
            totals[number] += unit * s * (crps - np.pi**-0.5) / 2  # of the members
        weights[number] += unit * base[series]
    found = compiled(sizes, "log_prob")({"params": params}, window)
    np.testing.assert_allclose(found.scaled[0], -totals, rtol=1e-3)
    np.testing.assert_allclose(found.series[0], weights, rtol=1e-3)
    learner, panel = Learner(config, sizes), window.observed[:, 1250:]
    assert not panel[0, 1, 1] and found.slope is None
    pairs = learner._pairs(found, {})
    ratio = float(pairs["loss"][0] / pairs["loss"][1])
    assert ratio == pytest.approx(totals.sum() / weights.sum(), rel=1e-3)


def test_paths_know_the_past_alone_and_their_own_key():
    history = walk_of(300)
    params = params_of()
    paths, _ = sample(history[:200], 7, params)
    other = history.copy()
    other[200:] = 99.0
    of_more, _ = sample(other, 7, params, start=200)
    np.testing.assert_allclose(of_more, paths, rtol=1e-5, atol=1e-7)
    turned, _ = sample(history[:200], 7, params, keys=KEYS[:, ::-1])
    np.testing.assert_allclose(turned[::-1], paths, rtol=1e-5, atol=1e-7)
    assert len(np.unique(paths[:, -1, 0])) == 300


def test_paths_are_walks_of_the_width_of_now():
    history = walk_of(700, correlation=-0.6)
    levels = history / np.abs(history).max(0)
    keys = jax.random.split(jax.random.key(1), (1, 1600))
    paths, _ = sample(history, 20, keys=keys)
    start = np.broadcast_to(history[-1], (1600, 1, 2))
    steps = np.diff(np.concatenate([start, paths], axis=1), axis=1)
    steps /= volatility(levels, 60) * np.abs(history).max(0)
    every = np.array([volatility(levels[: row + 1], 60) for row in range(1, 699)])
    moves = np.diff(levels, axis=0)
    least = np.sqrt((moves**2).mean(0)) / 4
    rows = moves / np.concatenate([least[None], np.maximum(every, least)])
    drawn = rows - rows.mean(0)
    drawn /= np.sqrt((drawn**2).mean(0))
    near = np.array(
        [np.abs(part - drawn).max(-1).min(1) for part in steps[:, :3, None]]
    )
    resampled = near.max(1) < 2e-3
    boot, student = steps[resampled], steps[~resampled]
    assert 700 < len(boot) < 900
    gaps = np.abs(boot[:100].reshape(-1, 1, 2) - drawn).max(-1)
    assert gaps.min(1).max() < 2e-3
    assert len(set(gaps.argmin(1))) > 600  # of 699
    np.testing.assert_allclose((boot**2).mean((0, 1)), 1.0, atol=0.05)
    last = rows[-250:]
    planted = (last[:, 0] @ last[:, 1]) / np.sqrt((last**2).sum(0).prod())
    assert np.corrcoef(student.reshape(-1, 2).T)[0, 1] == pytest.approx(
        planted, abs=0.05
    )
    # One chi-square a path: the mean square of 20 steps is (4 - 2) / chi-square, nearly.
    squares = (student[:, :, 0] ** 2).mean(1)
    expected = 2 / stats.chi2(4).ppf([0.75, 0.5, 0.25])
    np.testing.assert_allclose(
        np.quantile(squares, [0.25, 0.5, 0.75]), expected, rtol=0.15
    )
    for half in (boot, student):
        total = half.sum(1) / 20**0.5
        np.testing.assert_allclose(total.mean(0), 0.0, atol=4 / len(half) ** 0.5)


def test_the_factor_scales_the_paths():
    history = walk_of(300)
    params = params_of(scale=0.0)
    params["linear"][:, -1] = 0.7  # of the constant
    plain, wide = (sample(history, 5, p)[0] - history[-1] for p in (None, params))
    np.testing.assert_allclose(wide, plain * np.exp(2 * np.tanh(0.35)), atol=1e-6)


LATE = np.arange(400)[:, None]
AWKWARD = {
    "constant": np.full((400, 2), 3.0),
    "all zero": np.zeros((400, 2)),
    "one constant": np.stack([np.full(400, 0.1), walk_of()[:, 0]], axis=1),
    "NaN block": np.where((LATE > 100) & (LATE < 250), NAN, walk_of()),
    "NaN at both ends": np.where(abs(LATE - 200) > 120, NAN, walk_of()),
    "NaN alone": np.full((400, 2), NAN),
    "one row": np.full((1, 2), 5.0),
    "two rows": np.array([[1.0, 5.0], [2.0, -5.0]]),
    "huge": 1e30 * np.sign(walk_of()),
    "from small to huge": np.geomspace(1e-30, 1e30, 400)[:, None] * np.ones(2),
    "a jump after a peg": np.where(LATE < 390, 1.0, 100.0) * np.ones(2),
}


@pytest.mark.parametrize(
    ("histories", "horizon"),
    [(AWKWARD, 30), ({"one": walk_of(series=1)}, 1), ({"": walk_of(9, 14)}, 1)],
    ids=["two series", "one series", "many series"],
)
def test_no_history_gives_paths_or_losses_that_are_not_finite(histories, horizon):
    def stack(back):
        made = [
            window_of(h, horizon, max(len(h) - back, 0)) for h in histories.values()
        ]
        parts = zip(*(window[:2] for *_, window in made), strict=True)
        values, observed = (jnp.concatenate(part) for part in parts)
        return made[0][1], made[0][2]._replace(values=values, observed=observed)

    sizes, windows = stack(0)
    keys = jnp.broadcast_to(KEYS[:, :5], (len(histories), 5))
    paths = compiled(sizes, "sample")({"params": params_of()}, windows, keys)
    for (case, history), found in zip(histories.items(), paths, strict=True):
        assert found.shape == (5, horizon, history.shape[1])
        assert np.isfinite(found).all(), case
        if case in ("constant", "all zero", "one row"):
            last = np.broadcast_to(history[-1].astype(np.float32), found.shape)
            np.testing.assert_array_equal(found, last)
    sizes, windows = stack(horizon)

    def losses(params):
        found = compiled(sizes, "log_prob")({"params": params}, windows)
        return found.scaled.sum(1) / jnp.maximum(found.series.sum(1), 1e-35)

    values, pull = jax.vjp(losses, params_of())
    for case, value in zip(histories, values, strict=True):
        assert np.isfinite(value), case
    for row, case in enumerate(histories):
        (slopes,) = pull(jnp.zeros_like(values).at[row].set(1))
        assert all(np.isfinite(leaf).all() for leaf in slopes.values()), case


def train_on(history, folder, **changes):
    """(run, params of the best state, what was said) of a short training."""
    times = pd.date_range("2000-01-01", periods=len(history))
    backtest = make_backtest(Panel.of(history.astype(np.float32), times, "D"), 2, 5)
    run, said = prepare(config_of(2, **changes), backtest), []
    state = train.train(run, folder, said.append)
    return run, run.execution.to_host(state.params), said


def test_planted_volatility_is_learned(tmp_path):
    run, params, said = train_on(clustered()[0], tmp_path)
    assert not said
    history, planted = clustered(seed=1)
    times = pd.date_range("2000-01-01", periods=len(history))
    panel = Panel.of(history.astype(np.float32), times, "D")
    sizes = run.learner.sizes
    starts = np.arange(1300, 2390, 10)
    window = cut(make_grid(run.config, sizes, panel), jnp.array(starts), sizes)
    _, base, inputs = read(window, sizes.past)
    network = width.Width(sizes)
    logs = network.apply({"params": params}, inputs, method="log_factors").mean(0)
    true = np.log(planted[starts] / base)
    assert np.corrcoef(np.ravel(logs), np.ravel(true))[0, 1] > 0.4
    losses = [
        compiled(sizes, "log_prob")({"params": each}, window).scaled.sum()
        for each in (params, params_of(scale=0.0))
    ]
    assert losses[0] > 0.92 * losses[1]  # both are below 0


def test_validation_may_like_the_first_state_best(tmp_path):
    wrong = {"optimizer.learning_rate": 1.0, "train.steps": 1}
    _, params, said = train_on(clustered()[0], tmp_path, **wrong)
    assert not params["linear"].any() and not params["outer"].any()
    assert "nothing better than the walk as it begins" in said[0]


def test_a_run_that_goes_on_leaves_no_trace(tmp_path):
    history, few = walk_of(500), {"train.eval_every": 2, "train.log_every": 2}
    for steps in (2, 4):
        train_on(history, tmp_path / "continued", **{**few, "train.steps": steps})
    train_on(history, tmp_path / "whole", **{**few, "train.steps": 4})
    expected = killing.fingerprint(tmp_path / "whole")
    assert expected["train/latest"]["step"] == 4
    assert killing.fingerprint(tmp_path / "continued") == expected
