import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.config import configs
from common.errors import UserError
from pricer import losses
from pricer.config import Config
from pricer.losses import GateTerms
from pricer.step import Learner, Scales, encode_pieces, make_inputs

ROWS, FEATURES, STATISTICS = 7, 5, 3
SCALES = Scales(np.arange(5.0), np.full(5, 2.0), np.float32(4.0), np.float32(0.5))


def make_learner(warm_up=False, **changes):
    named = {name.replace("__", "."): value for name, value in changes.items()}
    config = configs.replace(Config(), {"model.hidden": (4,), **named})
    return Learner(config, FEATURES, STATISTICS, warm_up)


def make_batch():
    rng = np.random.default_rng(0)
    return {
        "features": rng.normal(size=(ROWS, FEATURES)).astype(np.float16),
        "statistics": rng.normal(size=(ROWS, STATISTICS)).astype(np.float32),
        "log_price": rng.normal(4, 1, ROWS).astype(np.float32),
        "mask": np.array([1, 1, 1, 1, 1, 0, 0], np.float32),
    }


def test_inputs_are_standardised_and_prices_scaled_back():
    learner, batch = make_learner(), make_batch()
    state = learner.init(SCALES)
    outputs = learner.predict(state, batch)
    features = (batch["features"].astype(np.float32) - np.arange(5.0)) / 2
    inputs = np.concatenate([features, batch["statistics"]], axis=1)
    raw = learner.network.apply(
        {"params": state.params}, jnp.asarray(inputs, jnp.float32)
    )
    np.testing.assert_allclose(outputs.log_price, 4 + 0.5 * raw.log_price, rtol=1e-5)
    np.testing.assert_allclose(outputs.gate_logit, raw.gate_logit, rtol=1e-5)


def test_pieces_say_how_much_of_them_lies_below_a_value():
    edges = jnp.array([[0.0, 1, 3], [2, 2, 4]])
    values = jnp.array([[-1.0, 1], [0.5, 2], [2, 3], [9, 9]])
    np.testing.assert_array_equal(
        encode_pieces(values, edges),
        # A piece without width is a step.
        [[0, 0, 0, 0], [0.5, 0, 0, 0], [1, 0.5, 1, 0.5], [1, 1, 1, 1]],
    )


def test_pieces_stand_beside_the_statistics():
    edges = np.array([[-1.0, 0, 1], [-2, 0, 2], [0, 1, 2]])
    learner, batch = make_learner(), make_batch()
    inputs = make_inputs(
        SCALES._replace(statistic_edges=edges), batch["features"], batch["statistics"]
    )
    assert inputs.shape == (ROWS, FEATURES + 3 * STATISTICS)
    plain = make_inputs(SCALES, batch["features"], batch["statistics"])
    np.testing.assert_array_equal(inputs[:, : FEATURES + STATISTICS], plain)
    np.testing.assert_allclose(
        inputs[:, -2:],
        np.clip(batch["statistics"][:, 2:] - np.array([[0.0, 1.0]]), 0, 1),
    )
    state = learner.init(SCALES._replace(statistic_edges=edges))
    kernel = state.params["gate"]["hidden_0"]["kernel"]
    assert kernel.shape == (FEATURES + 3 * STATISTICS, 4)


def test_features_may_be_left_out():
    """Then nothing hangs on them, and the networks have no weights for them."""
    learner, batch = make_learner(model__inputs="statistics"), make_batch()
    state = learner.init(SCALES)
    assert state.params["gate"]["hidden_0"]["kernel"].shape == (STATISTICS, 4)
    other = {**batch, "features": batch["features"] + 1}
    outputs, again = (np.asarray(learner.predict(state, b)) for b in (batch, other))
    np.testing.assert_array_equal(outputs, again)
    moved = {**batch, "statistics": batch["statistics"] + 1}
    assert (np.asarray(learner.predict(state, moved)) != outputs).any()


def test_something_must_be_left_to_see():
    nothing = {"model.inputs": "statistics", "statistics.use": False}
    with pytest.raises(UserError, match="leaves regression and gate nothing to see"):
        configs.replace(Config(), nothing)
    config = configs.replace(Config(), {**nothing, "comparables.count": 2})
    assert config.comparables.count == 2


@pytest.mark.parametrize("constraint", ["percentile", "threshold"])
def test_the_loss_is_that_of_the_constraint(constraint):
    learner = make_learner(
        gate__constraint=constraint, gate__percentile=0.9, gate__least_share=0.8
    )
    state, batch = learner.go_on(learner.init(SCALES), 3.0), make_batch()
    total, weight = learner.evaluate(state, batch)["loss"]
    outputs = learner.predict(state, batch)
    terms = (
        GateTerms(3.0, 0.9)
        if constraint == "percentile"
        else GateTerms(3.0, 0.8, gamma=1.0, epsilon=0.5)
    )
    expected, count = losses.joint_loss(
        batch["log_price"] - outputs.log_price, outputs.gate_logit, batch["mask"], terms
    )
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    assert weight == count == 5


def test_metrics_are_over_the_real_rows():
    learner, batch = make_learner(), make_batch()
    state = learner.init(SCALES)
    pairs = learner.evaluate(state, batch)
    means = {name: float(t / w) for name, (t, w) in pairs.items() if w > 0}
    outputs = learner.predict(state, batch)
    errors = np.abs(batch["log_price"] - np.asarray(outputs.log_price))[:5]
    accepted = (np.asarray(outputs.gate_logit) >= 0)[:5]
    assert means["male_all"] == pytest.approx(errors.mean(), rel=1e-5)
    assert means["acceptance"] == pytest.approx(accepted.mean())
    if accepted.any():
        assert means["male"] == pytest.approx(errors[accepted].mean(), rel=1e-5)


def test_the_warm_up_takes_twice_the_mean_squared_error_as_beta():
    learner, batch = make_learner(warm_up=True, gate__percentile=1.0), make_batch()
    state = learner.init(SCALES)
    total, weight = learner.evaluate(state, batch)["loss"]
    outputs = learner.predict(state, batch)
    squared = (batch["log_price"] - np.asarray(outputs.log_price))[:5] ** 2
    accepted = (np.asarray(outputs.gate_logit) >= 0)[:5]
    beta = 2 * squared.mean()
    expected = (
        squared.mean() + (accepted * squared).mean() + beta * (1 - accepted.mean())
    )
    np.testing.assert_allclose(total / weight, expected, rtol=1e-5)


def test_a_beta_that_is_given_is_used_in_both_stages():
    for warm_up in (True, False):
        learner = make_learner(warm_up=warm_up, gate__beta=7.0, gate__percentile=1.0)
        state, batch = learner.init(SCALES), make_batch()
        assert float(state.beta) == 7
        outputs = learner.predict(state, batch)
        refused = 1 - (np.asarray(outputs.gate_logit) >= 0)[:5].mean()
        with_beta = np.divide(*learner.evaluate(state, batch)["loss"])
        other = make_learner(warm_up=warm_up, gate__beta=8.0, gate__percentile=1.0)
        more = np.divide(*other.evaluate(other.init(SCALES), batch)["loss"])
        assert more - with_beta == pytest.approx(refused, abs=1e-5)


def test_the_second_stage_begins_with_the_weights_of_the_first():
    learner = make_learner()
    state = learner.init(SCALES)
    moved, _ = jax.jit(learner.step)(state, make_batch(), jax.random.key(0))
    after = learner.go_on(moved, 2.5)
    jax.tree.map(np.testing.assert_array_equal, after.params, moved.params)
    assert float(after.beta) == 2.5
    fresh = learner.init(SCALES).optimizer
    jax.tree.map(np.testing.assert_array_equal, after.optimizer, fresh)


def test_the_loss_of_predicted_variance_by_hand():
    learner, batch = make_learner(gate__constraint="variance"), make_batch()
    state = learner.init(SCALES)
    total, weight = learner.evaluate(state, batch)["loss"]
    outputs = learner.predict(state, batch)
    squared = (batch["log_price"] - np.asarray(outputs.log_price))[:5] ** 2
    minus_log_variance = np.asarray(outputs.gate_logit)[:5]
    likelihood = squared * np.exp(minus_log_variance) - minus_log_variance
    assert weight == 5
    np.testing.assert_allclose(total, (squared + likelihood).sum(), rtol=1e-5)


def test_dropout_is_on_in_training_alone():
    learner, batch = make_learner(model__dropout=0.5, model__hidden=(64,)), make_batch()
    state = learner.init(SCALES)
    plain = learner.predict(state, batch)
    np.testing.assert_array_equal(
        learner.predict(state, batch).log_price, plain.log_price
    )
    one, other = (
        learner.predict(state, batch, jax.random.key(seed)) for seed in (0, 1)
    )
    assert not np.allclose(one.log_price, plain.log_price)
    assert not np.allclose(one.log_price, other.log_price)


def test_the_rate_rises_at_the_start():
    """With the default rise of 50 steps the first one is a fiftieth of the rate."""
    learner, batch = make_learner(optimizer__name="sgd"), make_batch()
    state = learner.init(SCALES)
    moved, _ = learner.step(state, batch, jax.random.key(0))
    full = make_learner(optimizer__name="sgd", optimizer__warmup_steps=0)
    whole, _ = full.step(state, batch, jax.random.key(0))

    def first_bias(state):
        return np.asarray(state.params["regression"]["output"]["bias"])

    step, large = (first_bias(s) - first_bias(state) for s in (moved, whole))
    np.testing.assert_allclose(50 * step, large, rtol=1e-3)


def test_a_step_goes_down_the_loss():
    rate = {"optimizer__learning_rate": 0.01, "optimizer__warmup_steps": 0}
    learner, batch = make_learner(warm_up=True, **rate), make_batch()
    state, step = learner.init(SCALES), jax.jit(learner.step)
    first = None
    for _ in range(60):
        state, pairs = step(state, batch, jax.random.key(0))
        first = first or float(pairs["male_all"][0])
    assert float(pairs["male_all"][0]) < 0.5 * first
    jax.tree.map(
        np.testing.assert_array_equal, state.scales, learner.init(SCALES).scales
    )
