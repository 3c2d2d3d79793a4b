import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.layers.embeddings import (
    AttributeEmbedding,
    AttributeVector,
    CategoryLinear,
    FirstLayer,
    attribute_mask,
    first_width,
)
from common.layers.words import WordBag, WordPositions
from common.tables.encoders import AttributeSize, AttributeSpec

SPEC = AttributeSpec(
    (
        AttributeSize("metal", "categorical", 3),
        AttributeSize("stone", "continuous", 2),
        AttributeSize("materials", "set", 4),
        AttributeSize("shop", "categorical", 2),
        AttributeSize("year", "continuous", 1),
    )
)
BATCH = {
    "categorical": jnp.array([[0, 1], [2, 0]]),
    "continuous": jnp.array([[0.5, -1.0, 2.0], [1.5, 0.0, -3.0]]),
    "missing": jnp.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    "sets": jnp.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0]]),
}

# The paper's Table 1: nine categorical attributes, four continuous ones with six
# variables between them.
PAPER_CATEGORIES = (2, 2, 37, 37, 11, 4, 6, 6, 12)
PAPER_VARIABLES = (1, 1, 2, 2)


def paper_spec(reserved: int) -> AttributeSpec:
    categorical = [
        AttributeSize(f"c{i}", "categorical", n + reserved)
        for i, n in enumerate(PAPER_CATEGORIES)
    ]
    continuous = [
        AttributeSize(f"v{i}", "continuous", n) for i, n in enumerate(PAPER_VARIABLES)
    ]
    return AttributeSpec((*categorical, *continuous))


def oracle(params, batch, spec) -> list[np.ndarray]:
    """First-layer outputs by one-hot matrices in NumPy."""
    outputs, used = [], {"categorical": 0, "set": 0, "continuous": 0}
    for index, attribute in enumerate(spec.attributes):
        start, size = used[attribute.kind], attribute.size
        if attribute.kind == "continuous":
            outputs.append(
                np.concatenate(
                    [
                        batch[key][:, start : start + size]
                        for key in ("continuous", "missing")
                    ],
                    axis=1,
                )
            )
        else:
            layer = params["first"][f"attribute_{index}"]
            if attribute.kind == "categorical":
                hot = np.eye(size)[batch["categorical"][:, start]]
                size = 1
            else:
                hot = batch["sets"][:, start : start + size]
            outputs.append(np.asarray(hot) @ layer["kernel"] + layer["bias"][None])
        used[attribute.kind] += size
    return outputs


def randomised(module) -> dict:
    """Variables without zeros, biases included."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), BATCH)
    rng = np.random.default_rng(7)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), shapes
    )


def test_category_linear_is_a_linear_map_of_one_hot_vectors():
    kernel = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    variables = {"params": {"kernel": kernel, "bias": jnp.array([10.0, 20.0])}}
    layer = CategoryLinear(categories=3, features=2)
    found = layer.apply(variables, jnp.array([2, 0, 2]))
    np.testing.assert_array_equal(found, [[15, 26], [11, 22], [15, 26]])


def test_category_linear_shows_an_id_out_of_range():
    layer = CategoryLinear(categories=3, features=2)
    variables = layer.init(jax.random.key(0), jnp.array([0]))
    assert np.isnan(layer.apply(variables, jnp.array([3]))).all()


def test_embedding_with_weights_set_by_hand():
    spec = AttributeSpec(
        (
            AttributeSize("metal", "categorical", 2),
            AttributeSize("carat", "continuous", 1),
        )
    )
    params = {
        "first": {"attribute_0": {"kernel": [[2.0], [3.0]], "bias": [1.0]}},
        "second_0": {"kernel": [[1.0, 10.0]], "bias": [0.0, 1.0]},
        "second_1": {"kernel": [[1.0, 2.0], [5.0, 7.0]], "bias": [100.0, 200.0]},
    }
    batch = {
        "categorical": jnp.array([[1]]),
        "continuous": jnp.array([[0.5]]),
        "missing": jnp.array([[1.0]]),
        "sets": jnp.zeros((1, 0)),
    }
    variables = {"params": jax.tree.map(jnp.array, params, is_leaf=is_list)}
    found = AttributeEmbedding(spec, features=2).apply(variables, batch)
    # metal: 3 + 1 = 4 -> 4, 41; carat: 0.5 + 5 + 100, 1 + 7 + 200.
    np.testing.assert_array_equal(found, [[[4, 41], [105.5, 208]]])


def is_list(value) -> bool:
    return isinstance(value, list)


def test_embedding_equals_the_oracle():
    module = AttributeEmbedding(SPEC, features=5)
    variables = randomised(module)
    params = jax.tree.map(np.asarray, variables["params"])
    expected = [
        first @ params[f"second_{i}"]["kernel"] + params[f"second_{i}"]["bias"][None]
        for i, first in enumerate(oracle(params, BATCH, SPEC))
    ]
    found = jax.jit(module.apply)(variables, BATCH)
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-5, atol=1e-5)


def test_vector_equals_the_oracle():
    module = AttributeVector(SPEC, features=6)
    variables = randomised(module)
    params = jax.tree.map(np.asarray, variables["params"])
    joined = np.concatenate(oracle(params, BATCH, SPEC), axis=1)
    expected = joined @ params["second"]["kernel"] + params["second"]["bias"][None]
    found = jax.jit(module.apply)(variables, BATCH)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_widths_of_the_paper():
    """60 + 6 = 66 wide after the first layer, as the paper's Table 1 gives it."""
    assert sum(PAPER_CATEGORIES) + sum(PAPER_VARIABLES) == 123
    paper = paper_spec(reserved=0)
    assert len(paper.attributes) == 13
    categorical = [first_width(a) for a in paper.attributes if a.kind == "categorical"]
    assert categorical == [1, 1, 19, 19, 6, 2, 3, 3, 6]
    assert sum(categorical) + sum(PAPER_VARIABLES) == 66
    # Ours adds a missing flag for each variable, and two reserved categories, that is
    # one more unit, for each categorical attribute.
    assert sum(map(first_width, paper.attributes)) == 66 + 6
    assert sum(map(first_width, paper_spec(reserved=2).attributes)) == 66 + 6 + 9


def test_parameters_of_the_paper():
    spec = paper_spec(reserved=2)
    batch = {
        "categorical": jnp.zeros((1, 9), jnp.int32),
        "continuous": jnp.zeros((1, 6)),
        "missing": jnp.zeros((1, 6)),
        "sets": jnp.zeros((1, 0)),
    }

    def count(module) -> int:
        shapes = jax.eval_shape(module.init, jax.random.key(0), batch)
        return sum(leaf.size for leaf in jax.tree.leaves(shapes))

    widths = [(n + 2, -(-(n + 2) // 2)) for n in PAPER_CATEGORIES]
    first = sum(n * u + u for n, u in widths)
    # Second layer: 81 inputs in all to 200 features, and 13 biases of 200.
    assert count(AttributeEmbedding(spec)) == first + 81 * 200 + 13 * 200
    assert count(AttributeVector(spec)) == first + 81 * 2048 + 2048


def test_sets_sum_their_members_and_missing_flags_matter():
    module = FirstLayer(SPEC)
    variables = randomised(module)

    apply = jax.jit(module.apply)

    def outputs(**changes):
        return apply(variables, BATCH | changes)

    both = outputs()[2][0]
    ruby = outputs(sets=BATCH["sets"].at[0, 3].set(0))[2][0]
    jade = outputs(sets=BATCH["sets"].at[0, 2].set(0))[2][0]
    none = outputs(sets=BATCH["sets"].at[0].set(0))[2][0]
    np.testing.assert_allclose(both + none, ruby + jade, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(outputs()[1][0], [0.5, -1, 0, 1])


def test_all_kinds_start_on_one_scale():
    spec = AttributeSpec(
        (
            AttributeSize("few", "categorical", 6),
            AttributeSize("many", "categorical", 300),
            AttributeSize("number", "continuous", 1),
        )
    )
    rows, rng = 4096, np.random.default_rng(0)
    batch = {
        "categorical": np.stack([rng.integers(0, n, rows) for n in (6, 300)], axis=1),
        "continuous": rng.normal(size=(rows, 1)).astype(np.float32),
        "missing": np.zeros((rows, 1), np.float32),
        "sets": np.zeros((rows, 0), np.float32),
    }
    module = AttributeEmbedding(spec, features=64)
    found, _ = jax.jit(module.init_with_output)(jax.random.key(1), batch)
    spread = np.sqrt(np.mean(np.square(found), axis=(0, 2)))
    assert (spread > 0.4).all() and (spread < 1.6).all(), spread


@pytest.mark.parametrize(
    "module", [AttributeEmbedding(SPEC, 8), AttributeVector(SPEC, 8)]
)
def test_gradients_reach_every_weight_that_the_batch_uses(module):
    variables = randomised(module)
    loss = lambda v: jnp.sum(module.apply(v, BATCH) ** 2)
    grads = jax.jit(jax.grad(loss))(variables)
    kernel = np.asarray(grads["params"]["first"]["attribute_0"]["kernel"])
    used = np.abs(kernel).sum(axis=1) > 0
    assert used.tolist() == [True, False, True]  # ids 0 and 2 occur


def test_bfloat16_computes_low_and_keeps_parameters_high():
    module = AttributeEmbedding(SPEC, features=8, dtype=jnp.bfloat16)
    variables = randomised(module)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}
    low = jax.jit(module.apply)(variables, BATCH)
    assert low.dtype == jnp.bfloat16
    high = jax.jit(AttributeEmbedding(SPEC, features=8).apply)(variables, BATCH)
    np.testing.assert_allclose(low.astype(np.float32), high, rtol=0.05, atol=0.1)


# A text, a category, another text: of 3 and 2 entries.
WORDY = AttributeSpec(
    (
        AttributeSize("title", "text", 300, 3),
        AttributeSize("metal", "categorical", 3),
        AttributeSize("note", "text", 260, 2),
    )
)
WORDY_BATCH = {
    "categorical": jnp.array([[1], [2]]),
    "continuous": jnp.zeros((2, 0)),
    "missing": jnp.zeros((2, 0)),
    "sets": jnp.zeros((2, 0)),
    "word_ids": jnp.array([[257, 299, 0, 9, 0], [0, 0, 0, 258, 259]]),
    "word_weights": jnp.array([[0.6, 0.8, 0, 1, 0], [0, 0, 0, 0.8, 0.6]]),
}


def parts_of(batch):
    title = batch["word_ids"][:, :3], batch["word_weights"][:, :3]
    note = batch["word_ids"][:, 3:], batch["word_weights"][:, 3:]
    return title, note


def test_words_of_a_text_stand_in_its_place():
    module = AttributeEmbedding(WORDY, 4)
    params = module.init(jax.random.key(0), WORDY_BATCH)["params"]
    found = module.apply({"params": params}, WORDY_BATCH)
    title, note = parts_of(WORDY_BATCH)
    first, _ = WordPositions(300, 4).apply({"params": params["words_0"]}, *title)
    last, _ = WordPositions(260, 4).apply({"params": params["words_2"]}, *note)
    metal = params["first"]["attribute_1"]["kernel"][WORDY_BATCH["categorical"][:, 0]]
    middle = metal @ params["second_1"]["kernel"]
    expected = jnp.concatenate([first, middle[:, None], last], 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    mask = attribute_mask(WORDY, WORDY_BATCH)
    np.testing.assert_array_equal(mask, [[1, 1, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1]])
    assert not np.asarray(found)[~np.asarray(mask)].any()
    assert attribute_mask(SPEC, BATCH) is None


def test_a_text_is_a_bag_in_the_vector_of_all_attributes():
    module = AttributeVector(WORDY, 5)
    params = module.init(jax.random.key(0), WORDY_BATCH)["params"]
    title, note = parts_of(WORDY_BATCH)
    bags = [
        WordBag(size, 64).apply({"params": params[name]}, *words)
        for size, name, words in (
            (300, "words_0", title),
            (260, "words_2", note),
        )
    ]
    metal = params["first"]["attribute_1"]["kernel"][WORDY_BATCH["categorical"][:, 0]]
    joined = jnp.concatenate([metal, *bags], 1)
    np.testing.assert_allclose(
        module.apply({"params": params}, WORDY_BATCH),
        joined @ params["second"]["kernel"],
        rtol=1e-4,
        atol=1e-5,
    )
    # On the scale of the other attributes: weights of norm 1, rows of variance 1.
    assert 0.5 < np.asarray(bags[0])[0].std() < 1.5
    assert not np.asarray(bags[0])[1].any()  # a row without words


def test_texts_alone_are_attributes_too():
    spec = AttributeSpec((AttributeSize("title", "text", 300, 5),))
    for module, shape in (
        (AttributeEmbedding(spec, 4), (2, 5, 4)),
        (AttributeVector(spec, 4), (2, 4)),
    ):
        found, _ = module.init_with_output(jax.random.key(0), WORDY_BATCH)
        assert found.shape == shape
