import io
import json
import math

import pytest

from common.errors import UserError
from common.training import metric_writer
from common.training.metric_writer import MetricWriter
from common.training.tensorboard import read_scalars


def make(tmp_path, **options):
    return MetricWriter(
        tmp_path, **{"tensorboard": False, "progress": False, **options}
    )


def test_lines_are_strict_json_without_times(tmp_path):
    writer = make(tmp_path)
    writer.write("a", 3, {"train/loss": 0.1, "x": math.nan, "y": math.inf})
    text = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {
        "phase": "a",
        "step": 3,
        "train/loss": 0.1,
        "x": None,
        "y": None,
    }
    (line,) = metric_writer.read_metrics(tmp_path)
    assert math.isnan(line["x"])


@pytest.mark.parametrize("text", ["{", "[]", '{"phase": "a"}', "\xff", '{"step": {}}'])
def test_a_damaged_line_is_named(text, tmp_path):
    make(tmp_path).write("a", 1, {"loss": 1.0})
    with (tmp_path / "metrics.jsonl").open("a", encoding="latin-1") as file:
        file.write(text + "\n")
    with pytest.raises(UserError, match="metrics.jsonl, line 2 is damaged"):
        metric_writer.read_metrics(tmp_path)


def test_cut_back_restores_the_file_to_the_byte(tmp_path):
    writer = make(tmp_path)
    writer.write("a", 1, {"loss": 1.0})
    position, before = writer.position(), writer.path.read_bytes()
    assert position == len(before)
    writer.write("a", 2, {"loss": 2.0})
    with writer.path.open("a") as file:
        file.write('{"half')
    assert [line["step"] for line in metric_writer.read_metrics(tmp_path)] == [1, 2]
    make(tmp_path).cut_back(position)
    assert writer.path.read_bytes() == before
    writer.cut_back(10**6)  # the user cut more than we would: nothing is made up
    assert writer.path.read_bytes() == before


def test_nothing_written_is_position_zero(tmp_path):
    writer = make(tmp_path)
    assert writer.position() == 0
    writer.cut_back(0)
    assert metric_writer.read_metrics(tmp_path) == []


def test_curves_of_a_phase(tmp_path):
    writer = make(tmp_path)
    writer.write("a", 1, {"train/loss": 3.0})
    writer.write("a", 2, {"train/loss": 2.0, "train/top1": 0.5})
    writer.write("b", 1, {"train/loss": 9.0})
    assert metric_writer.read_curves(tmp_path, "a") == {
        "train/loss": ([1, 2], [3.0, 2.0]),
        "train/top1": ([2], [0.5]),
    }


def test_other_processes_write_nothing(tmp_path):
    writer = make(tmp_path / "new", active=False, progress=True, tensorboard=True)
    writer.start("a", 0, 5)
    writer.write("a", 1, {"loss": 1.0})
    writer.advance()
    writer.report("a", 1, 5, {"loss": 1.0})
    writer.close()
    assert not (tmp_path / "new").exists()


def test_a_line_per_report_without_terminal(tmp_path, capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(metric_writer.time, "monotonic", lambda: now[0])
    writer = make(tmp_path, progress=True)
    writer.start("train", 100, 5000)
    now[0] += 4
    with writer.paused("evaluating"):
        now[0] += 1000
    now[0] += 6
    writer.report("train", 120, 5000, {"loss": 0.123456})
    # 4880 steps at 2 a second are 2440 seconds.
    expected = "train 120/5000 loss=0.1235 (2 steps/s, 40:40 left)\n"
    assert capsys.readouterr().err == expected


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal(tmp_path, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    writer = make(tmp_path, progress=True)
    writer.start("train", 1, 4)
    writer.advance()
    writer.report("train", 2, 4, {"loss": 0.5})
    writer.close()
    assert "train" in screen.getvalue()
    assert "loss=0.5" in screen.getvalue()
    assert "2/4" in screen.getvalue()


def test_tensorboard_has_a_folder_for_each_phase(tmp_path):
    writer = make(tmp_path, tensorboard=True)
    writer.start("a", 0, 2)
    writer.write("a", 2, {"train/loss": 0.5})
    writer.start("b", 0, 1)
    writer.write("b", 1, {"train/loss": 0.25})
    writer.close()
    assert read_scalars(tmp_path / "tensorboard" / "a") == [("train/loss", 2, 0.5)]
    assert read_scalars(tmp_path / "tensorboard" / "b") == [("train/loss", 1, 0.25)]


def test_a_run_that_goes_on_finds_tensorboard_as_the_metrics_are(tmp_path):
    writer = make(tmp_path)
    for step in (1, 2, 3):
        writer.write("a", step, {"train/loss": step / 2})
    position = writer.position()
    writer.write("a", 4, {"train/loss": 9.0})
    writer.write("b", 1, {"train/loss": 9.0})
    again = make(tmp_path, tensorboard=True)
    again.cut_back(position)
    again.start("a", 3, 5)
    again.write("a", 4, {"train/loss": 2.0})
    again.flush()
    assert read_scalars(tmp_path / "tensorboard" / "a") == [
        ("train/loss", step, step / 2) for step in (1, 2, 3, 4)
    ]
    again.close()


def test_the_bar_leaves_pauses_out_of_its_rate(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    writer = make(tmp_path, progress=True)
    writer.start("train", 0, 4)
    writer.advance()
    began = writer._bar.start_t
    with writer.paused("evaluating"):
        writer._bar.last_print_t -= 100  # as if that took so long
    assert writer._bar.start_t - began >= 100
    writer.close()
