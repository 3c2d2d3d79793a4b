import shutil
import types

import numpy as np

from common.reports import data_checks


def test_free_space_is_that_of_the_next_folder_that_is_there(tmp_path, monkeypatch):
    asked = []

    def usage(path):
        asked.append(path)
        return types.SimpleNamespace(free=7)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert data_checks.free_bytes(str(tmp_path / "not" / "yet")) == 7
    assert data_checks.free_bytes(str(tmp_path)) == 7
    assert asked == [tmp_path, tmp_path]


class Clock:
    """An execution whose first call takes 50 seconds and each other one 2."""

    def __init__(self):
        self.seconds, self.calls = 0.0, 0

    def monotonic(self):
        return self.seconds

    def call(self, result):
        self.seconds += 2.0 if self.calls else 50.0
        self.calls += 1
        return result

    def compile_step(self, step):
        return lambda *arguments: self.call(step(*arguments))

    def compile_predict(self, look):
        return lambda *arguments: self.call(look(*arguments))

    def init(self, function, start):
        return function(start)

    def replicate(self, tree):
        return tree

    def to_host(self, tree):
        return tree


def test_the_step_that_compiles_is_not_timed(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(data_checks, "time", clock)
    cost = data_checks.measure_steps(
        clock,
        lambda start: types.SimpleNamespace(params={"a": start, "b": np.zeros(5)}),
        lambda state, batch, key: (None, batch),
        np.zeros((2, 3)),
        iter([1, 2, 3, 4]),
    )
    assert (cost.parameters, cost.seconds) == (11, 2.0)


def test_a_prediction_is_timed_by_the_row(monkeypatch):
    clock, seen = Clock(), []
    monkeypatch.setattr(data_checks, "time", clock)
    seconds = data_checks.measure_prediction(
        clock,
        lambda variables, batch: seen.extend(batch["row"].tolist()),
        None,
        [{"row": 0, "images": []}, {"row": 1, "images": []}, {"row": 2, "images": []}],
        lambda record: {"row": np.int64(record["row"])},
        4,
    )
    # Three batches of four rows, two seconds each.
    assert seconds == 0.5
    assert seen == [0, 1, 2] * 5 + [0]
