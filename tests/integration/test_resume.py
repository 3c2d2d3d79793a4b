"""Runs that break off at a chosen step, inside one process."""

import json
import shutil
import signal

import numpy as np
import pytest

from common.errors import UserError
from common.training import checkpointing, metric_writer
from tests.integration.killing import fingerprint
from tests.integration.toy_training import Toy, train

TOY = Toy(devices=1, steps=20, second_steps=7)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Work directory and result of a run that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, train(workdir, TOY)


def changed(toy, **settings):
    return Toy(**{**toy.__dict__, **settings})


def steps_of(workdir, phase="first"):
    folder = workdir / "checkpoints" / phase
    return sorted(int(path.name) for path in folder.iterdir())


def test_keeps_the_latest_two_and_the_best(whole):
    workdir, result = whole
    curves = metric_writer.read_curves(workdir, "first")
    steps, values = curves["validation/top1"]
    assert steps == [5, 10, 15, 20]
    best = steps[len(values) - 1 - int(np.argmax(values[::-1]))]
    assert steps_of(workdir) == sorted({16, 20, best})
    steps, values = metric_writer.read_curves(workdir, "second")["validation/top1"]
    assert result.best_value == max(values)
    assert result.best_step == steps[len(values) - 1 - int(np.argmax(values[::-1]))]
    assert result.last_step == 7


def test_second_phase_starts_from_the_best_of_the_first(whole, tmp_path):
    """One step of a vanishing rate leaves the first phase's best parameters."""
    workdir, _ = whole
    train(tmp_path, changed(TOY, second_steps=0))
    train(tmp_path, changed(TOY, second_steps=1, learning_rate=1e-12))
    first = checkpointing.load_arrays(workdir, "first")
    second = checkpointing.load_arrays(tmp_path, "second")
    path = "variables/params/Dense_0/kernel"
    np.testing.assert_allclose(second[path], first[path], atol=1e-9)
    stats = "variables/batch_stats/BatchNorm_0/mean"
    assert np.abs(second[stats] - first[stats]).max() > 1e-3


def test_nothing_is_done_twice(whole):
    workdir, result = whole
    before = {p: p.stat().st_mtime_ns for p in workdir.glob("checkpoints/*/*")}
    again = train(workdir, changed(TOY, raise_at=0))
    assert again.best_value == result.best_value
    assert before == {p: p.stat().st_mtime_ns for p in workdir.glob("checkpoints/*/*")}


@pytest.mark.parametrize("step", [1, 5, 19])
def test_crash_leaves_no_trace(step, whole, tmp_path):
    with pytest.raises(InterruptedError):
        train(tmp_path, changed(TOY, raise_at=step))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"phase": "first", "ste')  # half a line
    train(tmp_path, TOY)
    assert fingerprint(tmp_path) == fingerprint(whole[0])


@pytest.mark.parametrize(
    ("kind", "code", "step"),
    [
        ("sigterm", 143, 0),
        ("sigterm", 143, 7),
        ("sigterm", 143, 16),
        ("sigint", 130, 1),
        ("sigint", 130, 19),
    ],
)
def test_signals_anywhere_leave_no_trace(kind, code, step, whole, tmp_path, capsys):
    """Also inside a window of training metrics, whose sums are carried over."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    handlers = [signal.getsignal(number) for number in numbers]
    with pytest.raises(SystemExit) as stop:
        train(tmp_path, changed(TOY, **{f"{kind}_at": step}))
    assert stop.value.code == code
    assert [signal.getsignal(number) for number in numbers] == handlers
    assert steps_of(tmp_path)[-1] == step + 1
    said = f"first: saved step {step + 1}; the same command continues\n"
    assert capsys.readouterr().err == said
    train(tmp_path, TOY)
    # The last step leaves nothing to go on with.
    goes_on = f"first: continuing from step {step + 1}\n" if step < 19 else ""
    assert capsys.readouterr().err.startswith(goes_on)
    assert fingerprint(tmp_path) == fingerprint(whole[0])


def test_sigterm_in_a_later_phase(whole, tmp_path):
    train(tmp_path, changed(TOY, second_steps=0))
    with pytest.raises(SystemExit):
        train(tmp_path, changed(TOY, sigterm_at=1))
    train(tmp_path, TOY)
    assert fingerprint(tmp_path) == fingerprint(whole[0])


def test_more_steps_continue(tmp_path, whole):
    toy = changed(TOY, second_steps=0)
    train(tmp_path, changed(toy, steps=12, log_every=3, eval_every=6))
    train(tmp_path, changed(toy, steps=20, log_every=5))
    lines = metric_writer.read_metrics(tmp_path)
    assert lines[-1]["step"] == 20
    latest = fingerprint(tmp_path)["first/latest"]["leaves"]
    assert latest == fingerprint(whole[0])["first/latest"]["leaves"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"seed": 3}, "seed was 0, now 3"),
        ({"batch_size": 8}, "batch_size was 16, now 8"),
        ({"width": 9}, "model.width was 8, now 9"),
        ({"best_mode": "min"}, "best_mode was 'max', now 'min'"),
    ],
)
def test_other_settings_are_refused_by_name(setting, message, tmp_path):
    train(tmp_path, changed(TOY, steps=2, second_steps=0))
    with pytest.raises(UserError, match=message) as error:
        train(tmp_path, changed(TOY, second_steps=0, **setting))
    assert "\n" not in str(error.value)


def test_earlier_phase_can_not_grow_under_a_later_one(tmp_path):
    train(tmp_path, changed(TOY, steps=3, second_steps=2))
    with pytest.raises(
        UserError, match="'second' has begun, but phase 'first'.* 3 of 5"
    ):
        train(tmp_path, changed(TOY, steps=5, second_steps=2))


def damage(folder, how):
    if how == "truncated":
        files = [p for p in (folder / "state").rglob("*") if p.is_file()]
        for path in files:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "garbled":
        for path in (folder / "state").rglob("d/*"):
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 0xFF
            path.write_bytes(bytes(data))
    elif how == "record":
        (folder / "about" / "data.json").write_text('{"step": ')
    else:
        shutil.rmtree(folder / "state")


@pytest.mark.parametrize("how", ["truncated", "garbled", "record", "deleted"])
def test_damaged_checkpoint_falls_back(how, whole, tmp_path, caplog):
    with pytest.raises(InterruptedError):
        train(tmp_path, changed(TOY, raise_at=13))
    assert steps_of(tmp_path)[-2:] == [10, 12]
    damage(tmp_path / "checkpoints/first/12", how)
    train(tmp_path, TOY)
    assert "first/12 is damaged" in caplog.text
    assert (tmp_path / "checkpoints/damaged/first-12").is_dir()
    assert fingerprint(tmp_path) == fingerprint(whole[0])


def test_all_damaged_is_one_clear_line(tmp_path):
    train(tmp_path, changed(TOY, steps=5, second_steps=0))
    for step in steps_of(tmp_path):
        damage(tmp_path / f"checkpoints/first/{step}", "deleted")
    with pytest.raises(UserError, match="every checkpoint in .* is damaged: remove"):
        train(tmp_path, changed(TOY, steps=9, second_steps=0))
    with pytest.raises(UserError, match="is damaged"):
        checkpointing.load_arrays(tmp_path)


def test_no_bad_state_is_ever_saved(tmp_path):
    toy = changed(TOY, nan_at=13, second_steps=0, log_every=100)
    with pytest.raises(UserError, match="'first': the loss of step 14 is not finite"):
        train(tmp_path, toy)
    assert steps_of(tmp_path)[-1] == 12
    assert all(
        np.isfinite(a).all() for a in checkpointing.load_arrays(tmp_path).values()
    )
    with pytest.raises(UserError, match="step 14"):
        train(tmp_path, toy)


def test_unknown_best_metric_lists_the_known(tmp_path):
    with pytest.raises(UserError, match="no validation metric 'top3'.*loss, top1"):
        train(tmp_path, changed(TOY, best_metric="top3"))


def test_uneven_batch_is_refused(tmp_path):
    with pytest.raises(UserError, match="batch size 12 .* 8 devices.*multiple of 8"):
        train(tmp_path, Toy(batch_size=12, devices=8))


def test_metrics_file_holds_no_times(whole):
    names = set()
    for line in (whole[0] / "metrics.jsonl").read_text().splitlines():
        names |= json.loads(line).keys()
    assert names == {
        "phase",
        "step",
        "train/loss",
        "train/top1",
        "train/gradient_norm",
        "train/update_norm",
        "train/parameter_norm",
        "validation/loss",
        "validation/top1",
    }
