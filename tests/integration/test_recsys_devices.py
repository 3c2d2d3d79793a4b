"""The whole recsys gives the same lists however its steps are spread.

As a program it is one of two processes:

    python tests/integration/test_recsys_devices.py FOLDER SETTINGS.json
"""

import dataclasses
import json
import pathlib
import sys
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import jax
import numpy as np
import pytest

from common.config import configs
from common.parallel import execution, processes
from common.training import metric_writer
from recsys import data, train
from recsys.config import Config
from recsys.run import prepare
from tests.integration import pair

PROGRAM = str(pathlib.Path(__file__))
STEPS = 6
# Prime numbers, so that the last batch of users and of items is a padded one.
SETTINGS = {
    "closet.subset": "kids",
    "closet.user_count": 59,
    "closet.item_count": 601,
    "closet.interaction_count": 1201,
    "closet.feature_width": 32,
    "model.width": 16,
    "loss.mask_other_users": True,
    "optimizer.clip_norm": 1.0,
    "optimizer.learning_rate": 0.02,
    "ranking.validation_users": 13,
    "ranking.rows_at_once": 37,
    "train.batch_size": 24,  # over 8 devices three rows each
    "train.steps": STEPS,
    "train.log_every": 1,
    "train.eval_every": STEPS,
    "train.checkpoint_every": STEPS,
    "train.progress": False,
    "train.tensorboard": False,
}
KINDS: dict[str, dict[str, Any]] = {
    "exact": {"model.name": "deepstyle", "row_optimizer": "lazy_corrected"},
    "sampled": {
        "row_optimizer": "dense",
        "loss.softmax": "sampled",
        "loss.sampled_users": 11,
        "loss.penalty": 0.01,
    },
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run came to: all on the host.

    Attributes:
      lists: {split: int [Q, K]}.
      values: the contents of metrics.json.
      params: {name: array}.
      losses: of training, step by step.
    """

    lists: dict[str, np.ndarray]
    values: dict[str, float]
    params: dict[str, np.ndarray]
    losses: list[float]


def make_config(cache, kind="exact", **layout):
    named = {f"parallel.{name}": value for name, value in layout.items()}
    own = {"data.cache": str(cache), "parallel.compilation_cache": ""}
    return configs.replace(Config(), {**SETTINGS, **KINDS[kind], **own, **named})


def run(config, folder):
    """Trains, then judges the lists."""
    processes.start(config.parallel)
    ready = prepare(config, data.load(config))
    params = train.train(ready, folder)
    values, evaluated = train.evaluate(ready, params)
    host = ready.execution.to_host(params)
    lists = {split: found.lists for split, found in evaluated.items()}
    _, losses = metric_writer.read_curves(folder, "train")["train/loss"]
    return Outcome(lists, values, host, losses)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Features of the items, for all runs."""
    return tmp_path_factory.mktemp("closet")


@pytest.fixture(scope="module")
def references(cache, tmp_path_factory):
    """One device, jit; by kind."""
    return {
        kind: run(make_config(cache, kind, devices=1), tmp_path_factory.mktemp(kind))
        for kind in KINDS
    }


def assert_same(found, expected):
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)
    assert found.params.keys() == expected.params.keys()
    for name, array in expected.params.items():
        np.testing.assert_allclose(
            found.params[name], array, rtol=1e-3, atol=1e-4, err_msg=name
        )
    for split, lists in expected.lists.items():
        np.testing.assert_array_equal(found.lists[split], lists, err_msg=split)
    assert found.values.keys() == expected.values.keys()
    for name, value in expected.values.items():
        np.testing.assert_allclose(found.values[name], value, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    "kind, mode, devices",
    [
        ("exact", "jit", 2),
        ("exact", "jit", 8),
        ("exact", "pmap", 1),
        ("exact", "pmap", 2),
        ("exact", "pmap", 8),
        ("sampled", "pmap", 2),
    ],
)
def test_devices_do_not_matter(kind, mode, devices, cache, references, tmp_path):
    config = make_config(cache, kind, mode=mode, devices=devices)
    assert_same(run(config, tmp_path), references[kind])


def test_tables_cut_over_devices_do_not_matter(
    cache, references, tmp_path, monkeypatch
):
    """Four copies of the tables, each on two devices; small ones are cut here, too."""
    monkeypatch.setattr(execution, "MIN_SHARDED_SIZE", 64)
    config = make_config(cache, "sampled", devices=8, model_axis=2)
    ready = prepare(config, data.load(config))
    params = jax.eval_shape(ready.learner.init).params
    specs = {n: ready.execution.saved_structs(p).sharding for n, p in params.items()}
    cut = {name for name, spec in specs.items() if not spec.is_fully_replicated}
    assert cut >= {"user_preference", "leaf_matrix", "category_transition2"}
    assert_same(run(config, tmp_path), references["sampled"])


def test_training_moved_everything_that_is_compared(cache, references):
    """And the two kinds have come to other lists."""
    for kind, expected in references.items():
        config = make_config(cache, kind, devices=1)
        ready = prepare(config, data.load(config))
        first = ready.execution.init(ready.learner.init, None).params
        host = ready.execution.to_host(first)
        for name, array in expected.params.items():
            assert np.abs(array - host[name]).max() > 0.01, name
        assert (np.diff(expected.losses) != 0).all()
        assert len(np.unique(expected.lists["test"])) > 50
    one, other = (references[kind].lists["test"] for kind in KINDS)
    assert (one != other).any(axis=1).all()


def command(folder, cache, number, coordinator):
    """Of one of two processes that train together."""
    layout = pair.layout(number, coordinator)
    settings = folder / f"settings{number}.json"
    runs = {
        mode: configs.to_dict(make_config(cache, mode=mode, **layout))
        for mode in ("jit", "pmap")
    }
    settings.write_text(json.dumps(runs), encoding="utf-8")
    return PROGRAM, str(folder), str(settings)


def train_in_pair(folder, settings):
    """What each of the two processes does; each writes down what it has got."""
    for mode, values in settings.items():
        found = run(configs.from_dict(Config, values), folder / mode)
        with open(folder / f"{mode}{jax.process_index()}.npz", "wb") as file:
            np.savez(
                file,
                **{f"lists/{split}": lists for split, lists in found.lists.items()},
                **{f"values/{name}": value for name, value in found.values.items()},
                **{f"params/{name}": array for name, array in found.params.items()},
                losses=found.losses,
            )


def read_outcome(path):
    with np.load(path) as saved:
        groups: dict[str, Any] = {"lists": {}, "values": {}, "params": {}}
        for name in saved:
            group, _, key = name.partition("/")
            if key:
                groups[group][key] = saved[name]
        return Outcome(**groups, losses=saved["losses"].tolist())


def test_two_processes_do_not_matter(cache, references, tmp_path):
    """Over loopback, under jit and under pmap; both have all lists in the end."""
    both = pair.start(lambda *which: command(tmp_path, cache, *which))
    codes, output = pair.end(both)
    assert codes == [0, 0], output
    for mode in ("jit", "pmap"):
        for number in range(2):
            found = read_outcome(tmp_path / f"{mode}{number}.npz")
            assert_same(found, references["exact"])


if __name__ == "__main__":
    text = pathlib.Path(sys.argv[2]).read_text(encoding="utf-8")
    train_in_pair(pathlib.Path(sys.argv[1]), json.loads(text))
