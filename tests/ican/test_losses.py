import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from common.parallel.devices import Devices
from ican import losses

PRESENT = np.ones((2, 3), bool)


def mean_loss(*args, devices=None, **kwargs):
    total, weight = losses.ensemble_loss(*args, **kwargs)
    return total / weight


def random_batch(items=11, classifiers=4, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(items, classifiers, classes)).astype(np.float32)
    targets = rng.integers(0, classes, (items, classifiers)).astype(np.int32)
    return jnp.asarray(logits), jnp.asarray(targets), jnp.ones(items)


def test_batch_weights_by_hand():
    # Classifier 0 sees classes 0, 0, 0, 2 and classifier 1 sees 1, 1, 2, 2.
    targets = jnp.array([[0, 1], [0, 1], [0, 2], [2, 2]])
    weights = losses.item_weights(targets, jnp.ones(4), present=PRESENT)
    expected = [[4 / 3, 2], [4 / 3, 2], [4 / 3, 2], [4, 2]]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_dataset_weights_by_hand():
    targets = jnp.array([[0, 1], [2, 1]])
    counts = np.array([[60, 30, 10], [0, 50, 50]])
    weights = losses.item_weights(
        targets,
        jnp.ones(2),
        present=PRESENT,
        weighting="dataset",
        dataset_counts=counts,
    )
    np.testing.assert_allclose(weights, [[100 / 60, 2], [10, 2]], rtol=1e-6)
    with pytest.raises(ValueError, match="dataset_counts"):
        losses.item_weights(targets, jnp.ones(2), present=PRESENT, weighting="dataset")


def test_loss_by_hand():
    # One classifier, two items: odds 1 : 3 and 1 : 1, right classes 1 and 0.
    logits = jnp.array([[[0.0, math.log(3)]], [[0.0, 0.0]]])
    targets = jnp.array([[1], [0]])
    present = np.ones((1, 2), bool)
    plain = [-math.log(0.75), -math.log(0.5)]
    for weighting, weights in [("none", (1, 1)), ("batch", (2, 2))]:
        total, weight = losses.ensemble_loss(
            logits, targets, jnp.ones(2), present=present, weighting=weighting
        )
        expected = weights[0] * plain[0] + weights[1] * plain[1]
        assert total == pytest.approx(expected, rel=1e-6)
        assert weight == 2
    total, weight = losses.ensemble_loss(
        logits,
        targets,
        jnp.ones(2),
        present=present,
        weighting="dataset",
        dataset_counts=np.array([[1, 3]]),
        normalise=True,
    )
    # Weights 4 for class 0, 4/3 for class 1; divided by their mean 8/3.
    expected = (4 / 3 * plain[0] + 4 * plain[1]) / (8 / 3)
    assert total / weight == pytest.approx(expected / 2, rel=1e-6)


def test_batch_weighting_sums_the_class_means():
    logits, targets, mask = random_batch()
    found = mean_loss(logits, targets, mask, present=np.ones((4, 5), bool))
    log_p = jax.nn.log_softmax(logits)
    expected = 0.0
    for k in range(4):
        for c in set(np.asarray(targets[:, k]).tolist()):
            rows = np.asarray(targets[:, k]) == c
            expected -= float(np.mean(log_p[rows, k, c])) / 4
    assert found == pytest.approx(expected, rel=1e-5)


def test_normalised_batch_weighting_averages_the_class_means():
    logits, targets, mask = random_batch()
    present = np.ones((4, 5), bool)
    found = mean_loss(logits, targets, mask, present=present, normalise=True)
    log_p = jax.nn.log_softmax(logits)
    expected = 0.0
    for k in range(4):
        classes = set(np.asarray(targets[:, k]).tolist())
        for c in classes:
            rows = np.asarray(targets[:, k]) == c
            expected -= float(np.mean(log_p[rows, k, c])) / 4 / len(classes)
    assert found == pytest.approx(expected, rel=1e-5)


def test_untrained_loss_is_seven_ln_seven():
    targets = jnp.tile(jnp.arange(7)[:, None], (2, 20))
    logits, mask = jnp.zeros((14, 20, 7)), jnp.ones(14)
    present = np.ones((20, 7), bool)
    found = mean_loss(logits, targets, mask, present=present)
    assert found == pytest.approx(7 * math.log(7), rel=1e-6)
    found = mean_loss(logits, targets, mask, present=present, normalise=True)
    assert found == pytest.approx(math.log(7), rel=1e-6)


def test_absent_classes_leave_the_softmax():
    present = np.array([[True, False, True]])
    logits = jnp.array([[[0.0, 9.0, 0.0]]])
    found = losses.cross_entropy(logits, jnp.array([[2]]), present)
    assert found[0, 0] == pytest.approx(math.log(2), rel=1e-6)


def test_item_of_an_absent_class_is_left_out_with_finite_gradients():
    present = np.array([[True, False, True], [True, True, True]])
    logits = jnp.zeros((1, 2, 3))

    def loss(logits):
        return mean_loss(logits, jnp.array([[1, 1]]), jnp.ones(1), present=present)

    value, gradient = jax.value_and_grad(loss)(logits)
    assert value == pytest.approx(math.log(3) / 2, rel=1e-6)
    assert np.all(np.isfinite(gradient))
    assert np.all(np.asarray(gradient[0, 0]) == 0)


@pytest.mark.parametrize("weighting", ["batch", "dataset", "none"])
@pytest.mark.parametrize("normalise", [False, True])
def test_padding_rows_enter_nothing(weighting, normalise):
    options = {
        "present": np.ones((4, 5), bool),
        "weighting": weighting,
        "normalise": normalise,
        "dataset_counts": np.arange(1, 21).reshape(4, 5),
    }
    logits, targets, mask = random_batch()
    total, weight = losses.ensemble_loss(logits, targets, mask, **options)
    padded = (
        jnp.concatenate([logits, jnp.full((3, 4, 5), jnp.nan)]),
        jnp.concatenate([targets, jnp.zeros((3, 4), jnp.int32)]),
        jnp.concatenate([mask, jnp.zeros(3)]),
    )
    found = losses.ensemble_loss(*padded, **options)
    np.testing.assert_allclose(found, (total, weight), rtol=1e-6)

    def loss(logits):
        return losses.ensemble_loss(logits, *padded[1:], **options)[0]

    gradient = jax.grad(loss)(jnp.nan_to_num(padded[0]))
    assert np.all(np.asarray(gradient[11:]) == 0)
    assert np.any(np.asarray(gradient[:11]) != 0)


def test_nothing_but_padding_is_zero():
    logits, targets, mask = random_batch()
    found = losses.ensemble_loss(
        logits, targets, 0 * mask, present=np.ones((4, 5), bool), normalise=True
    )
    assert [float(x) for x in found] == [0.0, 0.0]


def test_half_precision_logits_are_reduced_in_float32():
    logits, targets, mask = random_batch()
    present = np.ones((4, 5), bool)
    low = logits.astype(jnp.bfloat16)
    found = mean_loss(low, targets, mask, present=present)
    expected = mean_loss(low.astype(jnp.float32), targets, mask, present=present)
    assert found.dtype == jnp.float32
    assert found == expected


@pytest.mark.parametrize("normalise", [False, True])
def test_pmap_and_jit_agree_gradients_included(normalise):
    # 13 items in 16 rows: the last devices hold padding only.
    logits, targets, mask = random_batch(items=16)
    mask = mask.at[13:].set(0)
    options = {"present": np.ones((4, 5), bool), "normalise": normalise}

    def step(devices, scale, logits, targets, mask):
        def loss(scale):
            pair = losses.ensemble_loss(
                scale * logits, targets, mask, devices=devices, **options
            )
            total, weight = devices.sum(pair)
            return total / weight

        value, gradient = jax.value_and_grad(loss)(scale)
        return value, devices.mean(gradient)

    scale = jnp.float32(1.3)
    expected = jax.jit(functools.partial(step, Devices()))(scale, logits, targets, mask)
    split = [x.reshape(8, 2, *x.shape[1:]) for x in (logits, targets, mask)]
    found = jax.pmap(
        functools.partial(step, Devices("data")), "data", in_axes=(None, 0, 0, 0)
    )(scale, *split)
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, np.full(8, wanted), rtol=2e-6)


def test_price_loss_is_that_of_the_t_and_padding_has_none():
    named, actual = jnp.array([0.3, -1.0, 2.0]), jnp.array([0.0, 1.5, np.nan])
    found, weight = losses.price_loss(named, actual, jnp.array([1.0, 1.0, 0.0]))
    t = np.array([0.3, -2.5]) / losses.PRICE_SCALE
    wanted = stats.t(4).logpdf(0) - stats.t(4).logpdf(t)
    assert float(found) == pytest.approx(wanted.sum(), rel=1e-5)
    assert float(weight) == 2
