"""The inverse that computes each unit once, and bounded log-scales."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.flows.made import Made
from common.flows.masked_autoregressive import MaskedAutoregressive
from tests.common.flows.jacobians import FORWARD, INVERSE, check


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (1, {"hidden": 7, "layers": 2}),
        (2, {"hidden": 4, "masks": "narrow"}),
        (7, {"hidden": 7, "layers": 1, "bound": 0.0}),
        (7, {"hidden": 4, "masks": "narrow"}),
        (7, {"hidden": 4}),
    ],
)
def test_log_determinants_and_the_way_back(size, options):
    check(MaskedAutoregressive(size, **options), size)


def start(module, u, condition):
    init = functools.partial(module.init, method=FORWARD)
    return jax.jit(init)(jax.random.key(1), u, condition)


@pytest.mark.parametrize(
    ("masks", "size", "hidden"),
    [
        ("spread", 1, 5),
        ("spread", 30, 7),
        ("narrow", 6, 20),
        ("narrow", 30, 7),
        ("independent", 6, 7),
    ],
)
def test_the_inverse_equals_one_pass_for_each_coordinate(masks, size, hidden):
    module = MaskedAutoregressive(size, hidden, masks=masks)
    rng = np.random.default_rng(0)
    u = rng.normal(size=(4, size)).astype(np.float32)
    condition = rng.normal(size=(4, 3)).astype(np.float32)
    variables = start(module, u, condition)

    @jax.jit
    def outputs(x):
        return Made(size, hidden, masks=masks).apply(
            {"params": variables["params"]["made"]}, x, condition
        )

    x = np.zeros_like(u)
    for d in range(size):
        shift, raw = outputs(x)
        x[:, d] = (u * np.exp(3 * np.tanh(raw / 3)) + shift)[:, d]
    invert = jax.jit(functools.partial(module.apply, method=INVERSE))
    found, log_det = invert(variables, u, condition)
    np.testing.assert_allclose(found, x, atol=1e-5)
    np.testing.assert_allclose(
        log_det, (3 * np.tanh(outputs(x)[1] / 3)).sum(-1), atol=1e-5
    )


def test_round_trip_in_float32_at_963_coordinates():
    module = MaskedAutoregressive(963)
    rng = np.random.default_rng(0)
    u = rng.normal(size=(16, 963)).astype(np.float32)
    condition = rng.normal(size=(16, 8)).astype(np.float32)
    variables = start(module, u, condition)
    made = variables["params"]["made"]

    @jax.jit
    def trip(gain):
        scaled = {**made, "kernel_out": gain * made["kernel_out"]}
        given = {"params": {"made": scaled}}
        x, _ = module.apply(given, u, condition, method=INVERSE)
        raw = Made(963).apply({"params": scaled}, x, condition)[1]
        back, _ = module.apply(given, x, condition, method=FORWARD)
        return jnp.abs(back - u).max(), raw.std(), jnp.abs(x).max()

    error, deviation, _ = trip(1.0)
    error, deviation, largest = trip(0.3 / deviation)
    assert 0.25 < deviation < 0.35
    assert error < 1e-4 * max(1, largest)


def test_a_bounded_log_scale_keeps_what_strays():
    module = MaskedAutoregressive(4, bound=2.0)
    free = MaskedAutoregressive(4, bound=0.0)
    u = np.full((1, 4), 3.0, np.float32)
    condition = np.zeros((1, 1), np.float32)
    variables = start(module, u, condition)
    wild = jax.tree.map(lambda leaf: 30 * leaf, variables)
    invert = jax.jit(functools.partial(module.apply, method=INVERSE))
    _, log_det = invert(wild, u, condition)
    assert np.abs(log_det) <= 8
    run = jax.jit(functools.partial(free.apply, method=FORWARD))
    _, log_det = run(wild, u, condition)
    assert np.abs(log_det) > 8
