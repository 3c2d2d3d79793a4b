"""What sees what, and what can be computed together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.flows.made import Made, blocks_of, hidden_degrees


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


@pytest.mark.parametrize("size", [1, 2, 7])
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
