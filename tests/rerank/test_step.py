"""Steps: the loss as said, the update, and that devices change nothing."""

import functools

import jax
import numpy as np
import optax
import pytest

from common.parallel.execution import make_execution
from common.parallel.processes import ParallelConfig
from rerank.config import Modality, Sizes
from rerank.step import State
from tests.rerank.by_hand import draw_state, make_batch, make_learner

KEY = jax.random.key(3)
# 8 rows: for 8 devices one each. Two are padding: empty lists.
BATCH = make_batch((6, 1, 0, 4, 3, 5, 2, 0), seed=4)


SMALL = Sizes(3, 2, 0, (Modality("image", 4),), 6)  # less to compile
SMALL_BATCH = make_batch((6, 1, 0, 4, 3, 5, 2, 0), sizes=SMALL)


def means(pairs):
    return {name: float(t) / float(w) for name, (t, w) in jax.device_get(pairs).items()}


def bce(logits, labels):
    return np.logaddexp(0, logits) - labels * logits


@functools.cache
def evaluated(**changes):
    learner = make_learner(**changes)
    state = draw_state(learner)
    outputs, pairs = jax.jit(
        lambda s, b: (learner.predict(s, b), learner.evaluate(s, b))
    )(state, BATCH)
    return jax.device_get(outputs), means(pairs)


@pytest.mark.parametrize("target", ["purchase", "click"])
def test_loss_is_that_of_the_target_and_lambda_times_that_of_clicks(target):
    outputs, values = evaluated(loss__target=target, loss__click_weight=0.25)
    mask = BATCH["mask"]
    labels = BATCH["purchases" if target == "purchase" else "clicks"]
    main = bce(outputs.logits, labels)[mask].mean()
    clicks = bce(outputs.encoded.click_logits, BATCH["clicks"])[mask].mean()
    expected = {
        "loss": main + 0.25 * clicks,
        "main_loss": main,
        "log_loss": main,
        "click_loss": clicks,
    }
    got = {name: values[name] for name in expected}
    assert got == pytest.approx(expected, rel=1e-5)


def test_without_lambda_there_is_no_click_loss():
    _, values = evaluated(loss__click_weight=0.0)
    assert "click_loss" not in values and values["loss"] == values["main_loss"]


def test_gauc_equals_a_count_of_pairs():
    outputs, values = evaluated(loss__target="click", loss__click_weight=0.25)
    won = places = 0.0
    for logits, labels, mask in zip(
        outputs.logits, BATCH["clicks"], BATCH["mask"], strict=True
    ):
        logits, labels = logits[mask], labels[mask]
        apart = logits[labels > 0][:, None] - logits[labels == 0][None]
        if apart.size:
            won += mask.sum() * np.mean((np.sign(apart) + 1) / 2)
            places += mask.sum()
    assert values["gauc"] == pytest.approx(won / places)


def make_trainer(**changes):
    # Adam would blow up gradients that are zero but for rounding.
    return make_learner(
        optimizer__name="sgd",
        optimizer__learning_rate=0.25,
        optimizer__weight_decay=0.0,
        **changes,
    )


@functools.cache
def trainer():
    """(learner, compiled step, compiled evaluation)."""
    learner = make_trainer(loss__target="click")
    return learner, jax.jit(learner.step), jax.jit(learner.evaluate)


def start():
    learner, _, _ = trainer()
    params = draw_state(learner).params
    return State(params, learner.optimizer.init(params))


def test_an_update_follows_the_gradient_of_the_loss():
    """Along the update the loss falls by rate |g|^2, by differences."""
    _, step, evaluate = trainer()
    state = start()
    after, pairs = step(state, BATCH, KEY)
    norm = means(pairs)["gradient_norm"]
    change = jax.tree.map(np.subtract, after.params, state.params)
    assert float(optax.tree.norm(change)) == pytest.approx(0.25 * norm, rel=1e-4)
    losses = []
    for part in (0.02, -0.02):
        moved = jax.tree.map(lambda x, d: x + part * d, state.params, change)  # noqa: B023
        losses.append(means(evaluate(State(moved, ()), BATCH))["loss"])
    slope = (losses[0] - losses[1]) / 0.04
    assert slope == pytest.approx(-0.25 * norm**2, rel=0.02)


def test_a_few_lists_can_be_learnt():
    _, step, _ = trainer()
    state, losses = start(), []
    for _ in range(100):
        state, pairs = step(state, BATCH, KEY)
        losses.append(pairs["main_loss"])
    first, last = (float(t) / float(w) for t, w in (losses[0], losses[-1]))
    assert last < 0.3 * first


def test_a_batch_of_empty_lists_changes_nothing():
    _, step, _ = trainer()
    empty = {**BATCH, "mask": np.zeros_like(BATCH["mask"])}
    after, pairs = step(start(), empty, KEY)
    jax.tree.map(np.testing.assert_array_equal, after.params, start().params)
    assert tuple(map(float, pairs["loss"])) == (0.0, 0.0)


@functools.cache
def trained(mode, devices):
    """Two steps with dropout of both kinds."""
    execution = make_execution(ParallelConfig(mode=mode, devices=devices))
    learner = make_trainer(
        sizes=SMALL,
        model__history=False,
        model__dropout=0.2,
        model__modality_dropout=0.4,
        loss__kind="listmle",
    )
    learner = type(learner)(
        learner.config, learner.sizes, learner.phase, execution.devices
    )
    params = draw_state(learner).params
    state = execution.replicate(State(params, learner.optimizer.init(params)))
    step = execution.compile_step(
        lambda s, b, number: learner.step(s, b, jax.random.fold_in(KEY, number))
    )
    for number in range(2):
        state, pairs = step(state, execution.put(SMALL_BATCH), np.int32(number))
    return means(execution.read(pairs)), execution.to_host(state).params


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_eight_devices_do_what_one_does(mode):
    values, params = trained("jit", 1)
    again, params_again = trained(mode, 8)
    assert again == pytest.approx(values, rel=1e-3)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-2, atol=1e-3),
        params_again,
        params,
    )
