"""The same numbers under jit and pmap, on 1, 2 and 8 devices, on 1 and 2 processes."""

import json
import pathlib
import signal
import time

import numpy as np
import pytest

from common.training import checkpointing, metric_writer
from tests.integration import killing, pair
from tests.integration.toy_training import Toy, train

PROGRAM = str(pathlib.Path(__file__).with_name("toy_training.py"))
STEPS = 12
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """One device, jit."""
    workdir = tmp_path_factory.mktemp("reference")
    train(workdir, Toy(steps=STEPS, devices=1))
    return workdir


def assert_same_run(workdir, reference):
    """Leaves, curves and the choice of the best agree."""
    lines = metric_writer.read_metrics(workdir)
    expected = metric_writer.read_metrics(reference)
    assert len(lines) == len(expected) == 7
    for line, wanted in zip(lines, expected, strict=True):
        assert line.pop("phase") == wanted.pop("phase")
        assert line.keys() == wanted.keys()
        for name, value in wanted.items():
            np.testing.assert_allclose(line[name], value, **TOLERANCE, err_msg=name)
    arrays = checkpointing.load_arrays(workdir)
    wanted_arrays = checkpointing.load_arrays(reference)
    assert arrays.keys() == wanted_arrays.keys()
    for path, array in wanted_arrays.items():
        np.testing.assert_allclose(arrays[path], array, **TOLERANCE, err_msg=path)


@pytest.mark.parametrize(
    "toy",
    [
        Toy(steps=STEPS, devices=2),
        Toy(steps=STEPS, devices=8),
        Toy(steps=STEPS, devices=1, mode="pmap"),
        Toy(steps=STEPS, devices=8, mode="pmap"),
        Toy(steps=STEPS, devices=8, model_axis=2),
    ],
    ids=lambda toy: f"{toy.mode}-{toy.devices}-{toy.model_axis}",
)
def test_one_process(toy, reference, tmp_path):
    train(tmp_path, toy)
    assert_same_run(tmp_path, reference)


def test_dropout_matters_here(reference, tmp_path):
    """Another seed of the masks alone changes the curve: the tests above see it."""
    train(tmp_path, Toy(steps=STEPS, devices=1, seed=1))
    with pytest.raises(AssertionError):
        assert_same_run(tmp_path, reference)


def test_large_arrays_are_sharded_over_the_model_axis(tmp_path):
    toy = Toy(steps=2, devices=4, model_axis=2, width=1 << 15)
    kernel = train(tmp_path, toy).state["variables"]["params"]["Dense_0"]["kernel"]
    assert kernel.shape == (5, 1 << 15)
    assert kernel.addressable_shards[0].data.shape == (5, 1 << 14)
    whole = checkpointing.load_arrays(tmp_path)["variables/params/Dense_0/kernel"]
    np.testing.assert_array_equal(whole, np.asarray(kernel))


@pytest.mark.parametrize(
    "layouts",
    [
        ({"mode": "pmap", "devices": 8}, {"mode": "jit", "devices": 1}),
        ({"mode": "jit", "devices": 8}, {"mode": "pmap", "devices": 2}),
    ],
)
def test_continues_on_another_layout(layouts, reference, tmp_path):
    before, after = layouts
    with pytest.raises(InterruptedError):
        train(tmp_path, Toy(steps=STEPS, raise_at=6, **before))
    train(tmp_path, Toy(steps=STEPS, **after))
    assert_same_run(tmp_path, reference)


def start_pair(workdir, **settings):
    def command(number, coordinator):
        toy = {"coordinator": coordinator, "process_id": number, **settings}
        return PROGRAM, str(workdir), json.dumps(toy)

    return pair.start(command)


@pytest.fixture(scope="module")
def pair_run(tmp_path_factory):
    """Two processes, jit."""
    workdir = tmp_path_factory.mktemp("pair")
    codes, output = pair.end(start_pair(workdir, steps=STEPS))
    assert codes == [0, 0], output
    return workdir


def test_two_processes_jit(pair_run, reference):
    assert_same_run(pair_run, reference)


def test_two_processes_pmap(reference, tmp_path):
    codes, output = pair.end(start_pair(tmp_path, steps=STEPS, mode="pmap"))
    assert codes == [0, 0], output
    assert_same_run(tmp_path, reference)


def test_sigterm_to_one_of_two_processes(pair_run, tmp_path):
    """Both save the same step and leave; started again they end bit for bit alike."""
    both = start_pair(tmp_path, steps=STEPS, pause=0.3)
    while not (tmp_path / "metrics.jsonl").exists():
        time.sleep(0.01)
    both[1].send_signal(signal.SIGTERM)
    codes, output = pair.end(both)
    assert codes == [143, 143], output
    codes, output = pair.end(start_pair(tmp_path, steps=STEPS))
    assert codes == [0, 0], output
    assert killing.fingerprint(tmp_path) == killing.fingerprint(pair_run)
