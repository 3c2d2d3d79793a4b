import dataclasses
import json
import math
import pathlib
import subprocess

import numpy as np
import pytest

from common.config.configs import check_bounds, knob
from common.errors import UserError
from common.training import workdirs


@dataclasses.dataclass(frozen=True)
class Train:
    steps: int = knob(10, "steps", low=1)
    log_every: int = knob(5, "steps between lines", low=1)


@dataclasses.dataclass(frozen=True)
class Config:
    train: Train = Train()
    cells: int = knob(3, "cells", low=1)
    crop: tuple[int, ...] = knob((448, 448), "crop")

    def __post_init__(self):
        check_bounds(self)


def test_record_reads_back(tmp_path):
    workdir = tmp_path / "new" / "run"
    workdirs.start_record(workdir, "toy", Config(cells=5))
    assert workdirs.load_config(workdir, Config, "toy") == Config(cells=5)
    flags = (workdir / "flags.txt").read_text()
    assert flags == "--train.steps=10\n--train.log_every=5\n--cells=5\n--crop=448,448\n"
    record = json.loads((workdir / "config.json").read_text())
    assert record["versions"]["jax"] and record["versions"]["python"]
    assert sorted(path.name for path in workdir.iterdir()) == [
        "config.json",
        "flags.txt",
    ]
    assert (workdir / "config.json").stat().st_mode & 0o777 == 0o644


def test_a_workdir_is_not_continued_with_another_config(tmp_path):
    free = ("train.",)
    workdirs.start_record(tmp_path, "toy", Config(), free)
    (tmp_path / "checkpoints" / "train" / "10").mkdir(parents=True)
    with pytest.raises(UserError, match="cells is 3 there and 4 now; use the same"):
        workdirs.start_record(tmp_path, "toy", Config(cells=4), free)
    assert workdirs.load_config(tmp_path, Config, "toy") == Config()
    longer = Config(train=Train(steps=20))
    workdirs.start_record(tmp_path, "toy", longer, free)
    assert workdirs.load_config(tmp_path, Config, "toy") == longer
    with pytest.raises(UserError, match="train.steps is 20 there and 10 now"):
        workdirs.start_record(tmp_path, "toy", Config(), ("train.log_every",))
    with pytest.raises(UserError, match="was trained by toy, not by other"):
        workdirs.start_record(tmp_path, "other", Config(), free)


def test_a_run_that_never_began_is_written_over(tmp_path):
    workdirs.start_record(tmp_path, "toy", Config())
    workdirs.add_facts(tmp_path, {"data": "abc"})
    (tmp_path / "checkpoints" / "train").mkdir(parents=True)
    workdirs.start_record(tmp_path, "toy", Config(cells=4))
    assert workdirs.load_config(tmp_path, Config, "toy") == Config(cells=4)
    assert workdirs.read_record(tmp_path)["facts"] == {}


def test_facts_stay_and_must_not_change(tmp_path):
    workdirs.start_record(tmp_path, "toy", Config())
    (tmp_path / "checkpoints" / "train" / "10").mkdir(parents=True)
    workdirs.add_facts(tmp_path, {"data": "abc", "rows": (1, 2)})
    workdirs.start_record(tmp_path, "toy", Config())
    workdirs.add_facts(tmp_path, {"data": "abc", "rows": (1, 2), "more": 1.5})
    assert workdirs.read_record(tmp_path)["facts"] == {
        "data": "abc",
        "rows": [1, 2],
        "more": 1.5,
    }
    with pytest.raises(UserError, match="data is not what .*'abc' there, 'xyz' now"):
        workdirs.add_facts(tmp_path, {"data": "xyz"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no config.json: not the workdir of a training run"),
        (b"{", "is damaged: not JSON"),
        (b"\xff", "is damaged: not JSON"),
        (b"[" * 100_000, "is damaged: not JSON"),
        (b"[]", "is damaged: no 'system'"),
        (b'{"system": "toy", "config": 3}', "is damaged: no 'config'"),
        (
            b'{"system": "toy", "config": {"cels": 1}, "versions": {}, "facts": {}}',
            "config.json: unknown config field cels; did you mean cells?",
        ),
        (
            b'{"system": "toy", "config": {"cells": 0}, "versions": {}, "facts": {}}',
            "config.json: cells=0: must be an integer of at least 1",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_damaged_records(tmp_path, content, message):
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError) as error:
        workdirs.load_config(tmp_path, Config, "toy")
    assert message in str(error.value)


def test_folders_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--workdir=.*file: File exists"):
        workdirs.start_record(tmp_path / "file", "toy", Config())
    with pytest.raises(UserError, match="--workdir=.*: Not a directory"):
        workdirs.make_folder(tmp_path / "file" / "run")
    with pytest.raises(UserError, match="not the workdir of a training run"):
        workdirs.read_record(tmp_path / "file")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    workdirs.write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        workdirs.write_atomically(path, "new \udcff")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_git_commit_is_that_of_the_checkout():
    root = pathlib.Path(__file__).parents[3]
    asked = subprocess.run(
        ["git", "-C", root, "rev-parse", "HEAD"],
        check=False,
        capture_output=True,
        text=True,
    )
    if asked.returncode:
        assert workdirs.git_commit() is None
    else:
        commit = workdirs.git_commit()
        assert commit and commit.removesuffix("+changes") == asked.stdout.strip()


def test_a_knob_that_is_free_must_exist(tmp_path):
    with pytest.raises(ValueError, match="'step'"):
        workdirs.start_record(tmp_path, "toy", Config(), ("step",))


def test_arrays_come_back_and_damage_is_found(tmp_path):
    path = tmp_path / "some.npz"
    np.savez(path, a=np.arange(3), b=np.array(["x", "yz"]))
    found = workdirs.read_arrays(path)
    assert found["a"].tolist() == [0, 1, 2] and found["b"].tolist() == ["x", "yz"]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="some.npz: File is not a zip file"):
        workdirs.read_arrays(path)
    with pytest.raises(FileNotFoundError):
        workdirs.read_arrays(tmp_path / "none.npz")


def test_signed_contents_come_back_and_damage_is_found(tmp_path):
    path = tmp_path / "model.json"
    contents = {"edges": [1.5, float("inf")], "name": "é", "none": None}
    workdirs.write_signed(path, contents)
    assert workdirs.read_signed(path) == contents
    whole = path.read_text()
    path.write_text(whole.replace("1.5", "1.6"))
    with pytest.raises(ValueError, match="not what was written"):
        workdirs.read_signed(path)
    path.write_text(whole[:-20])
    with pytest.raises(ValueError, match="not JSON"):
        workdirs.read_signed(path)
    path.write_text("[]")
    with pytest.raises(TypeError, match="no JSON object"):
        workdirs.read_signed(path)
    path.write_text('{"edges": []}')  # written before there were checksums
    assert workdirs.read_signed(path) == {"edges": []}


def test_what_is_not_finite_is_null(tmp_path):
    values = {"a": 1, "b": 0.5, "c": math.inf, "d": math.nan}
    workdirs.write_metrics(tmp_path / "metrics.json", values)
    saved = json.loads((tmp_path / "metrics.json").read_text())
    assert saved == {"a": 1, "b": 0.5, "c": None, "d": None}
    assert workdirs.read_metrics(tmp_path) == saved


def test_a_run_notes_its_data_and_ends_with_its_metrics(tmp_path):
    with workdirs.recording(tmp_path, "toy", Config()) as record:
        assert not record.has_ended
        record.add_data("beef")
        record.finish({"test/top3": 0.5})
    assert record.has_ended
    assert workdirs.read_record(tmp_path)["facts"] == {"data": "beef"}
    assert workdirs.read_metrics(tmp_path) == {"test/top3": 0.5}
    with (
        workdirs.recording(tmp_path, "toy", Config()) as again,
        pytest.raises(UserError, match="data is not what .* was trained on"),
    ):
        again.add_data("dead")


def test_a_run_that_fails_has_not_ended(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        workdirs.recording(tmp_path, "toy", Config()) as record,
    ):
        record.finish({"test/top3": 1 / 0})
    assert not record.has_ended


def test_other_processes_leave_the_record_to_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(workdirs, "is_first_process", lambda: False)
    with workdirs.recording(tmp_path, "toy", Config()) as record:
        record.add_data("beef")
        record.finish({"test/top3": 0.5})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda path: path.read_text(), "model.json is missing: run --mode=train"),
        (lambda path: {}["zones"], r"model.json is damaged \('zones'\); train again"),
        (lambda path: float("x"), "model.json is damaged .could not convert"),
    ],
)
def test_files_of_a_model_that_can_not_be_read_are_one_line(read, message, tmp_path):
    path = tmp_path / "model.json"
    with pytest.raises(UserError, match=message) as caught, workdirs.reading(path):
        read(path)
    assert "\n" not in str(caught.value)


def test_the_file_that_is_missing_is_the_one_that_is_named(tmp_path):
    with (
        pytest.raises(UserError, match="arrays.npz is missing"),
        workdirs.reading(tmp_path / "model.json"),
    ):
        workdirs.read_arrays(tmp_path / "arrays.npz")
