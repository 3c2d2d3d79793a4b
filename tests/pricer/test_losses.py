import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.parallel.devices import Devices
from pricer import losses
from pricer.losses import GateTerms

ERRORS = jnp.array([1.0, -2.0, 0.5, 3.0])
LOGITS = jnp.array([2.0, 0.0, -1.0, -3.0])  # accepts the first two
SIGMOID = 1 / (1 + np.exp(-np.asarray(LOGITS)))


def mean_loss(errors, logits, terms, mask=None, **options):
    total, weight = losses.joint_loss(errors, logits, mask, terms, **options)
    return total / weight


def test_acceptance_is_a_step_whose_gradient_is_the_sigmoids():
    value, pull = jax.vjp(lambda z: losses.acceptance(z, "straight-through"), LOGITS)
    np.testing.assert_array_equal(value, [1, 1, 0, 0])
    slope = SIGMOID * (1 - SIGMOID)
    np.testing.assert_allclose(pull(jnp.ones(4))[0], slope, rtol=1e-6)
    soft = losses.acceptance(LOGITS, "soft")
    np.testing.assert_allclose(soft, SIGMOID, rtol=1e-6)


def test_equation_1_by_hand():
    # Accepted squared errors 1 and 4; acceptance 2/4, 0.25 under delta.
    loss = mean_loss(ERRORS, LOGITS, GateTerms(beta=8.0, delta=0.75))
    np.testing.assert_allclose(loss, (1 + 4) / 4 + 8 * 0.25, rtol=1e-6)
    # Enough accepted: the constraint is silent.
    loss = mean_loss(ERRORS, LOGITS, GateTerms(beta=8.0, delta=0.5))
    np.testing.assert_allclose(loss, 5 / 4, rtol=1e-6)


def test_soft_equation_1_by_hand():
    loss = mean_loss(ERRORS, LOGITS, GateTerms(beta=8.0, delta=0.75), form="soft")
    squared = np.asarray(ERRORS) ** 2
    expected = np.mean(SIGMOID * squared) + 8 * (0.75 - SIGMOID.mean())
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_equation_3_by_hand():
    terms = GateTerms(beta=8.0, delta=0.75, gamma=2.0, epsilon=1.0)
    # |e| <= 1 for the first and the third.
    entropy = -np.log([SIGMOID[0], 1 - SIGMOID[1], SIGMOID[2], 1 - SIGMOID[3]])
    expected = 5 / 4 + 8 * 0.25 + 2 * entropy.mean()
    np.testing.assert_allclose(mean_loss(ERRORS, LOGITS, terms), expected, rtol=1e-6)


@pytest.mark.parametrize("form", ["straight-through", "soft"])
@pytest.mark.parametrize("delta", [0.2, 0.75])
def test_gradients_by_hand(form, delta):
    """To the gate (e^2 - beta [below delta]) sigmoid', to the regression C_1 2 e."""
    terms = GateTerms(beta=3.0, delta=delta)
    by_error, by_logit = jax.grad(mean_loss, (0, 1))(ERRORS, LOGITS, terms, form=form)
    weights = SIGMOID if form == "soft" else np.array([1, 1, 0, 0])
    below = weights.mean() < delta
    errors, slope = np.asarray(ERRORS), SIGMOID * (1 - SIGMOID)
    np.testing.assert_allclose(by_error, weights * 2 * errors / 4, rtol=1e-5)
    np.testing.assert_allclose(by_logit, (errors**2 - 3 * below) * slope / 4, rtol=1e-5)


def test_the_warm_up_trains_the_regression_on_all_and_the_gate_on_detached_errors():
    terms = GateTerms(beta=3.0, delta=0.75)
    both = jax.grad(mean_loss, (0, 1))
    by_error, by_logit = both(ERRORS, LOGITS, terms, warm_up=True)
    np.testing.assert_allclose(by_error, 2 * np.asarray(ERRORS) / 4, rtol=1e-6)
    _, joint = both(ERRORS, LOGITS, terms)
    np.testing.assert_allclose(by_logit, joint, rtol=1e-6)
    assert np.all(np.asarray(by_logit) != 0)


def test_the_warm_up_of_equation_3_trains_the_gate_by_its_labels_alone():
    terms = GateTerms(beta=3.0, delta=0.75, gamma=2.0, epsilon=1.0)
    by_logit = jax.grad(mean_loss, 1)(ERRORS, LOGITS, terms, warm_up=True)
    labels = np.array([1, 0, 1, 0])
    np.testing.assert_allclose(by_logit, 2 * (SIGMOID - labels) / 4, rtol=1e-5)


def test_padding_changes_nothing():
    terms = GateTerms(beta=3.0, delta=0.75, gamma=2.0, epsilon=1.0)
    padded = jnp.concatenate([ERRORS, jnp.array([9.0, 9.0])])
    logits = jnp.concatenate([LOGITS, jnp.array([5.0, 5.0])])
    mask = jnp.array([1.0, 1, 1, 1, 0, 0])
    for warm_up in (False, True):
        alone = jax.value_and_grad(mean_loss, (0, 1))(
            ERRORS, LOGITS, terms, warm_up=warm_up
        )
        found = jax.value_and_grad(mean_loss, (0, 1))(
            padded, logits, terms, mask, warm_up=warm_up
        )
        np.testing.assert_allclose(found[0], alone[0], rtol=1e-6)
        for whole, part in zip(found[1], alone[1], strict=True):
            np.testing.assert_allclose(whole[:4], part, rtol=1e-6)
            np.testing.assert_array_equal(whole[4:], [0, 0])


def test_the_acceptance_is_that_of_all_devices():
    """Two devices, one with all the accepted items: the constraint sees half."""
    terms = GateTerms(beta=8.0, delta=0.75, gamma=1.0, epsilon=1.0)
    devices = Devices("i")

    def part(errors, logits):
        total, weight = losses.joint_loss(errors, logits, None, terms, devices=devices)
        return total / weight

    spread = jax.vmap(
        jax.value_and_grad(part, (0, 1)), axis_name="i"
    )  # as pmap: a psum over the axis
    loss, grads = spread(ERRORS.reshape(2, 2), LOGITS.reshape(2, 2))
    whole, expected = jax.value_and_grad(mean_loss, (0, 1))(ERRORS, LOGITS, terms)
    np.testing.assert_allclose(loss, [whole, whole], rtol=1e-6)
    # Each device holds twice the gradient, which `Devices.mean` evens out.
    for found, known in zip(grads, expected, strict=True):
        np.testing.assert_allclose(found.reshape(-1) / 2, known, rtol=1e-5, atol=1e-7)


def test_the_asymmetric_loss_is_least_at_its_quantile():
    prices = np.random.default_rng(0).normal(size=999)
    grid = np.linspace(-2, 2, 801)
    for weight in (0.2, 0.5, 0.8):
        costs = [
            float(
                losses.penalise(
                    jnp.asarray(prices - suggestion),
                    "asymmetric",
                    under_weight=weight,
                    band=0.0,
                ).mean()
            )
            for suggestion in grid
        ]
        best = grid[int(np.argmin(costs))]
        assert best == pytest.approx(np.quantile(prices, weight), abs=0.02)


def test_the_band_loss_by_hand():
    found = losses.penalise(
        jnp.array([-0.3, -0.1, 0.0, 0.05, 0.5]), "band", under_weight=0.5, band=0.1
    )
    np.testing.assert_allclose(found, [0.2, 0, 0, 0, 0.4], atol=1e-7)


def test_squared_is_squared():
    found = losses.penalise(ERRORS, "squared", under_weight=0.1, band=9.0)
    np.testing.assert_array_equal(found, [1, 4, 0.25, 9])


def test_predicted_variance_by_hand():
    """The regression's gradient is that of all squared errors; g is a likelihood's."""

    def mean(errors, logits):
        total, weight = losses.variance_loss(errors, logits, None)
        return total / weight

    by_error, by_logit = jax.grad(mean, (0, 1))(ERRORS, LOGITS)
    np.testing.assert_allclose(by_error, 2 * ERRORS / 4, rtol=1e-6)
    squared = np.array([1, 4, 0.25, 9])
    expected = (np.exp([2, 0, -1, -3]) * squared - 1) / 4
    np.testing.assert_allclose(by_logit, expected, rtol=1e-6)
    # Least where g is minus the log of the squared error.
    assert mean(ERRORS, -jnp.log(squared)) < mean(ERRORS, LOGITS)
    np.testing.assert_allclose(
        mean(ERRORS, -jnp.log(squared)), np.mean(squared + 1 + np.log(squared)), 1e-6
    )
