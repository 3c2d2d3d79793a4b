import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.layers.batch_norm import BatchNorm, normalise_batch
from common.parallel.devices import SINGLE, Devices


def variables(channels, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    draw = functools.partial(rng.uniform, 0.5, 2.0, size=channels)
    return jax.tree.map(
        lambda a: jnp.asarray(a, dtype),
        {
            "params": {"scale": draw(), "bias": draw()},
            "batch_stats": {"mean": draw(), "var": draw()},
        },
    )


def test_training_arithmetic():
    """Channel 1, 2, 3, 6: mean 3, biased variance 14 / 4, unbiased 14 / 3."""
    x = jnp.asarray([1.0, 2.0, 3.0, 6.0]).reshape(2, 1, 2, 1)
    start = {
        "params": {"scale": jnp.asarray([2.0]), "bias": jnp.asarray([1.0])},
        "batch_stats": {"mean": jnp.asarray([10.0]), "var": jnp.asarray([4.0])},
    }
    y, state = BatchNorm().apply(start, x, train=True, mutable=["batch_stats"])
    expected = 1 + 2 * (np.ravel(x) - 3) / np.sqrt(3.5 + 1e-5)
    np.testing.assert_allclose(np.ravel(y), expected, rtol=1e-6)
    np.testing.assert_allclose(state["batch_stats"]["mean"], [9.3], rtol=1e-6)
    np.testing.assert_allclose(
        state["batch_stats"]["var"], [3.6 + 0.1 * 14 / 3], rtol=1e-6
    )
    frozen = BatchNorm().apply(start, x)
    expected = 1 + 2 * (np.ravel(x) - 10) / np.sqrt(4 + 1e-5)
    np.testing.assert_allclose(np.ravel(frozen), expected, rtol=1e-6)


def normalise_plainly(x, scale, bias):
    mean, var = x.mean(0), x.var(0)
    return (x - mean[None]) / jnp.sqrt(var + 1e-5)[None] * scale[None] + bias[None]


def test_gradient_equals_automatic_differentiation():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, dy = (jnp.asarray(rng.normal(3, 2, size=(12, 3))) for _ in range(2))
        scale, bias, origin = (jnp.asarray(rng.normal(size=3)) for _ in range(3))

        def ours(x, scale, bias):
            return normalise_batch(SINGLE, x, scale, bias, origin)[0]

        expected, pull = jax.vjp(normalise_plainly, x, scale, bias)
        found, own_pull = jax.vjp(ours, x, scale, bias)
        np.testing.assert_allclose(found, expected, rtol=1e-11)
        for ours_, theirs in zip(own_pull(dy), pull(dy), strict=True):
            np.testing.assert_allclose(ours_, theirs, rtol=1e-10, atol=1e-12)


def test_pmap_normalises_the_global_batch():
    rng = np.random.default_rng(1)
    x = rng.normal(rng.normal(size=(16, 1, 1, 1)), 1.0, size=(16, 2, 3, 4))
    weights = rng.normal(size=x.shape)
    start = variables(4, np.float32)

    def step(devices, params, x, weights):
        def objective(params, x):
            y, state = BatchNorm(devices=devices).apply(
                {**start, "params": params}, x, train=True, mutable=["batch_stats"]
            )
            return devices.sum((y * weights).sum()), state["batch_stats"]

        gradients, state = jax.grad(objective, (0, 1), has_aux=True)(params, x)
        # Each device's loss is the global one: see Devices.mean.
        return devices.mean(gradients[0]), gradients[1] / devices.count(), state

    x, weights = jnp.asarray(x, jnp.float32), jnp.asarray(weights, jnp.float32)
    expected = step(SINGLE, start["params"], x, weights)
    found = jax.pmap(
        functools.partial(step, Devices("data")), "data", in_axes=(None, 0, 0)
    )(start["params"], *(a.reshape(8, 2, *a.shape[1:]) for a in (x, weights)))
    np.testing.assert_allclose(
        found[1].reshape(x.shape), expected[1], rtol=1e-3, atol=1e-5
    )
    for device in range(8):
        jax.tree.map(
            lambda a, b, device=device: np.testing.assert_allclose(
                a[device], b, rtol=1e-4, atol=1e-4
            ),
            (found[0], found[2]),
            (expected[0], expected[2]),
        )


def test_running_mean_keeps_the_variance_of_far_values_exact():
    """Values near 3000 with variance 1: squares alone lose it in float32."""
    x = 3000 + np.random.default_rng(0).normal(size=(4096, 2))
    ones = jnp.ones(2)
    single = np.float32(x)
    expected = single.astype(np.float64).var(0)
    near = normalise_batch(SINGLE, jnp.asarray(single), ones, ones, 2990 * ones)[2]
    np.testing.assert_allclose(near, expected, rtol=1e-4)
    far = normalise_batch(SINGLE, jnp.asarray(single), ones, ones, 0 * ones)[2]
    assert np.abs(far - expected).max() > 1e-2


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_is_computed_in_float32(dtype):
    x = jnp.asarray(np.random.default_rng(0).normal(5, 0.5, size=(64, 2)), dtype)
    start = variables(2, np.float32)
    y, state = BatchNorm().apply(start, x, train=True, mutable=["batch_stats"])
    wide, expected = BatchNorm().apply(
        start, x.astype(jnp.float32), train=True, mutable=["batch_stats"]
    )
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, wide.astype(dtype))
    jax.tree.map(np.testing.assert_array_equal, state, expected)


def test_one_value_per_channel_stays_finite():
    start = variables(3, np.float32)
    y, state = BatchNorm().apply(
        start, jnp.ones((1, 1, 1, 3)), train=True, mutable=["batch_stats"]
    )
    np.testing.assert_allclose(np.ravel(y), start["params"]["bias"], rtol=1e-6)
    expected = 0.9 * start["batch_stats"]["var"]
    np.testing.assert_allclose(state["batch_stats"]["var"], expected, rtol=1e-6)
