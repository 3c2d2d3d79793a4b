import threading
import time

import pytest

from common.training import activity


@pytest.fixture
def spoken(monkeypatch):
    """Lines said, with a silence of 0.1 s."""
    lines = []
    monkeypatch.setattr(activity, "SILENCE", 0.1)
    monkeypatch.setattr(activity, "say", lines.append)
    return lines


def wait_for(lines, count):
    end = time.monotonic() + 10
    while len(lines) < count and time.monotonic() < end:
        time.sleep(0.01)
    return lines


def test_what_goes_on_is_said_in_silence_again_and_again(spoken):
    with activity.watched(), activity.doing("evaluating"):
        with activity.doing(lambda: f"compiling {len(spoken)}"):
            wait_for(spoken, 2)
        assert spoken[:2] == ["compiling 0", "compiling 1"]
        spoken.clear()
        wait_for(spoken, 1)
    assert spoken[0] == "evaluating"
    count = len(spoken)
    time.sleep(0.3)
    assert len(spoken) == count


def test_nothing_is_said_where_something_is_heard(spoken):
    with activity.watched(), activity.doing("training"):
        for _ in range(30):
            activity.heard()
            time.sleep(0.01)
    assert spoken == []


def test_seconds_are_those_of_the_activity(spoken, monkeypatch):
    with activity.watched(), activity.doing("saving"):
        began = time.monotonic
        monkeypatch.setattr(activity.time, "monotonic", lambda: began() + 62)
        wait = threading.Event()
        while not spoken:
            wait.wait(0.01)
    assert spoken[0] == "saving (62 s)"


def test_a_run_that_shows_no_progress_is_silent(spoken):
    with activity.watched(), activity.doing("training"):
        with activity.watched(speaks=False):
            time.sleep(0.3)
        assert spoken == []
        wait_for(spoken, 1)
    assert spoken[0] == "training"


def test_no_other_process_speaks(spoken, monkeypatch):
    monkeypatch.setattr(activity, "is_first_process", lambda: False)
    with activity.watched(), activity.doing("training"):
        time.sleep(0.3)
    assert spoken == []
