"""Scores of sums, and the windows of a split."""

import types

import numpy as np
import pandas as pd
import pytest

from forecast import evaluation, metrics
from forecast.panel.backtest import make_backtest
from forecast.panel.panel import Panel
from tests.forecast.verbs.small import config_of

GROUPS = {"kind": ("x", "y", "x"), "shop": ("s",) * 3}


def make_run(groups=GROUPS, rows=40):
    """Two test windows of 4 steps over 3 series, 6 rows that choose; values missing."""
    rng = np.random.default_rng(0)
    values = rng.poisson(9, (rows, 3)).astype(np.float32)
    values[-3, 0] = values[-2, [0, 2]] = values[-1] = np.nan
    panel = Panel.of(values, pd.date_range("2024-01-01", periods=rows), "D")
    panel = Panel.of(values, panel.times, "D", groups=groups)
    config = config_of(**{"backtest.validation": 6, "data.path": "sales.csv"})
    return types.SimpleNamespace(
        config=config,
        backtest=make_backtest(panel, 4, 2),
        learner=None,
        execution=None,
        grid=None,
    )


def test_sums_are_scored_on_the_same_paths():
    backtest = make_run().backtest
    paths = np.random.default_rng(1).poisson(9, (2, 5, 4, 3)).astype(float)
    tables = evaluation.score(backtest, iter(paths))
    seen = np.isfinite(backtest.targets)
    y = np.where(seen, backtest.targets, 0)
    x = np.where(seen[:, None], paths, 0)
    # Series 0 and 2 are of one kind, 1 of the other; the last step has no target.
    both = np.stack([y[..., 0] + y[..., 2], y[..., 1]], -1)
    both[~np.stack([seen[..., 0] | seen[..., 2], seen[..., 1]], -1)] = np.nan
    drawn = np.stack([x[..., 0] + x[..., 2], x[..., 1]], -1)
    expected = metrics.score(drawn, both, np.ones((9, 2)), 1)
    for name in evaluation.OF_SUMS:
        found = tables[f"level/kind/{name}"]
        np.testing.assert_array_equal(found.values, expected[name].values)
        np.testing.assert_array_equal(found.weights, expected[name].weights)
    assert tables["level/shop/crps"].mean == tables["crps_sum"].mean
    assert tables["level/shop/wape"].mean == tables["level/total/wape"].mean
    assert "level/total/crps" not in tables  # crps_sum


def test_a_single_series_has_no_sums():
    run = make_run()
    panel = run.backtest.panel.select([1])
    tables = evaluation.score(make_backtest(panel, 4, 2), np.ones((2, 5, 4, 1)))
    assert not [name for name in tables if name.startswith("level/")]


@pytest.mark.parametrize(
    ("split", "starts"),
    [("test", (32, 36)), ("validation", (28,)), ("train", (18, 22))],
)
def test_windows_of_a_split(split, starts, monkeypatch):
    run = make_run()
    found = evaluation.windows_of(run, split)
    assert found.starts == starts and found.train_rows == starts[0]
    rows = np.array(starts)[:, None] + np.arange(4)
    np.testing.assert_array_equal(found.targets, run.backtest.panel.values[rows])

    def sample(*parts):
        np.testing.assert_array_equal(parts[-1], starts)
        return np.nan_to_num(found.targets)[:, None].repeat(3, 1)

    monkeypatch.setattr(evaluation, "sample", sample)
    values = evaluation.evaluate(run, None, split).values
    assert {name.split("/")[0] for name in values} == {split}
    assert values[f"{split}/crps"] == 0 == values[f"{split}/level/kind/crps"]
    assert values[f"{split}/seasonal_naive/level/kind/crps"] > 0
