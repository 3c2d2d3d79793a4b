import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from common.training import interruption
from common.training.interruption import CTRL_C_CODE, Interruption

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture
def handlers():
    """Handlers before, which must be there again afterwards."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_is_noted_and_the_handlers_put_back(number, code, handlers):
    with Interruption() as asked:
        asked.hold()
        assert not asked.requested()
        os.kill(os.getpid(), number)
        assert asked.requested() and asked.noted
        assert asked.exit_code == code


def test_ctrl_c_ends_what_has_nothing_to_save(handlers):
    with Interruption() as asked:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        asked.hold()
        asked.release()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert not asked.noted


def test_a_second_ctrl_c_ends_what_saves(handlers):
    with Interruption() as asked:
        asked.hold()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_in_one_of_several_processes_counts_as_sigterm(handlers, monkeypatch):
    sent = []
    monkeypatch.setattr("jax.process_count", lambda: 2)
    terminates = signal.getsignal(signal.SIGTERM)
    with Interruption() as asked:
        assert signal.getsignal(signal.SIGTERM) is terminates  # that of JAX
        monkeypatch.setattr(interruption.os, "kill", lambda *call: sent.append(call))
        signal.raise_signal(signal.SIGINT)
        assert sent == [(os.getpid(), signal.SIGTERM)]
        assert not asked.noted  # the step is agreed on by all
        assert asked.exit_code == 143


def test_another_thread_leaves_the_handlers_alone(handlers):
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work():
        with Interruption() as asked:
            asked.hold()
            seen.append(signal.getsignal(signal.SIGTERM))
            seen.append(asked.requested())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, False]


BEGIN = """
import ctypes, os, signal, sys, time
from common.training import interruption
interruption.watch_ctrl_c()
def deaf():
    # Native code that no signal wakes, as when XLA compiles.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    print("ready", flush=True)
    ctypes.CDLL(None).sleep(60)
"""
IMPORTING = """
try:
    print("ready", flush=True)
    time.sleep(60)
except BaseException:
    time.sleep(60)
"""
TIDY = """
from common.cli.app import mistakes_in_one_line
with mistakes_in_one_line():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("tidied", flush=True)
"""
DEAF_AND_TIDY = """
from common.cli.app import mistakes_in_one_line
with mistakes_in_one_line():
    deaf()
"""
SWALLOWS = "interruption.let_main_tidy_up()" + IMPORTING
SAVES = """
interruption._watch.saves = True
deaf()
"""


def start(script):
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (IMPORTING, ""),
        (TIDY, "tidied\n"),
        (SWALLOWS, ""),
        ("deaf()", ""),
        (DEAF_AND_TIDY, ""),
    ],
    ids=["importing", "tidy", "swallows", "deaf", "deaf and tidy"],
)
def test_a_program_leaves_within_a_second_whatever_it_does(script, said):
    process = start(script)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert time.monotonic() - began < 2  # 0.5 and what the machine takes
    assert process.returncode == CTRL_C_CODE == 130
    assert (output, errors) == (said, "interrupted\n")


def test_a_deaf_program_that_saves_answers_and_leaves_at_the_second():
    process = start(SAVES)
    process.send_signal(signal.SIGINT)
    line = process.stderr.readline()
    assert line == "stopping when the state is saved; Ctrl-C again leaves at once\n"
    time.sleep(2 * interruption.SAME)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_a_ctrl_c_that_comes_twice_counts_once():
    """As from a terminal to the group and from a parent to its child."""
    process = start(SAVES)
    process.send_signal(signal.SIGINT)
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.kill()
    process.communicate()
