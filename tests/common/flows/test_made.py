"""What sees what, and the inverse that computes each unit once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.flows.made import Made, blocks_of, hidden_degrees
from common.flows.masked_autoregressive import MaskedAutoregressive

FORWARD, INVERSE = "forward_and_log_det", "inverse_and_log_det"


def start(module, u, condition):
    init = functools.partial(module.init, method=FORWARD)
    return jax.jit(init)(jax.random.key(1), u, condition)


def seen(masks, size, hidden, layers=3):
    """bool [D, D + 1]: which inputs, and whether the condition, each output sees."""
    module = Made(size, hidden, layers, masks)
    inputs = jnp.zeros((1, size)), jnp.zeros((1, 1))
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    # Positive weights: what is connected can't cancel.
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1, np.float32), shapes)

    @jax.jit
    def first_outputs(both):
        return module.apply(variables, both[None, :size], both[None, size:])[0, 0]

    return np.asarray(jax.jacfwd(first_outputs)(np.ones(size + 1, np.float32))) > 0


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_with_units_enough_an_output_sees_the_condition_and_all_inputs_before(size):
    expected = np.tril(np.ones((size, size), bool), -1)
    expected = np.concatenate([expected, np.ones((size, 1), bool)], 1)
    np.testing.assert_array_equal(seen("spread", size, 2 * size), expected)


def test_narrow_masks_lose_what_spread_ones_keep():
    narrow, spread = seen("narrow", 12, 4), seen("spread", 12, 4)
    # Degrees 1 to 4: the last output sees the first four inputs and no other.
    assert np.flatnonzero(narrow[11, :12]).tolist() == [0, 1, 2, 3]
    assert not narrow[0, 12]  # and the first one nothing at all
    # Degrees 0, 4, 7, 11: all inputs are seen by somebody.
    assert np.flatnonzero(spread[11, :12]).tolist() == list(range(11))
    assert spread[:, 12].all()
    assert hidden_degrees("spread", 12, 4).tolist() == [0, 4, 7, 11]
    alone = seen("independent", 12, 4)
    assert not alone[:, :12].any() and alone[:, 12].all()


@settings(max_examples=200)
@given(
    size=st.integers(1, 40),
    hidden=st.integers(1, 40),
    masks=st.sampled_from(["spread", "narrow", "independent"]),
)
def test_blocks_cover_outputs_once_and_units_in_time(size, hidden, masks):
    blocks = blocks_of(masks, size, hidden)
    degrees = hidden_degrees(masks, size, hidden)
    assert [d for block in blocks.outputs for d in block] == list(range(size))
    known: set[int] = set()
    for start, block in zip(blocks.starts, blocks.outputs[1:], strict=True):
        known |= set(range(start, start + blocks.width))
        needed = np.flatnonzero(degrees < block[0] + 1) if len(block) else []
        assert set(needed) <= known < set(range(hidden + 1))
    assert known == set(range(hidden))


@pytest.mark.parametrize("masks", ["spread", "narrow", "independent"])
@pytest.mark.parametrize(("size", "hidden"), [(1, 5), (6, 20), (30, 7)])
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
    free = MaskedAutoregressive(4, bound=float("inf"))
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
