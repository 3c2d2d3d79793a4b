"""Series and tables as they come: no NaN, no traceback, and no row lost in silence."""

import json

import numpy as np
import pandas as pd
import pytest

from common.reports.data_checks import Cost
from common.tables.faults import read_rejected
from forecast import report
from forecast.main import main
from forecast.verbs import check
from tests.forecast.verbs.small import SMALL

NAN = np.nan
ROWS = 40
# Days of Berlin: the clocks change on March 31.
DAYS = pd.date_range("2024-03-01", periods=ROWS, tz="Europe/Berlin")


def usual():
    return np.random.default_rng(0).poisson(5.0, ROWS).astype(float)


def gap(first, end):
    return np.where((np.arange(ROWS) >= first) & (np.arange(ROWS) < end), NAN, usual())


AWKWARD = {
    "usual": usual(),
    "constant": np.full(ROWS, 4.0),
    "nothing sold": np.zeros(ROWS),
    "block": gap(10, 25),
    "ended": gap(12, ROWS),
    "short": gap(0, ROWS - 2),
    "one value": gap(0, ROWS - 1),
    "no value": np.full(ROWS, NAN),
    "enormous": np.append(np.full(4, NAN), np.append(1e25, np.zeros(ROWS - 5))),
}


def long(series, times=DAYS):
    """A row a (series, time); times are texts with their zones."""
    texts = [time.isoformat() for time in times]
    parts = [
        pd.DataFrame({"unique_id": name, "ds": texts[: len(values)], "y": values})
        for name, values in series.items()
    ]
    return pd.concat(parts, ignore_index=True)


def awkward():
    """The series above, unsorted, with copies, contradictions and faulty rows."""
    table = long(AWKWARD).astype({"y": object})
    extra = table.iloc[[3, 3, 5, 50]].assign(y=[table["y"][3], 77.0, 99.0, 4.0])
    wrong = table.iloc[[0, 0, 0, 0]].assign(
        unique_id=["usual", "usual", None, "unread"],
        ds=["noon", None, table["ds"][0], table["ds"][0]],
        y=[1.0, 1.0, 1.0, "many"],
    )
    return pd.concat([table, extra, wrong]).sample(frac=1, random_state=0)


def call(*flags):
    """Exit code of a command line."""
    with pytest.raises(SystemExit) as ended:
        main(["forecast", *map(str, flags)])
    return ended.value.code


def flags_of(table, workdir, **changes):
    table.to_csv(workdir.parent / "table.csv", index=False)
    quiet = {"train.progress": False, "train.tensorboard": False}
    settings = {**SMALL, "backtest.validation": 4, **quiet, **changes}
    settings |= {"window.lags": "1,7", "data.path": workdir.parent / "table.csv"}
    return [f"--workdir={workdir}", *(f"--{k}={v}" for k, v in settings.items())]


def check_finite(workdir, name="metrics.json"):
    values = json.loads((workdir / name).read_text())
    scores = [value for value in values.values() if isinstance(value, int | float)]
    assert np.isfinite(scores).all() and len(scores) > 100
    assert values["test/broken_paths"] == 0
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        numbers = [v for v in json.loads(line).values() if isinstance(v, int | float)]
        assert np.isfinite(numbers).all(), line


def check_forecast(path, ids, horizon, after):
    """Returns the rows with an error; all others are finite, and there."""
    table = pd.read_csv(path)
    good = table[table["error"].isna()]
    assert sorted(good["unique_id"]) == sorted(np.repeat(ids, horizon))
    assert good["ds"].min() == str((after + pd.Timedelta(days=1)).date())
    numbers = good.drop(columns=["unique_id", "ds", "error"]).to_numpy(float)
    assert np.isfinite(numbers).all()
    return table[table["error"].notna()]


@pytest.mark.parametrize("name", ["gru_maf", "deepar", "gp_copula"])
def test_awkward_series_are_forecast(name, tmp_path, monkeypatch, capsys):
    whole = name == "gru_maf"
    if not whole:  # one page tells
        monkeypatch.setattr(report, "write", lambda *_: None)
    table, workdir = awkward(), tmp_path / "run"
    flags = flags_of(table, workdir, **{"model.name": name})
    assert call("--mode=train", *flags) == 0
    rejected = read_rejected(workdir / "rejected.csv")
    # Three and two rows of one moment that contradict one another, a copy, four faults.
    reasons = pd.Series([each.reason for each in rejected])
    assert reasons.str.contains("says otherwise").sum() == 5
    assert reasons.str.contains("a row above says the same").sum() == 1
    lines = pd.Series(np.arange(2, len(table) + 2), table.index)
    assert len(rejected) == 10 and {each.line for each in rejected} <= set(lines)
    check_finite(workdir)
    if whole:
        assert call("--mode=evaluate", f"--workdir={workdir}") == 0
        check_finite(workdir, "metrics_test.json")
        path = tmp_path / "lost.csv"
        broken = table.assign(y=table["y"].where(table["unique_id"] != "block", "x"))
        broken.to_csv(path, index=False)
        assert (
            call("--mode=predict", flags[0], f"--input={path}", "--output=a.csv") == 2
        )
        words = "error: the network needs series 'block': 'x' is not a number"
        assert words in capsys.readouterr().err
    output = tmp_path / "forecast.csv"
    given = f"--input={tmp_path / 'table.csv'}"
    capsys.readouterr()
    assert call("--mode=predict", flags[0], given, f"--output={output}") == 0
    first = f"line {rejected[0].line}, column {rejected[0].column}:"
    assert f"note: 10 rows rejected; the first is {first}" in capsys.readouterr().err
    errors = check_forecast(output, list(AWKWARD), SMALL["window.horizon"], DAYS[-1])
    assert errors["unique_id"].tolist() == ["unread"]
    assert errors["error"].tolist() == ["'many' is not a number"]


@pytest.mark.parametrize("name", ["gru_maf", "deepar", "gp_copula"])
def test_one_constant_series_one_step_one_path(name, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "write", lambda *_: None)
    least = {"window.horizon": 1, "window.context": 1, "backtest.paths": 1}
    table, workdir = long({"a": np.full(ROWS, 0.0)}), tmp_path / "run"
    flags = flags_of(table, workdir, **least, **{"model.name": name})
    assert call("--mode=train", *flags) == 0
    check_finite(workdir)
    if name == "gru_maf":
        output = tmp_path / "forecast.csv"
        given = f"--input={tmp_path / 'table.csv'}"
        assert call("--mode=predict", flags[0], given, f"--output={output}") == 0
        assert check_forecast(output, ["a"], 1, DAYS[-1]).empty


def test_awkward_series_are_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check, "measure_steps", lambda run: Cost(1, 0.1, 1.0))
    assert call("--mode=check", *flags_of(awkward(), tmp_path / "run")) == 0
    printed = capsys.readouterr().out
    assert "| rejected rows | 10 |" in printed and "nan" not in printed.lower()
    assert "| of these, constant | 3 |" in printed


HOURS = pd.date_range("2024-10-27", periods=30, freq="h", tz="Europe/Berlin")
REFUSED = {
    "no row": (long({"a": []}), {}, "a header and no rows"),
    "one row": (long({"a": [1.0]}), {}, "no frequency can be told from 1 moments"),
    "short": (long({"a": np.arange(9.0)}), {}, "leave 1 of 9 rows to train on"),
    "too short for training": (long({"a": np.arange(14.0)}), {}, "steps are too few"),
    "no value": (long({"a": np.full(30, NAN)}), {}, "there is no value in any row"),
    "mixed frequencies": (
        pd.concat([long({"a": usual()}), long({"b": usual()[:9]}, DAYS[::4])]),
        {},
        "mixed frequencies: series 'b' has values every 4 steps of D",
    ),
    "a wrong century": (
        long({"a": usual()[:30]}, HOURS.insert(0, HOURS[0].replace(year=1924))),
        {},
        "mend the times that are wrong",
    ),
    "an hour twice, without a zone": (
        long({"a": usual()[:30]}, HOURS.tz_localize(None)),
        {"data.max_rejected_fraction": 0.05},
        "2 of 30 rows can't be used",
    ),
    "counts below 0": (
        long({"a": usual(), "b": usual() - 9}),
        {"window.support": "count"},
        "1 series have values below 0 ('b')",
    ),
    "too large": (long({"a": usual() * 1e30}), {}, "beyond 1e+30 is too large"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_used_is_said_in_a_line(case, tmp_path, capsys):
    table, changes, words = REFUSED[case]
    assert call(*flags_of(table, tmp_path / "run", **changes)) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "error" in x]
    assert line.startswith("error: ") and words in line
