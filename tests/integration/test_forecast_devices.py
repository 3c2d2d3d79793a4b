"""Steps and paths of forecast are the same however batches are spread."""

import contextlib

import jax
import numpy as np
import pytest

from common.config import configs
from common.parallel import processes
from common.training import metrics, tree_paths
from forecast import data, evaluation
from forecast.config import Config
from forecast.run import prepare
from tests.integration.test_forecast_resume import SETTINGS as SMALL

STEPS = 3
SETTINGS = {
    **SMALL,
    "backtest.windows": 3,  # over 8 devices: five are padding
    # Adam would blow up gradients that are zero but for rounding.
    "optimizer.name": "sgd",
    "optimizer.learning_rate": 0.05,
    "optimizer.clip_norm": 1.0,
    "train.steps": STEPS,
}


def train_and_sample(**layout):
    """Some steps, then validation and paths: (numbers, paths, parameters)."""
    named = {f"parallel.{name}": value for name, value in layout.items()}
    config = configs.replace(Config(), {**SETTINGS, **named})
    processes.start(config.parallel)
    run = prepare(config, data.load(config))
    state = run.execution.init(run.learner.init, None)
    step = run.execution.compile_step(
        lambda state, batch, number: run.learner.step(
            state, batch, jax.random.fold_in(jax.random.key(3), number)
        )
    )
    with contextlib.closing(run.train_batches(config.train, 0)) as batches:
        for number in range(STEPS):
            state, found = step(state, next(batches), np.int32(number))
    values = {n: float(t / w) for n, (t, w) in run.execution.read(found).items()}
    judge = run.execution.compile_eval(run.learner.evaluate)
    with run.eval_batches("validation", 8) as rows:
        sums = metrics.sum_over(judge, state, rows).means()
    values |= {f"validation/{name}": value for name, value in sums.items()}
    paths = evaluation.sample(
        run.learner, run.execution, run.grid, state, run.starts["test"]
    )
    host = run.execution.to_host((state.params, state.batch_stats))
    return values, paths, tree_paths.flatten(dict(zip("ps", host, strict=True)))


@pytest.fixture(scope="module")
def reference():
    """One device, jit."""
    return train_and_sample(devices=1)


@pytest.mark.parametrize("mode, devices", [("jit", 8), ("pmap", 8)])
def test_devices_do_not_matter(mode, devices, reference):
    values, paths, params = train_and_sample(mode=mode, devices=devices)
    assert values == pytest.approx(reference[0], rel=1e-4, abs=1e-5)
    assert params.keys() == reference[2].keys()
    for name, array in reference[2].items():
        np.testing.assert_allclose(
            params[name], array, rtol=1e-4, atol=1e-5, err_msg=name
        )
    # Counts: a rounding apart is one apart, and few may be.
    assert (paths != reference[1]).mean() < 0.01
