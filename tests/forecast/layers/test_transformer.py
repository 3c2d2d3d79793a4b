import functools

import jax
import numpy as np
import pytest

from forecast.layers.transformer import EncoderDecoder

RNG = np.random.default_rng(0)
CONTEXT = RNG.normal(size=(3, 4, 3)).astype(np.float32)
FUTURE = RNG.normal(size=(3, 5, 3)).astype(np.float32)
MODULE = EncoderDecoder(horizon=5, width=8, heads=2, layers=2)


def both(module, context, future, train=False):
    _, carry = module.begin(context, train=train)
    return module.advance(future, carry, train=train)[0]


@pytest.fixture(scope="module")
def variables():
    init = functools.partial(MODULE.init, method=both)
    shapes = jax.eval_shape(init, jax.random.key(0), CONTEXT, FUTURE)
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: 0.5 * rng.normal(size=leaf.shape).astype(np.float32), shapes
    )


@pytest.fixture(scope="module")
def at_once(variables):
    run = jax.jit(functools.partial(MODULE.apply, method=both))
    return functools.partial(run, variables)


def test_a_place_at_a_time_gives_what_the_whole_horizon_does(variables, at_once):
    begin = jax.jit(functools.partial(MODULE.apply, method="begin"))
    advance = jax.jit(functools.partial(MODULE.apply, method="advance"))
    _, carry = begin(variables, CONTEXT)
    parts = []
    for place in range(5):
        hidden, carry = advance(variables, FUTURE[:, place : place + 1], carry)
        parts.append(hidden)
    np.testing.assert_allclose(
        np.concatenate(parts, 1), at_once(CONTEXT, FUTURE), atol=1e-5
    )
    assert carry.read.tolist() == [5, 5, 5]


def test_no_place_sees_a_later_one_and_all_see_the_context(at_once):
    before = at_once(CONTEXT, FUTURE)
    changed = FUTURE.copy()
    changed[:, 3] += 1
    after = at_once(CONTEXT, changed)
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert np.all(np.abs(before[:, 3:] - after[:, 3:]).max(-1) > 1e-3)
    context = CONTEXT.copy()
    context[:, 0] += 1
    assert np.all(np.abs(at_once(context, FUTURE) - before).max(-1) > 1e-4)


def test_places_are_told_apart(variables, at_once):
    """Without positions the order of the context would change nothing."""
    turned = CONTEXT[:, ::-1]
    assert np.abs(at_once(turned, FUTURE) - at_once(CONTEXT, FUTURE)).max() > 1e-3
    blind = MODULE.clone(positions=False)
    run = jax.jit(functools.partial(blind.apply, method=both))
    np.testing.assert_allclose(
        run(variables, turned, FUTURE), run(variables, CONTEXT, FUTURE), atol=1e-5
    )
