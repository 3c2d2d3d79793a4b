import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import UserError
from common.fusion.block import Block
from common.fusion.mfb import MFB
from common.fusion.mfh import MFH
from common.fusion.mutan import Mutan
from common.layers import resnet
from common.layers.embeddings import AttributeEmbedding, AttributeVector
from common.parallel.devices import Devices
from common.tables.encoders import AttributeSize, AttributeSpec
from ican.coattention import CoAttention
from ican.model import (
    Head,
    Network,
    mean_over_photos,
    pooled_feature_maps,
)
from ican.model_config import (
    KINDS,
    BlockConfig,
    ConcatenationMLPConfig,
    IcanConfig,
    MFBConfig,
    MFHConfig,
    ModelConfig,
    MutanConfig,
)

SPEC = AttributeSpec(
    (
        AttributeSize("metal", "categorical", 5),
        AttributeSize("weight", "continuous", 2),
        AttributeSize("stones", "set", 4),
    )
)
SMALL = ModelConfig(
    concatenation_mlp=ConcatenationMLPConfig(hidden=(6,), output=5),
    mfb=MFBConfig(factors=2, features=4),
    mfh=MFHConfig(factors=2, features=4),
    mutan=MutanConfig(features=6, rank=2),
    block=BlockConfig(count=2, size=3, output=5),
    ican=IcanConfig(
        cells=2,
        attribute_features=6,
        mfb_factors=2,
        mfb_features=4,
        hidden=5,
        block_count=2,
        block_size=3,
        output=5,
    ),
)


def kind_config(kind):
    return dataclasses.replace(SMALL, kind=kind)


def make_batch(items=3, channels=8, positions=4):
    rng = np.random.default_rng(0)
    return {
        "categorical": jnp.asarray(rng.integers(0, 5, (items, 1)), jnp.int32),
        "continuous": jnp.asarray(rng.normal(size=(items, 2)), jnp.float32),
        "missing": jnp.asarray(rng.integers(0, 2, (items, 2)), jnp.float32),
        "sets": jnp.asarray(rng.integers(0, 2, (items, 4)), jnp.float32),
        "features": jnp.asarray(
            np.maximum(rng.normal(size=(items, positions, channels)), 0), jnp.float32
        ),
        "photo_mask": jnp.ones((items, 1)),
    }


@functools.cache
def build(kind):
    """A head, its parameters with biases, and what it says about `make_batch()`."""
    head = Head(kind_config(kind), SPEC, 3, 4)
    batch = make_batch()
    params = jax.jit(head.init)(jax.random.key(0), batch["features"], batch)["params"]
    params = jax.tree.map(lambda leaf: leaf + 0.01, params)
    found = jax.jit(head.apply)({"params": params}, batch["features"], batch)
    return params, found


def classify(params, vector):
    dense = params["classifiers"]
    logits = vector @ dense["kernel"] + dense["bias"][None]
    return logits.reshape(-1, 3, 4)


def check_logits(found, params, vector):
    np.testing.assert_allclose(
        found.logits, classify(params, vector), rtol=1e-4, atol=1e-5
    )
    hidden, price = params["price_hidden"], params["price"]
    inner = jax.nn.relu(vector @ hidden["kernel"] + hidden["bias"][None])
    wanted = (inner @ price["kernel"])[:, 0] + price["bias"][0]
    np.testing.assert_allclose(found.price, wanted, rtol=1e-4, atol=1e-5)


def test_visual_alone_classifies_the_mean_position():
    params, found = build("visual")
    check_logits(found, params, make_batch()["features"].mean(1))
    assert set(params) == {"classifiers", "price_hidden", "price"}


def test_attributes_alone_classify_their_vector():
    params, found = build("attributes")
    vector = AttributeVector(SPEC, 2048).apply(
        {"params": params["embedding"]}, make_batch()
    )
    check_logits(found, params, vector)


FUSED = {
    "concatenation": lambda x, y, params: jnp.concatenate([x, y], 1),
    "addition": lambda x, y, params: x + y,
    "product": lambda x, y, params: x * y,
    "concatenation_mlp": lambda x, y, params: (
        jax.nn.relu(
            jnp.concatenate([x, y], 1) @ params["layer_0"]["kernel"]
            + params["layer_0"]["bias"][None]
        )
        @ params["layer_1"]["kernel"]
        + params["layer_1"]["bias"][None]
    ),
    "mfb": lambda x, y, params: MFB(4, factor=2).apply({"params": params}, x, y),
    "mfh": lambda x, y, params: MFH(8, stages=2, factor=2).apply(
        {"params": params}, x, y
    ),
    "mutan": lambda x, y, params: Mutan(6, width=None, rank=2).apply(
        {"params": params}, x, y
    ),
    "block": lambda x, y, params: Block(5, width=6, chunks=2, rank=None).apply(
        {"params": params}, x, y
    ),
}


@pytest.mark.parametrize("kind", FUSED)
def test_baselines_fuse_pooled_photo_and_attribute_vector(kind):
    params, found = build(kind)
    batch = make_batch()

    @jax.jit
    def fused(params):
        visual = batch["features"].mean(1)
        attributes = AttributeVector(SPEC, 8).apply(
            {"params": params["embedding"]}, batch
        )
        return FUSED[kind](visual, attributes, params.get("fusion"))

    check_logits(found, params, fused(params))
    assert found.visual_attention is None


WORDY = AttributeSpec((*SPEC.attributes, AttributeSize("title", "text", 300, 4)))


def make_wordy_batch():
    words = {
        "word_ids": jnp.array([[257, 299, 9, 0], [258, 0, 0, 0], [0, 0, 0, 0]]),
        "word_weights": jnp.array([[0.8, 0, 0.6, 0], [1, 0, 0, 0], [0, 0, 0, 0.0]]),
    }
    return {**make_batch(), **words}


@pytest.mark.parametrize("kind", ["attributes", "addition", "ican"])
def test_words_lead_straight_into_the_logits(kind):
    """The wide path: the row of TF-IDF times a matrix, which starts at zero."""
    head, batch = Head(kind_config(kind), WORDY, 3, 4), make_wordy_batch()
    params = jax.jit(head.init)(jax.random.key(0), batch["features"], batch)["params"]
    assert not np.asarray(params["wide_classifiers_3"]["kernel"]).any()
    apply = jax.jit(lambda p: head.apply({"params": p}, batch["features"], batch))
    before = apply(params).logits
    kernel = np.random.default_rng(1).normal(size=(300, 12)).astype(np.float32)
    found = apply({**params, "wide_classifiers_3": {"kernel": kernel}}).logits
    row = np.zeros((3, 300))
    row[0, [257, 9]] = 0.8, 0.6
    row[1, 258] = 1
    wide = (row @ kernel).reshape(3, 3, 4)
    np.testing.assert_allclose(found - before, wide, rtol=1e-4, atol=1e-4)
    assert np.isfinite(before).all()  # the last row has no text
    for module, leaf in jax.tree_util.tree_leaves_with_path(
        jax.grad(lambda p: (apply(p).logits ** 2).sum())(params)
    ):
        assert np.isfinite(leaf).all(), module


def test_who_sees_the_photo_alone_reads_no_words():
    head, batch = Head(kind_config("visual"), WORDY, 3, 4), make_wordy_batch()
    params = jax.jit(head.init)(jax.random.key(0), batch["features"], batch)["params"]
    assert set(params) == {"classifiers", "price", "price_hidden"}


def test_ican_averages_block_over_what_its_cells_saw():
    params, found = build("ican")
    batch = make_batch()

    @jax.jit
    def expected(params):
        attributes = AttributeEmbedding(SPEC, 6).apply(
            {"params": params["embedding"]}, batch
        )
        observation = CoAttention(SMALL.ican).apply(
            {"params": params["coattention"]}, batch["features"], attributes
        )
        block = Block(5, width=6, chunks=2, rank=None)
        first, second = (
            block.apply({"params": params["block"]}, visual, attribute)
            for visual, attribute in zip(
                jnp.moveaxis(observation.visual_sum, 1, 0),
                jnp.moveaxis(observation.attribute_sum, 1, 0),
                strict=True,
            )
        )
        return (first + second) / 2, observation

    vector, observation = expected(params)
    check_logits(found, params, vector)
    np.testing.assert_allclose(
        found.visual_attention, observation.visual_attention, rtol=1e-5
    )
    np.testing.assert_allclose(
        found.attribute_attention, observation.attribute_attention, rtol=1e-5
    )
    assert found.visual_attention.shape == (3, 2, 4)
    assert found.attribute_attention.shape == (3, 2, 3)


def paper_parameters(config):
    """Number of parameters of the head on the paper's sizes; nothing is computed."""
    cardinalities = (2, 2, 37, 37, 11, 4, 6, 6, 12)
    spec = AttributeSpec(
        (
            *(AttributeSize(f"c{n}", "categorical", n) for n in cardinalities),
            *(AttributeSize(f"v{n}", "continuous", n) for n in (1, 1, 2, 2)),
        )
    )
    batch = {
        "categorical": jnp.zeros((1, 9), jnp.int32),
        "continuous": jnp.zeros((1, 6)),
        "missing": jnp.zeros((1, 6)),
        "sets": jnp.zeros((1, 0)),
    }
    positions = jnp.zeros((1, 196, 2048))
    shapes = jax.eval_shape(
        Head(config, spec).init, jax.random.key(0), positions, batch
    )["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    return count, shapes["classifiers"]["kernel"].shape[0], shapes


def test_sizes_of_the_paper():
    # Width of the vector that enters the 20 x 7 classifiers.
    widths = {kind: paper_parameters(ModelConfig(kind=kind))[1] for kind in KINDS}
    assert widths == {
        "visual": 2048,
        "attributes": 2048,
        "concatenation": 4096,
        "concatenation_mlp": 1024,
        "addition": 2048,
        "product": 2048,
        "mfb": 200,
        "mfh": 400,
        "mutan": 360,
        "block": 1024,
        "ican": 1024,
    }


def test_parameters_of_ican_and_of_the_perceptron_it_is_judged_against():
    count, _, shapes = paper_parameters(ModelConfig())
    # BLOCK: two projections to 3200, 100 full cores of 32^3 with bias, output 1024.
    block = sum(leaf.size for leaf in jax.tree.leaves(shapes["block"]))
    assert block == (2048 + 1 + 200 + 1) * 3200 + 100 * (32**3 + 32) + 3201 * 1024
    # One attention: both MFB maps with bias to 1000, then 200 -> 128 -> 1.
    attention = (2048 + 1 + 200 + 1) * 1000 + 201 * 128 + 129
    cell = sum(leaf.size for leaf in jax.tree.leaves(shapes["coattention"]))
    assert cell == 2 * attention
    five = ModelConfig(ican=IcanConfig(cells=5))
    assert paper_parameters(five)[0] == count
    perceptron, _, _ = paper_parameters(ModelConfig(kind="concatenation_mlp"))
    assert abs(perceptron / count - 1) < 0.01


def test_pmap_and_jit_agree_with_dropout():
    config = dataclasses.replace(
        SMALL, dropout=0.3, ican=dataclasses.replace(SMALL.ican, dropout=0.3)
    )
    params, quiet = build("ican")
    batch = make_batch(16)

    def step(devices, params, batch):
        head = Head(config, SPEC, 3, 4, devices=devices)

        def loss(params):
            key = {"dropout": jax.random.key(5)}
            said = head.apply(
                {"params": params}, batch["features"], batch, train=True, rngs=key
            )
            total = devices.sum(jnp.sum(said.logits**2))
            return total, said.logits

        (value, logits), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        return value, devices.mean(gradients), logits

    value, gradients, logits = jax.jit(functools.partial(step, Devices()))(
        params, batch
    )
    assert not np.allclose(logits[:3], quiet.logits, rtol=1e-2)
    split = jax.tree.map(lambda x: x.reshape(8, 2, *x.shape[1:]), batch)
    values, device_gradients, device_logits = jax.pmap(
        functools.partial(step, Devices("data")), "data", in_axes=(None, 0)
    )(params, split)
    np.testing.assert_allclose(values, np.full(8, value), rtol=1e-5)
    np.testing.assert_allclose(
        device_logits.reshape(16, 3, 4), logits, rtol=1e-4, atol=1e-5
    )

    def compare(a, b):
        # Signed roots of sums near zero amplify rounding: judge a leaf as a whole.
        assert np.linalg.norm(a - b[None]) <= 3e-3 * np.linalg.norm(a) + 1e-4

    jax.tree.map(compare, device_gradients, gradients)


def test_bfloat16_computes_what_float32_does():
    params, expected = build("ican")
    batch = make_batch()
    head = Head(kind_config("ican"), SPEC, 3, 4, dtype=jnp.bfloat16)
    found = jax.jit(head.apply)({"params": params}, batch["features"], batch)
    assert found.logits.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        found.logits.astype(jnp.float32), expected.logits, rtol=0.1, atol=0.05
    )


def test_a_head_for_photos_needs_a_feature_map():
    head = Head(kind_config("visual"), SPEC)
    with pytest.raises(ValueError, match="feature map"):
        head.init(jax.random.key(0), None, make_batch())


# --- The network around the head. ---


def test_mean_over_photos_counts_real_photos_only():
    maps = jnp.arange(12.0).reshape(2, 3, 2, 1)  # photos 0, 1, 2 of two items
    mask = jnp.array([[1, 0, 1], [0, 0, 0]])
    found = mean_over_photos(maps, mask)
    np.testing.assert_allclose(found[:, :, 0], [[2.0, 3.0], [0.0, 0.0]])


def test_maps_are_averaged_over_squares_and_over_photos():
    # Two photos of 4 x 4 positions, numbered 0 to 15 and 100 to 115.
    maps = (
        jnp.arange(16.0).reshape(1, 4, 4, 1)
        + jnp.array([0.0, 100.0])[:, None, None, None]
    )
    photos, mask = jnp.zeros((1, 2, 4, 4, 3), jnp.uint8), jnp.ones((1, 2))
    found = pooled_feature_maps(lambda images: maps, photos, mask, pool=2)
    # Square 0 holds 0 1 4 5, mean 2.5; its neighbours begin 2 and 8 later.
    assert found[0, :, 0].tolist() == [52.5, 54.5, 60.5, 62.5]
    whole = pooled_feature_maps(lambda images: maps, photos, mask, pool=4)
    assert whole.tolist() == [[[57.5]]]


def test_item_without_photo_gets_a_learned_map():
    network = Network(kind_config("visual"), SPEC, classifiers=3, classes=4)
    batch = make_batch()
    batch["photo_mask"] = jnp.array([[1.0], [0.0], [1.0]])
    params = jax.jit(network.init)(jax.random.key(0), batch)["params"]
    assert set(params) == {"missing_photo", "head"}
    params["missing_photo"] = jnp.arange(8.0)

    def predict(params):
        return network.apply({"params": params}, batch)

    expected = batch["features"].mean(1).at[1].set(jnp.arange(8.0))
    check_logits(jax.jit(predict)(params), params["head"], expected)
    gradient = jax.grad(lambda params: jnp.sum(predict(params).logits[1] ** 2))(params)
    assert np.any(np.asarray(gradient["missing_photo"]) != 0)


BACKBONE = resnet.Sizes((1,), widths=(8,), stem=4)


def photo_batch(items=2, photos=2, side=8):
    rng = np.random.default_rng(1)
    batch = make_batch(items)
    del batch["features"]
    batch["photos"] = jnp.asarray(
        rng.integers(0, 256, (items, photos, side, side, 3)), jnp.uint8
    )
    batch["photo_mask"] = jnp.array([[1.0, 1.0], [1.0, 0.0]])
    return batch


@pytest.fixture(scope="module")
def photo_network():
    def make(frozen):
        return Network(kind_config("mutan"), SPEC, BACKBONE, 1, frozen, 3, 4)

    batch = photo_batch()
    variables = jax.jit(make(False).init)(jax.random.key(0), batch)
    return make, variables, batch


def test_network_trained_on_cached_features_predicts_from_photos(photo_network):
    make, variables, batch = photo_network
    network = make(True)
    found = jax.jit(network.apply)(variables, batch)
    images = resnet.normalise(batch["photos"].reshape(4, 8, 8, 3))
    maps = jax.jit(resnet.ResNet(BACKBONE).apply)(
        {key: variables[key]["backbone"] for key in ("params", "batch_stats")}, images
    ).reshape(4, 4, -1)
    cached = {key: value for key, value in batch.items() if key != "photos"}
    # The second item has one photo; the other slot is filled with something else.
    cached["features"] = jnp.stack([(maps[0] + maps[1]) / 2, maps[2]])
    without = {k: v for k, v in variables["params"].items() if k != "backbone"}
    expected = jax.jit(network.apply)({"params": without}, cached)
    np.testing.assert_allclose(found.logits, expected.logits, rtol=1e-3, atol=1e-5)
    # Features may come in half precision, as a cache holds them.
    cached["features"] = cached["features"].astype(jnp.float16)
    half = jax.jit(network.apply)({"params": without}, cached)
    assert half.logits.dtype == jnp.float32
    np.testing.assert_allclose(half.logits, expected.logits, rtol=0.02, atol=0.01)


@pytest.mark.parametrize("frozen", [False, True])
def test_only_a_backbone_that_is_not_frozen_learns(photo_network, frozen):
    make, variables, batch = photo_network
    network = make(frozen)

    @jax.jit
    def gradients_and_statistics(params):
        def loss(params):
            said, updates = network.apply(
                {"params": params, "batch_stats": variables["batch_stats"]},
                batch,
                train=True,
                rngs={"dropout": jax.random.key(0)},
                mutable=["batch_stats"],
            )
            return jnp.sum(said.logits**2), updates["batch_stats"]

        return jax.grad(loss, has_aux=True)(params)

    gradients, statistics = gradients_and_statistics(variables["params"])
    learns = any(np.any(leaf != 0) for leaf in jax.tree.leaves(gradients["backbone"]))
    moved = any(
        np.any(np.asarray(a) != np.asarray(b))
        for a, b in zip(
            jax.tree.leaves(statistics),
            jax.tree.leaves(variables["batch_stats"]),
            strict=True,
        )
    )
    assert learns is moved is (not frozen)
    assert np.any(gradients["head"]["classifiers"]["kernel"] != 0)


def test_attributes_alone_have_no_backbone():
    network = Network(kind_config("attributes"), SPEC)
    batch = {k: v for k, v in photo_batch().items() if "photo" not in k}
    variables = jax.jit(network.init)(jax.random.key(0), batch)
    assert set(variables) == {"params"}
    assert set(variables["params"]) == {"head"}


def test_mistakes_in_knobs_are_user_errors():
    with pytest.raises(UserError, match="at least one width"):
        ConcatenationMLPConfig(hidden=())
    with pytest.raises(UserError, match="kind"):
        ModelConfig(kind="icann")
    with pytest.raises(UserError, match="cells"):
        IcanConfig(cells=0)
