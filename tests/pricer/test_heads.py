import contextlib
import dataclasses
import json

import jax
import numpy as np
import pytest

from common.config import configs
from common.data.feature_cache import FeatureCache
from common.parallel.execution import make_execution
from common.parallel.processes import ParallelConfig
from common.training import checkpointing, loop_config
from pricer import gate, heads
from pricer.config import Config
from pricer.data import HeadRows
from pricer.features import Features
from pricer.heads import Heads
from tests.pricer.conftest import TINY

ROWS = 61


def make_heads(folder, parallel=None, **changes):
    """Heads on generated features: the price is a linear map of them."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(ROWS, 6)).astype(np.float16)
    prices = 5 + vectors.astype(np.float64) @ rng.normal(size=6)
    store = FeatureCache(folder / "store", {"k": "v"}, vectors.shape)
    if not store.complete:
        store.append(vectors)
    named = {name.replace("__", "."): value for name, value in changes.items()}
    config = configs.replace(Config(), {**TINY, **named})
    return Heads(
        config,
        HeadRows(
            Features([store]),
            rng.normal(size=(ROWS, 2)).astype(np.float32),
            prices,
            {"train": np.arange(0, 43), "validation": np.arange(43, ROWS)},
        ),
        make_execution(parallel or config.parallel),
        {"data": "test"},
    )


def host(state):
    return jax.tree.map(np.asarray, state)


def test_both_stages_run_and_beta_is_measured_between_them(tmp_path):
    made = make_heads(tmp_path)
    state = made.train(tmp_path / "run")
    lines = [
        json.loads(line)
        for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert {line["phase"] for line in lines} == {"warm_up", "joint"}
    warm = made.learner(warm_up=True)
    best = checkpointing.load_best(
        tmp_path / "run",
        "warm_up",
        jax.eval_shape(warm.init, made.scales()),
        made.execution,
    )
    suggestion = made.predict(best.state, made.train_rows)
    errors = made.rows.log_prices[:43] - suggestion.log_price
    expected = 2 * gate.error_at_quantile(suggestion.gate_logit, errors**2, 0.5)
    assert float(state.beta) == pytest.approx(expected, rel=1e-6)


def test_a_run_that_is_started_again_ends_with_the_same_bits(tmp_path):
    """Cut off in the first stage, between the stages and in the second."""

    def constant(folder):
        # A rate that does not depend on how many steps are asked for.
        return make_heads(folder, optimizer__schedule="constant")

    expected = host(constant(tmp_path).train(tmp_path / "whole"))
    text = (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    for number, (warm, joint) in enumerate([(2, None), (4, None), (4, 4)]):
        workdir = tmp_path / f"cut{number}"
        part = constant(tmp_path)
        if joint is None:
            learner = part.learner(warm_up=True)
            first = part._phase(heads.WARM_UP, learner, warm)
            part._run([first], workdir, part.scales())
        else:
            config = configs.replace(part.config, {"train.steps": joint})
            dataclasses.replace(part, config=config).train(workdir)
        found = host(constant(tmp_path).train(workdir))
        jax.tree.map(np.testing.assert_array_equal, found, expected)
        assert (workdir / "metrics.jsonl").read_bytes() == text


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_devices_agree(dropout, tmp_path):
    """43 training rows in batches of 16 over 1 and 8 devices, jit and pmap."""
    made = make_heads(tmp_path, model__dropout=dropout)
    expected = host(made.train(tmp_path / "one"))
    for mode in ("jit", "pmap"):
        layout = ParallelConfig(mode=mode, devices=8)
        made = make_heads(tmp_path, layout, model__dropout=dropout)
        state = made.execution.to_host(made.train(tmp_path / mode))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5),
            state.params,
            expected.params,
        )


def test_a_row_has_one_place_in_a_batch_on_any_number_of_processes(
    tmp_path, monkeypatch
):
    """Dropout draws its masks by place."""
    made = make_heads(tmp_path)

    def draw(process, processes):
        monkeypatch.setattr(jax, "process_index", lambda: process)
        monkeypatch.setattr(jax, "process_count", lambda: processes)
        batches = made.rows.train_batches(made.config.train, 2)
        with contextlib.closing(batches):
            return next(batches)["log_price"]

    whole = draw(0, 1)
    assert len(whole) == 16
    np.testing.assert_array_equal(np.concatenate([draw(0, 2), draw(1, 2)]), whole)
    np.testing.assert_array_equal(np.concatenate([draw(i, 4) for i in range(4)]), whole)


def test_edges_are_quantiles_of_the_training_rows(tmp_path):
    made = make_heads(tmp_path, statistics__bins=4)
    edges = made.scales().statistic_edges
    column = np.sort(made.rows.statistics[made.train_rows, 1])  # of 43
    assert edges.shape == (2, 5)
    expected = [
        column[0],
        (column[10] + column[11]) / 2,
        column[21],
        (column[31] + column[32]) / 2,
        column[-1],
    ]
    np.testing.assert_allclose(edges[1], expected, rtol=1e-6)
    assert make_heads(tmp_path, statistics__bins=0).scales().statistic_edges is None


def test_without_warm_up_there_is_one_stage_and_a_safe_beta(tmp_path):
    made = make_heads(tmp_path, warm_up__use=False)
    state = made.train(tmp_path / "run")
    variance = made.rows.log_prices[:43].var()
    assert float(state.beta) == pytest.approx(2 * variance, rel=1e-5)
    assert checkpointing.latest_step(tmp_path / "run", "warm_up") is None


def test_a_given_beta_is_used(tmp_path):
    state = make_heads(tmp_path, gate__beta=0.7).train(tmp_path / "run")
    assert float(state.beta) == pytest.approx(0.7)


def test_it_learns_and_says_so_for_rows_in_their_order(tmp_path):
    made = make_heads(
        tmp_path, warm_up__steps=150, train__steps=50, train__eval_every=50
    )
    state = made.train(tmp_path / "run")
    rows = np.array([50, 3, 44])
    suggestion = made.predict(state, rows)
    errors = np.abs(made.rows.log_prices[rows] - suggestion.log_price)
    spread = np.abs(made.rows.log_prices - made.rows.log_prices.mean()).mean()
    assert suggestion.log_price.shape == (3,) and errors.mean() < 0.6 * spread


def test_steps_may_grow_but_the_gate_may_not_change():
    """What `train` refuses to change is told by its list of free knobs."""
    from pricer import train

    assert set(loop_config.FREE) < set(train.FREE)
    assert not any(name.startswith("gate") for name in train.FREE)
