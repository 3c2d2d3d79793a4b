import jax
import jax.numpy as jnp
import numpy as np

from common.layers.words import WordBag, WordPositions
from common.text.encoder import TextEncoder

TITLES = ["gold ring", "gold ring 18k", "ruby ring", None]


def arrays():
    encoder = TextEncoder.fit(TITLES)
    encoded = encoder.encode(TITLES)
    return encoder.size, encoded["ids"], encoded["weights"]


def test_a_bag_is_the_row_of_tf_idf_times_the_kernel():
    size, ids, weights = arrays()
    kernel = np.random.default_rng(0).normal(size=(size, 3)).astype(np.float32)
    found = WordBag(size, 3).apply({"params": {"kernel": kernel}}, ids, weights)
    row = np.zeros((len(ids), size))
    for b, place in np.ndindex(ids.shape):
        row[b, ids[b, place]] += weights[b, place]
    np.testing.assert_allclose(found, row @ kernel, atol=1e-6)
    assert not np.asarray(found)[3].any()


def test_a_wide_path_starts_at_zero_and_learns():
    size, ids, weights = arrays()
    model = WordBag(size, 2)
    state = model.init(jax.random.key(0), ids, weights)
    assert not np.asarray(model.apply(state, ids, weights)).any()
    slope = jax.grad(lambda s: model.apply(s, ids, weights).sum())(state)
    assert np.asarray(slope["params"]["kernel"]).any()


def test_positions_by_hand_and_mask():
    size, ids, weights = arrays()
    kernel = jnp.arange(2.0 * size).reshape(size, 2)
    state = {"params": {"kernel": kernel, "bias": jnp.array([1.0, -1.0])}}
    vectors, mask = WordPositions(size, 2).apply(state, ids, weights)
    np.testing.assert_array_equal(mask, ids != 0)
    for b, place in np.ndindex(ids.shape):
        expected = np.zeros(2)
        if ids[b, place]:
            root = np.sqrt((ids[b] != 0).sum())
            row = np.asarray(kernel)[ids[b, place]]
            expected = root * weights[b, place] * row + [1, -1]
        np.testing.assert_allclose(vectors[b, place], expected, rtol=1e-5)
