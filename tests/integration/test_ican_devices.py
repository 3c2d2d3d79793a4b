"""One ICAN step from photos gives the same numbers however it is spread."""

import jax
import numpy as np
import pytest

from common.config import configs
from common.layers import resnet
from common.parallel.execution import SINGLE, make_execution
from common.parallel.processes import ParallelConfig
from common.tables.encoders import AttributeSize, AttributeSpec
from common.training import metrics, tree_paths
from ican import ensemble, zones
from ican.config import Config
from ican.step import Learner, State
from tests.ican.conftest import TINY

SPEC = AttributeSpec(
    (
        AttributeSize("metal", "categorical", 5),
        AttributeSize("weight", "continuous", 2),
    )
)
ZONES = zones.Zones(tuple(np.arange(180.0, 501.0, 45.0)))
BATCH = 16  # over 8 devices two rows each
ITEMS = 23  # a prime number: the second batch to judge has 7 rows and 9 of padding
STEPS = 3
CONFIG = configs.replace(
    Config(),
    {
        **TINY,
        "model.dropout": 0.2,
        "model.ican.dropout": 0.2,
        "optimizer.learning_rate": 0.02,
        "optimizer.clip_norm": 1.0,
        "train.batch_size": BATCH,
    },
)


@pytest.fixture(autouse=True)
def small_backbone(monkeypatch):
    """One stage, batch normalisation and all, compiles in no time."""
    sizes = resnet.Sizes((1,), widths=(4,), stem=4)
    monkeypatch.setitem(resnet.SIZES, "tiny", sizes)


def make_items():
    """All items; classes come in very uneven numbers."""
    rng = np.random.default_rng(0)
    prices = 150 + 380 * rng.random(ITEMS) ** 3
    items = {
        "categorical": rng.integers(0, 5, (ITEMS, 1)).astype(np.int32),
        "continuous": rng.normal(size=(ITEMS, 2)).astype(np.float32),
        "missing": rng.integers(0, 2, (ITEMS, 2)).astype(np.float32),
        "sets": np.zeros((ITEMS, 0), np.float32),
        "photos": rng.integers(0, 256, (ITEMS, 1, 36, 36, 3), np.uint8),
        "photo_mask": np.ones((ITEMS, 1), np.float32),
        "price": prices.astype(np.float32),
        "label": ZONES.label(prices),
        "targets": ensemble_of(prices).targets(prices),
    }
    items["photo_mask"][5] = 0
    return items, prices


def ensemble_of(prices):
    config = ensemble.EnsembleConfig(classifiers=4, band=2.0)
    return ensemble.build(config, ZONES, prices)


def draw_state(learner):
    """The same numbers for every layout, without compiling `init`."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(learner.init, {})

    def draw(path, leaf):
        name = tree_paths.path_name(path)
        if name.endswith(("scale", "var")):
            return np.ones(leaf.shape, np.float32)
        return (0.2 * rng.normal(size=leaf.shape)).astype(np.float32)

    params, stats = (
        jax.tree_util.tree_map_with_path(draw, tree)
        for tree in (shapes.params, shapes.batch_stats)
    )
    optimizer = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes.optimizer
    )
    return State(params, stats, optimizer)


def run(mode, devices):
    """Trains some steps, then judges all items: (losses, judged, state)."""
    execution = make_execution(ParallelConfig(mode=mode, devices=devices))
    items, prices = make_items()
    counts = ensemble_of(prices).class_counts(prices)
    learner = Learner(
        CONFIG, SPEC, ensemble_of(prices), counts, None, execution.devices
    )
    state = execution.replicate(draw_state(learner))
    step = execution.compile_step(
        lambda state, batch, seed: learner.step(state, batch, jax.random.key(seed))
    )
    losses = []
    for number in range(STEPS):
        rows = (np.arange(BATCH) + number * BATCH) % ITEMS
        batch = {name: array[rows] for name, array in items.items()}
        state, pairs = step(state, batch, np.int32(number))
        total, weight = execution.read(pairs["loss"])
        losses.append(float(total / weight))
    evaluate = execution.compile_eval(learner.evaluate)
    batches = []
    for start in range(0, ITEMS, BATCH):
        rows = np.minimum(np.arange(start, start + BATCH), ITEMS - 1)
        batch = {name: array[rows] for name, array in items.items()}
        batch["mask"] = (np.arange(start, start + BATCH) < ITEMS).astype(np.float32)
        batches.append(execution.put(batch))
    judged = metrics.sum_over(evaluate, state, batches).totals()
    return losses, judged, execution.to_host(state)


@pytest.fixture(scope="module")
def reference():
    with pytest.MonkeyPatch.context() as patch:
        sizes = resnet.Sizes((1,), widths=(4,), stem=4)
        patch.setitem(resnet.SIZES, "tiny", sizes)
        return run("jit", 1)


def assert_same(found, wanted):
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5)
    for name, (total, weight) in wanted[1].items():
        assert found[1][name][1] == weight == ITEMS, name
        np.testing.assert_allclose(found[1][name][0], total, rtol=1e-4, err_msg=name)
    leaves = tree_paths.flatten(found[2])
    for name, leaf in tree_paths.flatten(wanted[2]).items():
        np.testing.assert_allclose(
            leaves[name], leaf, rtol=1e-4, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize(
    "mode, devices", [("jit", 2), ("jit", 8), ("pmap", 2), ("pmap", 8)]
)
def test_devices_do_not_matter(mode, devices, reference):
    assert_same(run(mode, devices), reference)


def test_training_moved_everything_that_is_compared(reference):
    items, prices = make_items()
    learner = Learner(
        CONFIG,
        SPEC,
        ensemble_of(prices),
        ensemble_of(prices).class_counts(prices),
        None,
        SINGLE,
    )
    before = tree_paths.flatten(draw_state(learner))
    after = tree_paths.flatten(reference[2])
    moved = {name for name in after if np.abs(after[name] - before[name]).max() > 1e-4}
    assert {"batch_stats", "params", "optimizer"} == {n.split("/")[0] for n in moved}
    assert any("backbone" in name and "kernel" in name for name in moved)
    assert any("head/coattention" in name for name in moved)
    assert len(items["price"]) == ITEMS
