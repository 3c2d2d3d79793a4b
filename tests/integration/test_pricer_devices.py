"""The whole pricer gives the same numbers however its steps are spread.

As a program it is one of two processes:

    python tests/integration/test_pricer_devices.py FOLDER SETTINGS.json
"""

import contextlib
import json
import pathlib
import sys

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import numpy as np
import pytest

from common.config import configs
from common.layers import resnet
from common.training import checkpointing, workdirs
from pricer import report, saved_model, train
from pricer.config import Config
from pricer.run import prepare
from tests.integration import pair
from tests.pricer.conftest import open_shop

PROGRAM = str(pathlib.Path(__file__))
TASKS = ("category", "attribute")  # one class of many, and members of a set
BATCH = 16  # over 8 devices two rows each; the last batch of every split is padded
STEPS = 3
SETTINGS = {
    "labels__brand": "",
    "labels__specification": (),
    "networks__batch_size": BATCH,
    "networks__steps": STEPS,
    "networks__eval_every": STEPS,
    "warm_up__steps": STEPS,
    "train__batch_size": BATCH,
    "train__steps": STEPS,
    "train__eval_every": STEPS,
    "train__checkpoint_every": STEPS,
}


@contextlib.contextmanager
def small_networks():
    """One stage, batch normalisation and all, compiles in no time; no report page."""
    with pytest.MonkeyPatch.context() as patch:
        sizes = resnet.Sizes((1,), widths=(4,), stem=4)
        patch.setitem(resnet.SIZES, "tiny", sizes)
        patch.setattr(report, "write", lambda *args: None)
        yield


def make_config(shop, folder, dropout=0.3, **layout):
    """Of a run that extracts its own features."""
    parallel = {f"parallel__{name}": value for name, value in layout.items()}
    features = str(folder / "features")
    return shop.config(
        networks__cache=features,
        model__dropout=dropout,
        rival="none",  # a whole run would have it, the heads alone not
        **SETTINGS,
        **parallel,
    )


def run(config, folder):
    with small_networks():
        train.train_and_evaluate(config, folder)
    return folder


def run_heads(config, networks, folder):
    """Features and heads of networks that are trained."""
    with small_networks():
        prepared = prepare(config, networks, print)
        with workdirs.recording(folder, "pricer", config, train.FREE) as record:
            _, values, _ = train.train_heads(prepared, record, print)
            record.finish(values)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """97, 23 and 29 items."""
    return open_shop(tmp_path_factory.mktemp("bazaar"))


@pytest.fixture(scope="module")
def reference(shop, tmp_path_factory):
    """One device, jit."""
    folder = tmp_path_factory.mktemp("reference")
    return run(make_config(shop, folder, devices=1), folder)


def assert_same_arrays(folder, reference):
    """The best checkpoints agree."""
    arrays = checkpointing.load_arrays(folder)
    expected_arrays = checkpointing.load_arrays(reference)
    assert arrays.keys() == expected_arrays.keys()
    for path, expected in expected_arrays.items():
        np.testing.assert_allclose(
            arrays[path], expected, rtol=1e-4, atol=1e-5, err_msg=path
        )


def assert_same_networks(folder, reference):
    for task in TASKS:
        network = pathlib.Path(saved_model.NETWORKS, task)
        assert_same_arrays(folder / network, reference / network)


def assert_same_heads(folder, reference):
    """The features that they read, their parameters and all figures agree."""
    for task in TASKS:
        (found,), (expected,) = (
            where.glob(f"features/{task}-*/features.f16")
            for where in (folder, reference)
        )
        # A float16 may be rounded the other way: its last bit is 1/1024 of it.
        np.testing.assert_allclose(
            np.fromfile(found, np.float16), np.fromfile(expected, np.float16), rtol=1e-3
        )
    assert_same_arrays(folder, reference)
    values = workdirs.read_metrics(folder)
    expected_values = workdirs.read_metrics(reference)
    assert values.keys() == expected_values.keys()
    # A gate that accepts nothing at 0.5 has no error there.
    blank = {name for name, value in expected_values.items() if value is None}
    assert blank == {name for name, value in values.items() if value is None}
    assert all("_at_half" in name for name in blank)
    for name in values.keys() - blank:
        expected = pytest.approx(expected_values[name], rel=1e-3, abs=1e-5)
        assert values[name] == expected, name


@pytest.mark.parametrize("mode, devices", [("jit", 8), ("pmap", 2)])
def test_devices_do_not_matter(mode, devices, shop, reference, tmp_path):
    run(make_config(shop, tmp_path, mode=mode, devices=devices), tmp_path)
    assert_same_networks(tmp_path, reference)
    assert_same_heads(tmp_path, reference)


@pytest.mark.parametrize("mode, devices", [("jit", 2), ("pmap", 1), ("pmap", 8)])
def test_devices_do_not_matter_to_the_heads(mode, devices, shop, reference, tmp_path):
    config = make_config(shop, tmp_path, mode=mode, devices=devices)
    run_heads(config, reference / saved_model.NETWORKS, tmp_path)
    assert_same_heads(tmp_path, reference)


def command(shop, folder, number, coordinator):
    """Of one of two processes that train together."""
    layout = pair.layout(number, coordinator)
    settings = folder / f"settings{number}.json"
    runs = {
        mode: configs.to_dict(make_config(shop, folder / mode, mode=mode, **layout))
        for mode in ("jit", "pmap")
    }
    settings.write_text(json.dumps(runs), encoding="utf-8")
    return PROGRAM, str(folder), str(settings)


def train_in_pair(folder, settings):
    """What each of the two processes does."""
    modes = {mode: configs.from_dict(Config, x) for mode, x in settings.items()}
    networks = run(modes["jit"], folder / "jit") / saved_model.NETWORKS
    run_heads(modes["pmap"], networks, folder / "pmap")


def test_two_processes_do_not_matter(shop, reference, tmp_path):
    """Over loopback; all under jit, then features and heads under pmap.

    The reference has prepared the data.
    """
    both = pair.start(lambda *which: command(shop, tmp_path, *which))
    codes, output = pair.end(both)
    assert codes == [0, 0], output
    assert_same_networks(tmp_path / "jit", reference)
    for mode in ("jit", "pmap"):
        assert_same_heads(tmp_path / mode, reference)


def test_dropout_matters_here(shop, reference, tmp_path):
    """Without it the same features give other heads: the tests above see its masks."""
    config = make_config(shop, reference, dropout=0.0, devices=1)
    with small_networks():
        prepared = prepare(config, reference / saved_model.NETWORKS, lambda text: None)
        prepared.heads.train(tmp_path)
    with pytest.raises(AssertionError, match="params"):
        assert_same_arrays(tmp_path, reference)


if __name__ == "__main__":
    text = pathlib.Path(sys.argv[2]).read_text(encoding="utf-8")
    train_in_pair(pathlib.Path(sys.argv[1]), json.loads(text))
