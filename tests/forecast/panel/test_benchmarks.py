import dataclasses
import gzip
import json
import pathlib

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from forecast.panel.benchmarks import BENCHMARKS, read_archive, read_exchange

RAW = (
    pathlib.Path(__file__).parents[3]
    / "../shared/data/time_series/exchange_rate.txt.gz"
)
SMALL = {"exchange": 8, "solar": 5, "electricity": 3, "traffic": 4, "taxi": 2}


def write(folder, values, spec, train, start, ends, opener=open, name="data.json"):
    """An archive of values [T, D] as GluonTS lays it out."""
    blocks = {"train": [train], "test": ends}
    for part, lengths in blocks.items():
        (folder / part).mkdir(parents=True)
        lines = [
            json.dumps(
                {"start": start, "target": values[:end, d].tolist(), "item_id": d}
            )
            for end in lengths
            for d in range(spec.series)
        ]
        with opener(folder / part / name, "wb") as file:
            file.write("\n".join(lines).encode())


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_an_archive_of_each_set(tmp_path, name):
    """The splits of the set, on few rows, with the series of the set or few."""
    spec = BENCHMARKS[name]
    spec = dataclasses.replace(spec, series=SMALL.get(name, spec.series))
    train = 40
    ends = [train + spec.horizon * (w + 1) for w in range(spec.windows)]
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, (ends[-1], spec.series)).astype(np.float64)
    write(tmp_path, values, spec, train, "2014-01-01 00:00:00", ends)
    backtest = read_archive(tmp_path, spec)
    panel = backtest.panel
    np.testing.assert_array_equal(panel.values, values)
    assert panel.times[0] == pd.Timestamp("2014-01-01") and panel.frequency
    assert backtest.train_rows == train and backtest.horizon == spec.horizon
    assert backtest.starts == tuple(end - spec.horizon for end in ends)
    assert backtest.targets.shape == (spec.windows, spec.horizon, spec.series)


def test_what_the_tables_print():
    sizes = {n: (s.series, s.horizon, s.windows) for n, s in BENCHMARKS.items()}
    assert sizes == {
        "exchange": (8, 30, 5),
        "solar": (137, 24, 7),
        "electricity": (370, 24, 7),
        "traffic": (963, 24, 7),
        "taxi": (1214, 24, 56),
        "wikipedia": (2000, 30, 5),
    }


SPEC = dataclasses.replace(BENCHMARKS["solar"], series=2, horizon=2, windows=2)


def lines(folder, part, records):
    (folder / part).mkdir(parents=True)
    texts = [
        json.dumps(dict(zip(("start", "target"), r, strict=True))) for r in records
    ]
    with gzip.open(folder / part / "data.json.gz", "wb") as file:
        file.write("\n".join([*texts, ""]).encode())


def test_other_starts_more_series_overlaps_and_a_test_of_another_year(tmp_path):
    # The first of three series is not of the set; the third window overlaps by one.
    start, later = "2014-01-01", "2014-01-01T02:00"
    far = "2015-01-01T00:00"
    lines(tmp_path, "train", [(start, [9]), (later, [3, 4]), (start, [1, None, 3])])
    tests = []
    for values in ([1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6], [7] * 7):
        tests += [(far, [0])] + [(far, values), (far, values)]
    del tests[9:]
    lines(tmp_path, "test", tests)
    backtest = read_archive(tmp_path, SPEC)
    values, year = backtest.panel.values, 365 * 24
    assert len(values) == year + 6
    np.testing.assert_array_equal(
        values[:5], [[np.nan, 1], [np.nan, np.nan], [3, 3], [4, np.nan], [np.nan] * 2]
    )
    np.testing.assert_array_equal(values[year:, 0], [1, 2, 3, 4, 5, 6])
    assert backtest.train_rows == 4
    assert backtest.starts == (year + 1, year + 3)  # ends 3, 5; 6 overlaps


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        ([("2014", [1, 2])], [("2014", [1, 2])], "1 series in train and 1 in test"),
        ([("2014", [1])] * 2, [("2014", [1])] * 3, "2 series in train and 3 in test"),
        ([("2014", [1])] * 2, [("2014", [1, 2, 3])] * 2, "1 windows of 2 steps"),
        ([("2014", [1])] * 2, [("2014", [[1]])] * 4, "no list of numbers"),
        (
            [("2014", ["x"])] * 2,
            [],
            'train/data.json.gz: line 1: no object with "start"',
        ),
        ([("noon", [1])] * 2, [], "line 1: no object"),
    ],
)
def test_archives_that_are_others(tmp_path, train, test, words):
    with pytest.raises(UserError, match="there is no data.json"):
        read_archive(tmp_path, SPEC)
    lines(tmp_path, "train", train)
    lines(tmp_path, "test", test)
    with pytest.raises(UserError, match=words):
        read_archive(tmp_path, SPEC)


def test_a_damaged_archive(tmp_path):
    lines(tmp_path, "train", [("2014", [1])] * 2)
    path = tmp_path / "train" / "data.json.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="copy it anew"):
        read_archive(tmp_path, SPEC)
    path.write_bytes(b"no gzip")
    with pytest.raises(UserError, match="copy it anew"):
        read_archive(tmp_path, SPEC)


def test_exchange_of_the_raw_text():
    if not RAW.exists():
        pytest.skip("no such file here")
    raw = np.loadtxt(RAW, delimiter=",")
    backtest = read_exchange(RAW)
    assert backtest.train_rows == 6071
    assert [start + 30 for start in backtest.starts] == [6101, 6131, 6161, 6191, 6221]
    np.testing.assert_allclose(backtest.panel.values, raw, rtol=1e-6)
    np.testing.assert_allclose(backtest.targets[2], raw[6131:6161], rtol=1e-6)
    # The calendar of the benchmark, not the true one.
    assert backtest.train.times[-1] == pd.Timestamp("2013-04-08")
    assert backtest.panel.times[6220] == pd.Timestamp("2013-11-04")
    long = read_exchange(RAW, 50)
    assert long.starts[:5] == backtest.starts
    assert np.diff(long.starts).tolist() == [30] * 49
    assert long.starts[5] == 6221 and long.starts[-1] + 30 == 7571
    with pytest.raises(UserError, match="give 1 to 50"):
        read_exchange(RAW, 51)


def test_exchange_of_another_size(tmp_path):
    path = tmp_path / "rates.txt"
    path.write_text("0.5,1.5\n0.25,1\n")
    with pytest.raises(UserError, match="2 x 2 numbers, not the 7588 x 8"):
        read_exchange(path)
