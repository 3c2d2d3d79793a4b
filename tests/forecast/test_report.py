"""Tables of the report, of numbers set by hand."""

import numpy as np
import pandas as pd

from forecast import report
from forecast.panel.panel import Panel

VALUES = {
    "test/crps": 0.4,
    "test/crps_sum": 0.3,
    "test/level/kind/crps": 0.2,
    "test/level/kind/coverage_90": 0.8,
    "test/level/total/wape": 0.5,
    "test/seasonal_naive/crps": 0.1,
    "test/seasonal_naive/crps_sum": 0.35,
    "test/seasonal_naive/level/kind/crps": 0.25,
    "validation/crps": 0.7,
}


def panel_of(series, **others):
    times = pd.date_range("2024-01-01", periods=2)
    return Panel.of(np.ones((2, series)), times, "D", **others)


def test_the_best_forecast_comes_first():
    rows = report.short_table(VALUES, "deepar")
    assert [(row["forecast"], row["CRPS"]) for row in rows] == [
        ("seasonal naive", 0.1),
        ("deepar", 0.4),
    ]
    assert rows[1]["CRPS of the sum"] == 0.3 and rows[1]["WAPE"] == ""
    (row,) = report.short_table(VALUES, "deepar", "validation")
    assert row["CRPS"] == 0.7


def test_sums_by_level_with_the_total_last():
    panel = panel_of(2, groups={"kind": ("x", "y")})
    rows = report.sums_table(VALUES, "deepar", panel)
    assert [(row["sums of"], row["forecast"], row["CRPS"]) for row in rows] == [
        ("kind", "deepar", 0.2),
        ("kind", "seasonal naive", 0.25),
        ("total", "deepar", 0.3),
        ("total", "seasonal naive", 0.35),
    ]
    assert rows[0]["in the 90 % interval"] == 0.8 and rows[2]["WAPE"] == 0.5
    assert [r["sums of"] for r in report.sums_table(VALUES, "a", panel_of(2))] == [
        "total",
        "total",
    ]
    assert not report.sums_table(VALUES, "deepar", panel_of(1))
