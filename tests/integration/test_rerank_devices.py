"""Steps and answers of rerank are the same however batches are spread.

As a program it is one of two processes:

    python tests/integration/test_rerank_devices.py FOLDER SETTINGS.json
"""

import contextlib
import functools
import json
import pathlib
import sys
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import jax
import numpy as np
import pytest

from common.config import configs
from common.parallel import processes
from common.training import metrics, tree_paths
from rerank import data, evaluation
from rerank.config import LISTWISE, POINTER, POINTWISE, Config
from rerank.run import prepare
from rerank.step import State
from tests.integration import pair
from tests.rerank.by_hand import draw_state

PROGRAM = str(pathlib.Path(__file__))
STEPS = 3
# Prime numbers of requests, so that the last batch of each split is a padded one.
SETTINGS = {
    "serp.preset": "fusion",
    "serp.train_count": 31,
    "serp.validation_count": 13,
    "serp.test_count": 11,
    "model.width": 8,
    "model.heads": 2,
    "model.field_layers": 0,  # less to compile
    "model.list_layers": 1,
    "model.history": False,
    "model.dropout": 0.2,
    "model.modality_dropout": 0.3,
    "loss.target": "click",
    "search.use": "always",
    "search.beams": 2,
    "search.samples": 2,
    "search.budget": 9,
    # Adam would blow up gradients that are zero but for rounding.
    "optimizer.name": "sgd",
    "optimizer.learning_rate": 0.5,
    "optimizer.weight_decay": 0.0,
    "optimizer.clip_norm": 1.0,
    "pointer_steps": STEPS,
    "parallel.compilation_cache": "",
    "train.batch_size": 8,  # over 8 devices a list each
    "train.steps": STEPS,
}
LAYOUTS = [("pmap", 1), ("jit", 8), ("pmap", 8)]


class Outcome(NamedTuple):
    """What a run came to: all on the host.

    Attributes:
      orders: {name: int [R, L]} of the test requests.
      values: {name: number}, of the last step, of validation and of the answers.
      params: {name: array}.
    """

    orders: dict[str, np.ndarray]
    values: dict[str, float]
    params: dict[str, np.ndarray]


def make_config(**layout):
    named = {f"parallel.{name}": value for name, value in layout.items()}
    return configs.replace(Config(), {**SETTINGS, **named})


def first_states(run):
    """{phase: a state of drawn numbers}, without compiling `init`."""
    states = {phase: draw_state(run.learners[phase]) for phase in run.learners}
    pointer = run.phases[POINTER]
    with_init = functools.partial(pointer.init, states[LISTWISE])
    drawn = draw_state(type("Drawn", (), {"init": staticmethod(with_init)}))
    both = {**drawn.params, "evaluator": states[LISTWISE].params}
    return {**states, POINTER: State(both, drawn.optimizer)}


def train_and_answer(config):
    """Some steps of evaluator and pointer, in one program; then the answers."""
    processes.start(config.parallel)
    run = prepare(config, data.load(config))
    phases = {name: run.phases[name] for name in (LISTWISE, POINTER)}
    first = first_states(run)
    pointwise = run.execution.replicate(first.pop(POINTWISE).params)

    def step(states, batch, number):
        key = jax.random.fold_in(jax.random.key(3), number)
        made = {p: phases[p].step(states[p], batch, key) for p in phases}
        found = {f"{p}/{n}": x for p in phases for n, x in made[p][1].items()}
        return {p: state for p, (state, _) in made.items()}, found

    def evaluate(states, batch):
        found = {p: phases[p].evaluate(states[p], batch) for p in phases}
        return {f"{p}/validation/{n}": x for p in phases for n, x in found[p].items()}

    states, compiled = run.execution.replicate(first), run.execution.compile_step(step)
    with contextlib.closing(run.train_batches(0)) as batches:
        for number in range(STEPS):
            states, found = compiled(states, next(batches), np.int32(number))
    values = {n: float(t / w) for n, (t, w) in run.execution.read(found).items()}
    judge = run.execution.compile_eval(evaluate)
    with contextlib.closing(run.eval_batches(run.corpus.splits["validation"])) as rows:
        values |= metrics.sum_over(judge, states, rows).means()

    host = run.execution.to_host({p: state.params for p, state in states.items()})
    params = {p: states[p].params for p in phases} | {POINTWISE: pointwise}
    params[POINTER] = params[POINTER]["pointer"]
    evaluated = evaluation.evaluate(run, params)
    orders = {name: getattr(evaluated.outputs, name) for name in ("sort", "search")}
    return Outcome(orders, values | evaluated.values, tree_paths.flatten(host))


@pytest.fixture(scope="module")
def reference():
    """One device, jit."""
    return train_and_answer(make_config(devices=1))


def assert_same(found, expected):
    for name, orders in expected.orders.items():
        np.testing.assert_array_equal(found.orders[name], orders, err_msg=name)
    assert found.values == pytest.approx(
        expected.values, rel=1e-4, abs=1e-6, nan_ok=True
    )
    assert found.params.keys() == expected.params.keys()
    for name, array in expected.params.items():
        np.testing.assert_allclose(
            found.params[name], array, rtol=1e-4, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("mode, devices", LAYOUTS)
def test_devices_do_not_matter(mode, devices, reference):
    assert_same(train_and_answer(make_config(mode=mode, devices=devices)), reference)


def test_everything_that_is_compared_moved(reference):
    run = prepare(make_config(devices=1), data.load(make_config()))
    first = {p: state.params for p, state in first_states(run).items()}
    before = tree_paths.flatten(first)
    # The pointer's evaluator rests; what is added to all keys, a softmax does not see.
    rest = (f"{POINTER}/evaluator", f"{POINTER}/pointer/key/bias")
    moved = {n: np.abs(x - before[n]).max() for n, x in reference.params.items()}
    assert all(x < 1e-6 for name, x in moved.items() if name.startswith(rest))
    small = {name: x for name, x in moved.items() if x < 3e-5}  # beside 1e-5
    assert all(name.startswith(rest) for name in small), small
    assert len(np.unique(reference.orders["search"], axis=0)) > 5
    assert (reference.orders["search"] != reference.orders["sort"]).any(
        axis=1
    ).sum() > 5
    assert reference.values["test/search/value"] > reference.values["test/sort/value"]


def command(folder, number, coordinator):
    """Of one of two processes that train together."""
    settings = folder / f"settings{number}.json"
    layout = pair.layout(number, coordinator)
    runs = {m: configs.to_dict(make_config(mode=m, **layout)) for m in ("jit", "pmap")}
    settings.write_text(json.dumps(runs), encoding="utf-8")
    return PROGRAM, str(folder), str(settings)


def train_in_pair(folder, settings):
    """What each of the two processes does; each writes down what it has got."""
    for mode, values in settings.items():
        found = train_and_answer(configs.from_dict(Config, values))
        with open(folder / f"{mode}{jax.process_index()}.npz", "wb") as file:
            np.savez(file, **tree_paths.flatten(found._asdict()))


def read_outcome(path):
    with np.load(path) as saved:
        groups: dict[str, Any] = {name: {} for name in Outcome._fields}
        for name in saved:
            group, _, key = name.partition("/")
            groups[group][key] = saved[name]
    return Outcome(**groups)


def test_two_processes_do_not_matter(reference, tmp_path):
    """Over loopback, under jit and under pmap; both have all answers in the end."""
    codes, output = pair.end(pair.start(lambda *which: command(tmp_path, *which)))
    assert codes == [0, 0], output
    for mode in ("jit", "pmap"):
        for number in range(2):
            assert_same(read_outcome(tmp_path / f"{mode}{number}.npz"), reference)


if __name__ == "__main__":
    text = pathlib.Path(sys.argv[2]).read_text(encoding="utf-8")
    train_in_pair(pathlib.Path(sys.argv[1]), json.loads(text))
