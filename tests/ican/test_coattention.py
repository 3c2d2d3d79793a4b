import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.fusion.block import Block
from ican.coattention import CoAttention, CoAttentionCell, Observation
from ican.model_config import IcanConfig

SMALL = IcanConfig(
    cells=3, mfb_factors=3, mfb_features=4, hidden=5, dropout=0.0, attribute_features=6
)


def random_biases(params, scale, seed=7):
    """The same parameters with biases that are not zero."""
    leaves, tree = jax.tree.flatten_with_path(params)
    rng = np.random.default_rng(seed)
    return jax.tree.unflatten(
        tree,
        [
            jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype)
            if "bias" in path[-1].key
            else leaf
            for path, leaf in leaves
        ],
    )


def inputs(items=2, positions=7, channels=5, attributes=4, features=6, dtype=None):
    rng = np.random.default_rng(0)
    visual = rng.normal(size=(items, positions, channels)) + rng.normal(
        size=(items, 1, channels)
    )
    vectors = rng.normal(size=(items, attributes, features))
    return jnp.asarray(np.maximum(visual, 0), dtype), jnp.asarray(vectors, dtype)


def build(config):
    """A model for `inputs()` with its parameters."""
    model = CoAttention(config)
    return model, jax.jit(model.init)(jax.random.key(1), *inputs())["params"]


# --- An independent oracle: one item, explicit refined maps, plain loops. ---


def softmax(scores):
    odds = np.exp(scores - scores.max())
    return odds / odds.sum()


def oracle_scores(params, pairs, joint):
    """Scores of (visual vector, attribute vector) pairs through MFB and two maps."""
    mfb = params["mfb"]
    pooled = []
    for visual, attribute in pairs:
        left = visual @ mfb["linear_x"]["kernel"] + mfb["bias_x"]
        right = attribute @ mfb["linear_y"]["kernel"] + mfb["bias_y"]
        product = left * right
        sums = [product[i : i + 3].sum() for i in range(0, len(product), 3)]
        pooled.append([np.sign(z) * np.sqrt(abs(z)) for z in sums])
    pooled = np.array(pooled)
    norms = np.linalg.norm(pooled, axis=None if joint else 1, keepdims=True)
    hidden, score = params["hidden"], params["score"]
    rows = np.maximum(pooled / norms @ hidden["kernel"] + hidden["bias"], 0)
    return (rows @ score["kernel"] + score["bias"])[:, 0]


def oracle(params, config, visual, attributes):
    """Eq. 1 to 6 on one item [P, C], [A, D], the refined maps written out."""
    cell = params["cell"]
    top_down = cell["visual_fusion"]
    bottom_up = top_down if config.share_attention_fusion else cell["attribute_fusion"]
    literal = config.attention == "literal"
    pool = np.sum if literal else np.mean
    visual_map, attribute_map = visual.copy(), attributes.copy()
    s_visual, s_attributes = np.ones(len(visual)), np.ones(len(attributes))
    observed = []
    for _ in range(config.cells):
        vector = pool(attribute_map, 0)
        pairs = [(row, vector) for row in visual_map]
        a_visual = softmax(oracle_scores(top_down, pairs, config.mfb_joint_norm))
        s_visual = s_visual * a_visual
        if not literal:
            s_visual = s_visual / s_visual.mean()
        visual_map = s_visual[:, None] * visual
        observation = pool(visual_map, 0)
        pairs = [(observation, row) for row in attribute_map]
        a_attributes = softmax(oracle_scores(bottom_up, pairs, config.mfb_joint_norm))
        s_attributes = s_attributes * a_attributes
        if not literal:
            s_attributes = s_attributes / s_attributes.mean()
        attribute_map = s_attributes[:, None] * attributes
        observed.append((observation, pool(attribute_map, 0), a_visual, a_attributes))
    return [np.stack(parts) for parts in zip(*observed, strict=True)]


@pytest.mark.parametrize(
    "options",
    [
        {"attention": "renormalised"},
        {"attention": "literal"},
        {"share_attention_fusion": True},
        {"mfb_joint_norm": True},
    ],
    ids=str,
)
def test_co_attention_against_explicit_refined_maps(options):
    config = dataclasses.replace(SMALL, **options)
    with jax.enable_x64(True):
        visual, attributes = inputs(dtype=jnp.float64)
        model, params = build(config)
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
        params = random_biases(params, 0.3)
        found = jax.jit(model.apply)({"params": params}, visual, attributes)
        plain = jax.tree.map(np.asarray, params)
        for b in range(2):
            expected = oracle(plain, config, np.asarray(visual[b]), attributes[b])
            for part, wanted in zip(found, expected, strict=True):
                np.testing.assert_allclose(part[b], wanted, rtol=1e-9, atol=1e-14)


MASK = np.array([[1, 0, 1, 1, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]], bool)


@pytest.mark.parametrize(
    "options",
    [
        {"attention": "renormalised"},
        {"attention": "literal"},
        {"mfb_joint_norm": True},
    ],
    ids=str,
)
def test_empty_attributes_are_as_if_they_were_not_there(options):
    """Whatever stands in their places; with all of them empty the photo is seen."""
    config = dataclasses.replace(SMALL, **options)
    with jax.enable_x64(True):
        visual, attributes = inputs(items=3, attributes=6, dtype=jnp.float64)
        model, params = build(config)
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
        params = random_biases(params, 0.3)
        apply = jax.jit(model.apply)
        found = apply({"params": params}, visual, attributes, MASK)
        plain = jax.tree.map(np.asarray, params)
        for b in range(2):
            kept = np.asarray(attributes[b])[MASK[b]]
            *sums, seen, told = oracle(plain, config, np.asarray(visual[b]), kept)
            whole = np.zeros((config.cells, 6))
            whole[:, MASK[b]] = told
            for part, wanted in zip(found, [*sums, seen, whole], strict=True):
                np.testing.assert_allclose(part[b], wanted, rtol=1e-9, atol=1e-14)
        assert not np.asarray(found.attribute_attention[2]).any()
        assert not np.asarray(found.attribute_sum[2]).any()
        np.testing.assert_allclose(found.visual_attention[2].sum(-1), 1.0)
        # A permutation of the places, other numbers in the empty ones.
        order = np.array([4, 3, 0, 5, 2, 1])
        other = jnp.where(MASK[..., None], attributes, 100.0)[:, order]
        again = apply({"params": params}, visual, other, MASK[:, order])
        for part, wanted in zip(again[:3], found[:3], strict=True):
            np.testing.assert_allclose(part, wanted, rtol=1e-9, atol=1e-14)
        attention = found.attribute_attention[..., order]
        np.testing.assert_allclose(again[3], attention, rtol=1e-9, atol=1e-14)


def test_indifferent_cells_take_the_mean_of_what_is_there_by_hand():
    """Scores of 0: the weight of each of three attributes is 1 / 3, of an empty one 0."""
    model, params = build(dataclasses.replace(SMALL, cells=2))
    for side in ("visual_fusion", "attribute_fusion"):
        params["cell"][side]["score"]["kernel"] *= 0
    visual = jnp.ones((1, 7, 5))
    attributes = jnp.array([[[6.0], [3.0], [100.0], [0.0]]]) * jnp.ones((1, 1, 6))
    mask = jnp.array([[True, True, False, True]])
    found = model.apply({"params": params}, visual, attributes, mask)
    third = 1 / 3
    np.testing.assert_allclose(
        found.attribute_attention[0], [[third, third, 0, third]] * 2, rtol=1e-6
    )
    # (6 + 3 + 0) / 3
    np.testing.assert_allclose(found.attribute_sum[0], np.full((2, 6), 3.0), rtol=1e-6)


def test_a_mask_of_all_attributes_changes_nothing():
    visual, attributes = inputs()
    model, params = build(SMALL)
    wanted = model.apply({"params": params}, visual, attributes)
    found = model.apply({"params": params}, visual, attributes, jnp.ones((2, 4), bool))
    for part, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(part, other, rtol=1e-6, atol=1e-7)


def test_gradients_with_empty_attributes_are_finite():
    visual, attributes = inputs(items=3, attributes=6)
    model, params = build(dataclasses.replace(SMALL, cells=5))

    def loss(params, attributes):
        seen = model.apply({"params": params}, visual, attributes, MASK)
        return (seen.visual_sum**2).sum() + (seen.attribute_sum**2).sum()

    slopes = jax.jit(jax.grad(loss, (0, 1)))(params, attributes)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    assert not np.asarray(slopes[1])[~MASK].any()


def test_first_cell_pools_as_the_paper_does():
    visual, attributes = inputs()
    model, params = build(dataclasses.replace(SMALL, cells=1))
    observation = jax.jit(model.apply)({"params": params}, visual, attributes)
    for attention, pooled, maps in [
        (observation.visual_attention, observation.visual_sum, visual),
        (observation.attribute_attention, observation.attribute_sum, attributes),
    ]:
        np.testing.assert_allclose(attention.sum(-1), 1.0, rtol=1e-6)
        paper = (attention[:, 0, :, None] * maps).sum(1)
        np.testing.assert_allclose(pooled[:, 0], paper, rtol=2e-6, atol=1e-6)


def test_parameters_do_not_depend_on_the_number_of_cells():
    trees = [build(dataclasses.replace(SMALL, cells=cells))[1] for cells in (1, 5)]
    assert jax.tree.structure(trees[0]) == jax.tree.structure(trees[1])
    jax.tree.map(np.testing.assert_array_equal, *trees)


def test_sharing_the_attention_fusion_leaves_one_of_two():
    counts = []
    for share in (False, True):
        config = dataclasses.replace(SMALL, share_attention_fusion=share)
        _, params = build(config)
        counts.append(sum(leaf.size for leaf in jax.tree.leaves(params)))
    assert counts[0] == 2 * counts[1]


def test_scan_equals_a_loop_of_the_cell_gradients_included():
    config = dataclasses.replace(SMALL, cells=2)
    (model, params), cell = build(config), CoAttentionCell(config)

    def loop(params, visual, attributes):
        variables = {"params": params["cell"]}
        maps = cell.apply(variables, visual, attributes, method="project")
        state = cell.apply(variables, maps, method="start")
        observed = []
        for _ in range(config.cells):
            state, observation = cell.apply(variables, state, maps)
            observed.append(observation)
        return Observation(*(jnp.stack(x, 1) for x in zip(*observed, strict=True)))

    def scan(params, visual, attributes):
        return model.apply({"params": params}, visual, attributes)

    def gradients_and_value(run, arguments):
        def loss(*arguments):
            observation = run(*arguments)
            return sum(jnp.sin(3 * x).sum() for x in observation), observation

        return jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))(*arguments)

    with jax.enable_x64(True):
        arguments = jax.tree.map(jnp.float64, (params, *inputs()))
        found = gradients_and_value(scan, arguments)
        expected = gradients_and_value(loop, arguments)
        assert max(abs(leaf).max() for leaf in jax.tree.leaves(found[0])) > 0.1
        compare = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)
        jax.tree.map(compare, found, expected)


def test_every_cell_draws_a_dropout_mask_of_its_own():
    visual, attributes = inputs()
    model, params = build(dataclasses.replace(SMALL, cells=2, dropout=0.5))
    # With nearly flat attention both cells start from nearly the same state, so that
    # without dropout they score alike.
    for side in ("visual_fusion", "attribute_fusion"):
        params["cell"][side]["score"]["kernel"] *= 1e-3

    @functools.partial(jax.jit, static_argnums=0)
    def centred(seed):
        observation = model.apply(
            {"params": params},
            visual,
            attributes,
            train=seed is not None,
            rngs={"dropout": jax.random.key(0 if seed is None else seed)},
        )
        logs = jnp.log(observation.visual_attention)  # [B, L, P]
        return logs - logs.mean(-1, keepdims=True)

    def difference(a, b):
        return np.linalg.norm(a - b) / np.linalg.norm(a)

    quiet, first, second = (np.asarray(centred(seed)) for seed in (None, 0, 1))
    assert difference(quiet[:, 0], quiet[:, 1]) < 0.02
    assert difference(first[:, 0], first[:, 1]) > 0.2
    assert difference(first, second) > 0.2
    assert difference(first, quiet) > 0.2
    np.testing.assert_array_equal(first, centred(0))


def test_sharp_and_opposed_attention_stays_finite():
    visual, attributes = inputs()
    model, params = build(dataclasses.replace(SMALL, cells=5))
    for side in ("visual_fusion", "attribute_fusion"):
        params["cell"][side]["score"]["kernel"] *= 1e5

    def loss(params, visual):
        observation = model.apply({"params": params}, visual, attributes)
        return (observation.visual_sum**2).sum() + (observation.attribute_sum**2).sum()

    value, gradients = jax.jit(jax.value_and_grad(loss, (0, 1)))(params, visual)
    assert np.isfinite(value) and value > 0
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradients))


def test_zero_maps_have_finite_gradients():
    visual, attributes = (jnp.zeros_like(x) for x in inputs())
    model, params = build(SMALL)

    def loss(visual, attributes):
        observation = model.apply({"params": params}, visual, attributes)
        return sum(jnp.sum(x**2) for x in observation)

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(visual, attributes)
    assert all(np.all(np.isfinite(leaf)) for leaf in gradients)


# --- Does the signal survive five cells? ---

ITEMS, POSITIONS, CELLS = 16, 196, 5
WIDE = dataclasses.replace(SMALL, cells=CELLS, mfb_factors=5, mfb_features=40)


@pytest.fixture(scope="module")
def survivor():
    """Spread over items of each cell's h_o and norms of the visual sums, [L] each."""
    visual, attributes = inputs(ITEMS, POSITIONS, 48, 13)
    init = jax.jit(CoAttention(WIDE).init)
    params = init(jax.random.key(0), visual, attributes)["params"]
    params = random_biases(params, 0.05)
    block = Block(32, width=80, chunks=10, rank=None)
    sums = jnp.zeros((1, 48)), jnp.zeros((1, 6))
    block_params = jax.jit(block.init)(jax.random.key(1), *sums)["params"]
    block_params = random_biases(block_params, 0.05)
    programs = {
        (form, dtype): _run(dataclasses.replace(WIDE, attention=form), dtype)
        for form in ("renormalised", "literal")
        for dtype in (jnp.float32, jnp.bfloat16)
    }
    flat = programs["renormalised", jnp.float32](
        params, block_params, visual, attributes
    )
    first = np.log(np.asarray(flat[2][:, 0]))  # [B, P]

    def run(form, dtype, peak):
        sharp = jax.tree.map(lambda leaf: leaf, params)
        factor = 1.0 if peak is None else _sharpening(first, peak)
        sharp["cell"]["visual_fusion"]["score"]["kernel"] *= factor
        spread, norms, attention = programs[form, dtype](
            sharp, block_params, visual, attributes
        )
        return np.asarray(spread), np.asarray(norms), np.asarray(attention)

    return run


def _run(config, dtype):
    model = CoAttention(config, dtype)
    block = Block(32, width=80, chunks=10, rank=None, dtype=dtype)

    @jax.jit
    def run(params, block_params, visual, attributes):
        observation = model.apply({"params": params}, visual, attributes)
        fused = block.apply(
            {"params": block_params}, observation.visual_sum, observation.attribute_sum
        ).astype(jnp.float32)
        norms = jnp.linalg.norm(observation.visual_sum.astype(jnp.float32), axis=-1)
        return fused.std(0).mean(-1), norms.mean(0), observation.visual_attention

    return run


def _sharpening(log_attention, peak):
    """Factor on the scores that makes the mean largest weight `peak` times uniform."""
    low, high = 0.0, 8.0
    for _ in range(60):
        middle = (low + high) / 2
        scores = log_attention * 10**middle
        odds = np.exp(scores - scores.max(1, keepdims=True))
        largest = (odds.max(1) / odds.sum(1)).mean() * POSITIONS
        low, high = (middle, high) if largest < peak else (low, middle)
    return 10**middle


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["f32", "bf16"])
@pytest.mark.parametrize("peak", [None, 17.0, 118.0])
def test_renormalised_attention_keeps_the_signal(survivor, dtype, peak):
    spread, norms, attention = survivor("renormalised", dtype, peak)
    if peak is not None:
        reached = attention[:, 0].max(-1).mean() * POSITIONS
        assert abs(reached / peak - 1) < 0.2
    assert spread[0] > 1e-3
    assert spread[CELLS - 1] >= 0.5 * spread[0]
    assert norms.max() <= 2 * norms.min()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["f32", "bf16"])
def test_literal_attention_drowns_in_the_biases(survivor, dtype):
    # Flat attention: the maps shrink by 1 / 196 in every cell.
    spread, norms, _ = survivor("literal", dtype, None)
    np.testing.assert_allclose(norms[1:] / norms[:-1], 1 / POSITIONS, rtol=0.2)
    assert spread[1] < 0.2 * spread[0]
    assert spread[CELLS - 1] < 0.02 * spread[0]
    # Sharp attention loses less in the first cells, and still nearly all by the last.
    sharp_spread, sharp_norms, _ = survivor("literal", dtype, 118.0)
    assert sharp_norms[1] > 10 * norms[1]
    assert sharp_spread[CELLS - 1] < 0.1 * sharp_spread[0]
