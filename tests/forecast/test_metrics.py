"""Scores against loops that follow their formulas, and against GluonTS' own numbers."""

import json
import math
import pathlib

import numpy as np
import pytest

from forecast import metrics
from forecast.scores.joint import draw_pairs
from forecast.scores.marginal import naive_scale

STORED = pathlib.Path(__file__).with_name("fixtures") / "gluonts_scores.json"
SEASON = 2


def draw(windows=3, paths=7, steps=4, series=3, missing=False, seed=0):
    """History [T, D], paths [W, S, H, D], targets [W, H, D]."""
    rng = np.random.default_rng(seed)
    scale = 5.0 ** np.arange(series)
    history = scale * rng.normal(1, 1, (11, series))
    forecasts = scale * rng.normal(1, 1, (windows, paths, steps, series))
    targets = scale * rng.normal(1, 1, (windows, steps, series))
    if missing:
        targets[rng.random(targets.shape) < 0.3] = np.nan
        targets[1, 2] = np.nan  # a step of which nothing is observed
        history[3] = np.nan
    return history, forecasts, targets


def means_of(paths, targets, history, season):
    tables = metrics.score(paths, targets, history, season)
    return {name: table.mean for name, table in tables.items()}


def quantile(values, level):
    return sorted(values)[round((len(values) - 1) * level)]  # Python: halves to even


def quantile_loss(values, y):
    losses = []
    for level in np.arange(1, 20) / 20:
        f = quantile(values, level)
        losses.append(2 * abs((f - y) * ((y <= f) - level)))
    return sum(losses) / 19


def entries(paths, targets):
    """Samples, target and place of each observed value."""
    for w, h, d in np.ndindex(targets.shape):
        if not math.isnan(targets[w, h, d]):
            yield list(paths[w, :, h, d]), targets[w, h, d], (w, h, d)


def total(paths, targets, axis):
    """Sums over steps (1) or series (2) of what is observed."""
    seen = ~np.isnan(targets)
    sums = np.where(seen, targets, 0).sum(axis, keepdims=True)
    sums[~seen.any(axis, keepdims=True)] = np.nan
    return np.where(seen[:, None], paths, 0).sum(axis + 1, keepdims=True), sums


def oracle(history, paths, targets):
    """All scores by loops."""
    found = {}
    sides = {
        "": (paths, targets),
        "_total": total(paths, targets, 1),
        "_sum": total(paths, targets, 2),
    }
    sides["_sum_total"] = total(*sides["_total"], 2)
    for end, side in sides.items():
        rows = list(entries(*side))
        size, count = sum(abs(y) for _, y, _ in rows), len(rows)
        found["crps" + end] = sum(quantile_loss(x, y) for x, y, _ in rows) / size
        if end.startswith("_sum"):
            continue
        fair = 0.0
        for x, y, _ in rows:
            pairs = sum(abs(a - b) for a in x for b in x)
            spread = pairs / (2 * len(x) * (len(x) - 1)) if len(x) > 1 else 0
            fair += sum(abs(a - y) for a in x) / len(x) - spread
        found["crps_fair" + end] = fair / size
        found["wape" + end] = sum(abs(quantile(x, 0.5) - y) for x, y, _ in rows) / size
        found["bias" + end] = sum(sum(x) / len(x) - y for x, y, _ in rows) / size
        for share, low, high in (
            (50, 0.25, 0.75),
            (80, 0.1, 0.9),
            (90, 0.05, 0.95),
            (95, 0.025, 0.975),
        ):
            found[f"coverage_{share}{end}"] = (
                sum(quantile(x, low) <= y <= quantile(x, high) for x, y, _ in rows)
                / count
            )
    found |= of_points(history, paths, targets) | of_vectors(paths, targets)
    return found


def of_points(history, paths, targets):
    gaps = np.abs(history[SEASON:] - history[:-SEASON])
    scale, square = np.nanmean(gaps, axis=0), np.sqrt(np.nanmean(gaps**2, axis=0))
    rows = list(entries(paths, targets))
    count = len(rows)
    mse = sum((np.mean(x) - y) ** 2 for x, y, _ in rows) / count
    mase = msis = 0.0
    squares: dict = {}
    for x, y, (w, _, d) in rows:
        low, high = quantile(x, 0.025), quantile(x, 0.975)
        mase += abs(quantile(x, 0.5) - y) / scale[d] / count
        penalty = 40 * (max(low - y, 0) + max(y - high, 0))
        msis += (high - low + penalty) / scale[d] / count
        squares.setdefault((w, d), []).append(((np.mean(x) - y) / square[d]) ** 2)
    rmsse = np.mean([math.sqrt(np.mean(part)) for part in squares.values()])
    return {"mse": mse, "mase": mase, "msis": msis, "rmsse": rmsse}


def energy_of(x, y):
    """Energy score of points x [S, N] against y [N]."""
    seen = ~np.isnan(y)
    near = np.mean([math.dist(a[seen], y[seen]) for a in x])
    return near - np.mean([math.dist(a[seen], b[seen]) for a in x for b in x]) / 2


def of_vectors(paths, targets):
    steps, windows, gaps = [], [], []
    for x, y in zip(paths, targets, strict=True):
        windows.append(energy_of(x.reshape(len(x), -1), y.reshape(-1)))
        for h in range(len(y)):
            if np.isnan(y[h]).all():
                continue
            steps.append(energy_of(x[:, h], y[h]))
            for i in range(y.shape[1]):
                for j in range(i):
                    expected = np.mean(np.abs(x[:, h, i] - x[:, h, j]) ** 0.5)
                    gaps.append((abs(y[h, i] - y[h, j]) ** 0.5 - expected) ** 2)
    found = {"energy": np.mean(steps), "energy_path": np.mean(windows)}
    return found | ({"variogram": np.nanmean(gaps)} if gaps else {})


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"missing": True},
        {"paths": 1},
        {"paths": 1, "missing": True},
        {"steps": 1},
        {"series": 1},
        {"windows": 1, "paths": 1, "steps": 1, "series": 1},
        {"paths": 100, "windows": 1, "series": 2},
    ],
)
def test_all_scores_equal_the_loops(shape):
    case = draw(**shape)
    found = means_of(case[1], case[2], case[0], SEASON)
    expected = oracle(*case)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert all(isinstance(value, float) for value in found.values())


def test_scores_equal_those_of_gluonts():
    stored = json.loads(STORED.read_text())
    paths, history = np.array(stored["paths"]), np.array(stored["history"])
    shape = (paths.shape[0], *paths.shape[2:])
    for name in ("complete", "missing"):
        targets = np.array(stored[name]["targets"], float).reshape(shape)
        tables = metrics.score(paths, targets, history, stored["season"])
        found = {name: table.mean for name, table in tables.items()}
        # They have root mean squares, over the mean size.
        found["nrmse"] = found["mse"] ** 0.5 / np.nanmean(np.abs(targets))
        scores, series = stored[name]["scores"], stored[name]["series"]
        # Where targets are missing GluonTS sums all series of a path, and takes means
        # of means.
        same = scores if name == "complete" else ("crps", "wape")
        for score in same:
            assert found[score] == pytest.approx(scores[score], rel=1e-9), score
            if score in series and score in tables:
                np.testing.assert_allclose(
                    tables[score].by_series, series[score], rtol=1e-9
                )
        assert (found["crps_sum"] == pytest.approx(scores["crps_sum"])) == (
            name == "complete"
        )


def test_the_quantile_is_an_order_statistic_written_out():
    # S = 3 of 0, 10, 30: round(2 q) is 0 up to q = .25 (.5 goes to the even 0), 1 up to
    # .7, 2 from .75 (1.5 goes to the even 2). y = 10 with 1[y <= f]:
    # q <= .25: 2 * 10 * q; then f = y; q >= .75: 2 * 20 * (1 - q).
    below = 20 * (0.05 + 0.10 + 0.15 + 0.20 + 0.25)
    above = 40 * (0.25 + 0.20 + 0.15 + 0.10 + 0.05)
    paths = np.array([30.0, 0.0, 10.0]).reshape(1, 3, 1, 1)
    table = metrics.crps(paths, np.full((1, 1, 1), 10.0))
    assert table.mean == pytest.approx((below + above) / 19 / 10)


def test_energy_and_fair_crps_written_out():
    # Points (0, 0) and (6, 8) against (3, 4): 5 - (10 + 10) / 8.
    paths = np.array([[0.0, 0.0], [6.0, 8.0]]).reshape(1, 2, 1, 2)
    targets = np.array([3.0, 4.0]).reshape(1, 1, 2)
    assert metrics.energy(paths, targets).mean == pytest.approx(2.5)
    # Of each series: (3 + 3) / 2 - 12 / 4 = 0 and 4 - 16 / 4 = 0.
    table = metrics.score(paths, targets, np.zeros((3, 2)), 1)["crps_fair"]
    assert table.mean == pytest.approx(0)


def test_tables_by_step_series_and_window():
    history, paths, targets = draw(missing=True)
    tables = metrics.score(paths, targets, history, SEASON)
    for name, table in tables.items():
        assert table.by_window.mean() == pytest.approx(table.mean, rel=1e-9), name
        assert table.values.shape[0] == 3
    for d in range(3):
        alone = metrics.score(
            paths[..., [d]], targets[..., [d]], history[:, [d]], SEASON
        )
        for name in ("crps", "mase", "rmsse", "msis", "coverage_90", "crps_total"):
            assert tables[name].by_series[d] == pytest.approx(alone[name].mean)
    step = metrics.score(paths[:, :, [3]], targets[:, [3]], history, SEASON)
    for name in ("crps", "crps_sum", "energy", "variogram", "bias"):
        assert tables[name].by_step[3] == pytest.approx(step[name].mean), name
    gap = tables["crps"].by_window[0] * tables["crps"].weights.sum() / 3
    assert gap == pytest.approx(np.nansum(tables["crps"].values[0]))


def test_all_zero_targets_score_in_units_of_the_data():
    paths = np.full((2, 5, 3, 2), 4.0)
    zeros = np.zeros((2, 3, 2))
    found = means_of(paths, zeros, np.zeros((9, 2)), 7)
    # 2 * 4 * (1 - q) on average over q is 4. History of zeros: the scale is 1.
    assert found["crps"] == pytest.approx(4)
    assert found["crps_total"] == pytest.approx(12)
    assert found["crps_sum_total"] == pytest.approx(24)
    assert found["mase"] == pytest.approx(4) and found["mse"] == pytest.approx(16)
    perfect = means_of(0 * paths, zeros, np.zeros((9, 2)), 7)
    assert all(math.isfinite(value) for value in (found | perfect).values())
    assert perfect["crps"] == perfect["energy"] == perfect["msis"] == 0


def test_a_series_without_targets_has_no_part():
    history, paths, targets = draw()
    targets[:, :, 1] = np.nan
    tables = metrics.score(paths, targets, history, SEASON)
    rest = metrics.score(
        paths[..., [0, 2]], targets[..., [0, 2]], history[:, [0, 2]], SEASON
    )
    for name, table in tables.items():
        assert table.mean == pytest.approx(rest[name].mean), name
    assert np.isnan(tables["crps"].by_series[1])
    assert np.isfinite(tables["crps"].by_series[[0, 2]]).all()
    with pytest.raises(ValueError, match="no target is observed"):
        metrics.score(paths, np.full_like(targets, np.nan), history, SEASON)


def test_paths_one_window_at_a_time_and_in_float32():
    history, paths, targets = draw()
    whole = means_of(paths, targets, history, SEASON)
    assert means_of(iter(paths), iter(targets), history, SEASON) == whole
    small = means_of(paths.astype(np.float32), targets, history, SEASON)
    assert small == pytest.approx(whole, rel=1e-5)


def test_what_can_not_be_scored_is_refused():
    _, paths, targets = draw()
    with pytest.raises(ValueError, match="not finite"):
        metrics.crps(np.where(paths > 20, np.inf, paths), targets)
    with pytest.raises(ValueError, match="infinite"):
        metrics.crps(paths, np.where(targets > 20, np.inf, targets))
    with pytest.raises(ValueError, match="paths are"):
        metrics.crps(paths[:, :, 1:], targets)
    with pytest.raises(ValueError, match="longer"):
        metrics.crps(paths[1:], targets)
    with pytest.raises(ValueError, match="no window"):
        metrics.energy(paths[:0], targets[:0])


def test_naive_scales_fall_back():
    nan = np.nan
    history = np.array(
        [
            [1.0, 0.0, 3.0, 5.0, nan],
            [2.0, 0.0, 3.0, nan, nan],
            [3.0, 0.0, 3.0, nan, nan],
            [5.0, 0.0, 3.0 + 1e-13, nan, nan],
        ]
    )
    scale = naive_scale(history, 2)
    # |3 - 1|, |5 - 2|; all zero; constant but for rounding; one value; none.
    np.testing.assert_allclose(scale.absolute, [2.5, 1, 3, 5, 1])
    np.testing.assert_allclose(scale.square, [math.sqrt(6.5), 1, 3, 5, 1])
    # A season longer than the history: (1 + 1 + 2) / 3.
    assert naive_scale(history, 9).absolute[0] == pytest.approx(4 / 3)
    assert naive_scale(history[:0], 2).absolute.tolist() == [1.0] * 5


def test_equal_paths_are_no_distance_apart():
    rng = np.random.default_rng(0)
    point = 1e6 + rng.normal(size=(1, 1, 1, 50))
    paths = np.repeat(point, 9, axis=1)
    table = metrics.energy(paths, point[:, 0] + 3.0)
    assert table.mean == pytest.approx(3 * math.sqrt(50), rel=1e-9)


def variogram(paths, targets, seed=0):
    history = np.zeros((3, targets.shape[-1]))
    return metrics.score(paths, targets, history, 1, seed)["variogram"].mean


def test_pairs_are_sampled_with_a_seed_and_estimate_all():
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(2, 30, 3, 1))
    paths = factor + rng.normal(size=(2, 30, 3, 80))
    targets = rng.normal(size=(2, 3, 80))
    some, again, other = (variogram(paths, targets, seed) for seed in (0, 0, 1))
    assert some == again != other
    pairs = draw_pairs(80, 0)
    assert pairs.shape == (2, 1000) and len(set(zip(*pairs, strict=True))) == 1000
    assert (pairs[0] < pairs[1]).all()
    gaps = []
    for i in range(80):
        for j in range(i):
            expected = np.abs(paths[..., i] - paths[..., j]) ** 0.5
            actual = np.abs(targets[..., i] - targets[..., j]) ** 0.5
            gaps.append((actual - expected.mean(1)) ** 2)
    assert some == pytest.approx(np.mean(gaps), rel=0.05)


def test_pit_is_uniform_for_a_calibrated_forecast_and_tells_narrow_ones():
    rng = np.random.default_rng(0)
    paths = rng.poisson(2.0, (1, 19, 500, 8)).astype(float)  # with many ties
    targets = rng.poisson(2.0, (1, 500, 8)).astype(float)
    targets[0, 0, 0] = np.nan
    values = metrics.pit(paths, targets)
    assert np.isnan(values[0, 0, 0]) and np.isfinite(values).sum() == 3999
    shares = metrics.pit_histogram(values)
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(shares, 0.1, atol=4 * math.sqrt(0.09 / 4000))
    narrow = metrics.pit_histogram(metrics.pit(2 + (paths - 2) / 4, targets))
    assert narrow[0] > 0.2 and narrow[-1] > 0.2
    # 2 of 3 paths below, no ties: (2 + u) / 4.
    one = metrics.pit(np.array([1.0, 2.0, 9.0]).reshape(1, 3, 1, 1), [[[5.0]]])
    assert 0.5 <= one.item() < 0.75


def test_the_right_dependence_wins_by_variogram_and_energy():
    rng = np.random.default_rng(2)
    shape = (40, 100, 2, 6)

    def sample(shared, windows, paths):
        common = rng.normal(size=(windows, paths, 2, 1))
        return shared * common + rng.normal(size=(windows, paths, 2, 6))

    targets = sample(2.0, shape[0], 1)[:, 0]
    joint = sample(2.0, *shape[:2])
    apart = rng.normal(size=shape) * math.sqrt(5)  # the same margins
    ours, other = (means_of(x, targets, np.zeros((3, 6)), 1) for x in (joint, apart))
    for score, most in {"variogram": 0.75, "energy": 0.97, "crps_sum": 0.97}.items():
        assert ours[score] < most * other[score]
    assert ours["crps"] == pytest.approx(other["crps"], rel=0.02)
