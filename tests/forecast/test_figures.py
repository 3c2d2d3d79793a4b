"""Which series and sums are drawn, and where."""

import types

import numpy as np
import pandas as pd

from forecast.evaluation import Evaluated
from forecast.figures import draw_fans
from forecast.panel.backtest import make_backtest
from forecast.panel.panel import Panel


def draw(values, **others):
    times = pd.date_range("2024-01-01", periods=len(values))
    panel = Panel.of(values, times, "D", **others)
    run = types.SimpleNamespace(backtest=make_backtest(panel, 2, 2))
    paths = np.random.default_rng(0).random((2, 5, 2, values.shape[1]))
    return draw_fans(run, Evaluated({}, {}, paths)), paths[-1]


def test_the_total_the_largest_groups_and_some_series():
    size = np.array([0.5, 7, 2, 6, 3])
    values = np.ones((20, 5)) * size
    values[:, 4] = np.nan
    values[12:, 4] = 3
    figure, paths = draw(values, groups={"kind": ("x", "y", "x", "z", "w")})
    assert [axes.get_title() for axes in figure.axes] == [
        "sum of all series",
        *("kind: y", "kind: z", "kind: x"),  # and w, the smallest
        *("2", "4", "3", "1"),  # from the first to the last of 2, 4, 3, 5, 1
    ]
    observed, median = (line.get_ydata() for line in figure.axes[0].lines)
    np.testing.assert_allclose(observed, [18.5] * 8)
    np.testing.assert_allclose(median, np.median(paths.sum(-1), 0))
    np.testing.assert_allclose(
        figure.axes[3].lines[1].get_ydata(), np.median(paths[..., [0, 2]].sum(-1), 0)
    )


def test_one_series_has_one_fan():
    figure, _ = draw(np.ones((9, 1)))
    assert [axes.get_title() for axes in figure.axes] == ["1"]
