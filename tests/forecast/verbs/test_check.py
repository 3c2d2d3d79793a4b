"""`--mode=check` on series whose figures are known."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from common.reports.data_checks import Cost
from common.reports.proposals import Pace
from forecast.panel.panel import Panel
from forecast.verbs import check
from tests.forecast.verbs.small import config_of

NAN = np.nan
SERIES = {
    "late": [NAN, NAN, 0, 0, 3, 0, NAN, NAN, 2, 1],
    "flat": [4.0] * 10,
    "nothing sold": [0.0] * 10,
    "ended": [1, 0, 2, NAN, 1, NAN, NAN, NAN, NAN, NAN],
    "usual": [1, 2, 1, 3, 1, 2, 1, 4, 1, 2],
}


def panel_of(series=SERIES, **others):
    values = np.array(list(series.values()), np.float32).T
    times = pd.date_range("2024-01-01", periods=len(values))
    return Panel.of(values, times, "D", tuple(series), **others)


def test_series_by_hand():
    table = check.describe_series(panel_of())
    columns = ["first", "last", "observed", "missing", "gaps", "longest", "zeros"]
    assert table[[*columns, "leading"]].to_numpy().tolist() == [
        [2, 9, 6, 2, 1, 2, 3, 2],
        [0, 9, 10, 0, 0, 0, 0, 0],
        [0, 9, 10, 0, 0, 0, 10, 10],
        [0, 4, 4, 1, 1, 1, 1, 0],
        [0, 9, 10, 0, 0, 0, 0, 0],
    ]
    assert table["interval"].tolist() == [2, 1, np.inf, pytest.approx(4 / 3), 1]
    assert table["constant"].tolist() == [False, True, True, False, False]
    counts = list(check.count_series(table, 10).values())
    # Constant, 0, late, ended, with gaps, the longest, zeros in front, share of zeros
    # of 40 values, intermittent.
    assert counts == [5, 2, 1, 1, 1, 2, 2, 2, "35.0%", 3]
    listed = check.list_series(table, 10)
    assert [row["series"] for row in listed] == ["nothing sold", "late", "ended"]
    assert [row["zeros"] for row in listed] == [10, 3, 1]


def test_a_series_without_a_value():
    table = check.describe_series(panel_of({"none": [NAN] * 4, "usual": [1, 2, 3, 4]}))
    first = table.iloc[0]
    assert first["first"] == first["last"] == -1 and first["observed"] == 0
    assert first["interval"] == np.inf and not first["constant"] and first["gaps"] == 0


@pytest.mark.parametrize(
    ("support", "values", "words"),
    [
        ("non_negative", [1, -2, 3], "values below 0 ('x')"),
        ("count", [1, 2.5, 3], "not whole ('x'): set --window.support=non_negative"),
        ("real", [1, 2, NAN], "--window.support=count keeps"),
        ("real", [1, 2.5, 3], "--window.support=non_negative keeps"),
        ("real", [-1, 2, 3], None),
        ("count", [1, 2, NAN], None),
        ("non_negative", [1, 2.5, 3], None),
    ],
)
def test_values_and_support(support, values, words):
    config = config_of(**{"window.support": support})
    lines = check.note_values(config, panel_of({"x": values}))
    assert len(lines) == (words is not None)
    assert words is None or words in lines[0]


def test_covariates_by_hand():
    known = np.zeros((12, 5, 2), np.float32)
    known[3, 1, 1] = 1
    past = np.ones((10, 5, 1), np.float32)
    past[:, 2] = 2  # series differ, but none of them changes
    panel = panel_of(
        known=known,
        known_names=("holiday", "promotion"),
        past=past,
        past_names=("visits",),
    )
    lines = check.note_covariates(panel, 4)
    assert [line.split(":")[0] for line in lines] == [
        "covariate 'holiday' never changes",
        "covariate 'visits' never changes",
        "known covariates end 2 steps after the last value, the horizon 4",
    ]
    assert len(check.note_covariates(panel, 2)) == 2
    assert not check.note_covariates(panel_of(), 4)


def test_series_that_teach_little_are_named():
    series = {f"s{n}": [n] * 10 for n in range(7)} | {"late": [NAN] * 8 + [1, 2]}
    panel = panel_of(series)
    sizes = check.Sizes(8, 0, 0, 0, (), (1, 3), 2, 2, True)
    lines = check.note_series(check.describe_series(panel), panel, sizes)
    short, constant = lines
    assert short == "1 series have fewer values than a window of 5 + 2 steps ('late')"
    assert constant.startswith("7 series are constant: ")
    assert constant.endswith(" ('s0', 's1', 's2', 's3', 's4' and 2 more)")


def test_a_run_that_takes_too_long_is_proposed_less():
    config = config_of(**{"train.batch_size": 64, "model.cells": 40})
    assert check.smaller(config) == [
        {"train.batch_size": 16},
        {"train.batch_size": 16, "model.cells": 20},
    ]


def test_the_page_is_written(tmp_path, monkeypatch):
    run = {}

    def measure(prepared):
        run["validation"] = len(prepared.starts["validation"])
        return Cost(123, 6.0, 2.0)

    monkeypatch.setattr(check, "measure_steps", measure)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "unique_id": np.repeat(["a", "b"], 60),
            "ds": np.tile(pd.date_range("2024-01-01", periods=60), 2),
            "y": rng.poisson(5, 120),
        }
    )
    extra = table.iloc[[0, 1, 1]].assign(y=[999, *table["y"].iloc[[1, 1]]])
    pd.concat([table, extra]).to_csv(tmp_path / "sales.csv", index=False)
    config = config_of(**{"data.path": str(tmp_path / "sales.csv"), "train.steps": 300})
    path, summary = check.write(config, tmp_path / "run", print)
    text = path.read_text()
    # The two that contradict one another, and two copies.
    for words in ("says otherwise", "a row above says the same", "Series with most"):
        assert words in text
    assert "| rejected rows | 4 |" in summary and "| frequency | D |" in summary
    assert "| minutes for all steps | 30.000 |" in summary
    assert "more than --check.minutes=10" in summary
    pace = check.pace_of(
        dataclasses.make_dataclass("R", ["config", "starts"])(
            config, {"validation": range(16)}
        ),
        Cost(1, 6.0, 2.0),
    )
    assert pace == Pace(6.0, pytest.approx(4.0), 6.0)
    assert run["validation"] > 0
