import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recsys import losses
from recsys.corpus.tree import CategoryTree
from recsys.models.coarse_fine import CoarseFine
from recsys.models.recommender import differences, score_pairs
from tests.recsys import plain_models as plain

# Sizes that differ, so that no mix-up of levels goes unseen.
MODEL = CoarseFine(plain.TREE, width=12, level_widths=(3, 2, 4), **plain.SIZES)
VISUAL = 3
PARAMS = plain.draw_params(MODEL)
BATCH = plain.draw_batch(7, 3)


@pytest.fixture(autouse=True)
def _compile_quickly_in_float64():
    with jax.enable_x64(True):
        yield


def apply(model, params, *inputs, method):
    run = jax.jit(lambda p, *x: model.apply({"params": p}, *x, method=method))
    return np.asarray(run(params, *inputs))


def pair_scores(model, params, *batch):
    run = jax.jit(lambda p, *x: score_pairs(*model.apply({"params": p}, *x)))
    return np.asarray(run(params, *batch))


@pytest.mark.parametrize("form", ["tiles", "gather"])
def test_scores_equal_the_papers_formula(form):
    model = MODEL.clone(projection=form)
    found = pair_scores(model, PARAMS, *BATCH)
    expected = plain.plain_scores(model, PARAMS, *BATCH)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    users, *items = BATCH
    first = apply(model, PARAMS, users, *(x[:, 0] for x in items), method="score")
    np.testing.assert_allclose(first, expected[:, 0], rtol=1e-10, atol=1e-10)


def test_the_inner_product_of_the_vectors_is_exact():
    """Every user against every item of the batch."""
    _, items, leaves, features = BATCH
    found = apply(MODEL, PARAMS, method="user_vectors") @ (
        apply(MODEL, PARAMS, items, leaves, features, method="item_vectors")
        .reshape(items.size, -1)
        .T
    )
    assert found.shape == (plain.USERS, items.size)
    for user in range(plain.USERS):
        expected = plain.plain_scores(
            MODEL, PARAMS, np.full(len(items), user), items, leaves, features
        )
        np.testing.assert_allclose(
            found[user], expected.ravel(), rtol=1e-12, atol=1e-12
        )


def test_columns_after_the_items_own_are_those_of_its_leaf():
    _, items, leaves, features = BATCH
    vectors = apply(MODEL, PARAMS, items, leaves, features, method="item_vectors")
    by_leaf = apply(
        MODEL, PARAMS, np.arange(plain.TREE.leaf_count), method="leaf_vectors"
    )
    np.testing.assert_array_equal(vectors[..., MODEL.item_width :], by_leaf[leaves])
    for leaf in range(plain.TREE.leaf_count):
        coarse = np.concatenate(plain.category_vectors(MODEL, PARAMS, leaf))
        np.testing.assert_allclose(by_leaf[leaf, : len(coarse)], coarse, rtol=1e-12)


def test_a_repeated_level_has_the_vector_of_the_level_above():
    model = CoarseFine(plain.TREE, width=12, **plain.SIZES)
    assert model.category_widths == (3, 3, 3)
    by_leaf = apply(
        model,
        plain.draw_params(model),
        np.arange(plain.TREE.leaf_count),
        method="leaf_vectors",
    )
    toys = plain.TREE.leaves.index(("toys", "toys", "toys"))
    np.testing.assert_array_equal(by_leaf[toys, 3:6], by_leaf[toys, :3])
    np.testing.assert_array_equal(by_leaf[toys, 6:9], by_leaf[toys, :3])
    bags = plain.TREE.leaves.index(("women", "bags", "bags"))
    np.testing.assert_array_equal(by_leaf[bags, 6:9], by_leaf[bags, 3:6])
    assert np.abs(by_leaf[bags, 3:6] - by_leaf[bags, :3]).min() > 0.01


def first_task(params, batch):
    scores = score_pairs(*MODEL.apply({"params": params}, *batch))
    total, weight = losses.pairwise_loss(differences(scores))
    return total / weight


def second_task(params, batch):
    users, *_ = batch
    _, items = MODEL.apply({"params": params}, *batch)
    everyone = MODEL.apply({"params": params}, method="user_vectors")
    total, weight = losses.user_loss(items[:, 0], everyone, users)
    return total / weight


def test_the_category_part_of_the_bias_is_a_prior_that_only_the_second_task_sees():
    batch = jax.tree.map(jnp.asarray, BATCH)
    by_first = jax.jit(jax.grad(first_task))(PARAMS, batch)["user_bias"]
    by_second = jax.jit(jax.grad(second_task))(PARAMS, batch)["user_bias"]
    np.testing.assert_allclose(by_first[:, :-VISUAL], 0, atol=1e-14)
    assert np.abs(by_first[np.unique(BATCH[0]), -VISUAL:]).min() > 1e-6
    assert np.abs(by_second[:, :-VISUAL]).min() > 1e-6
    # Another bias shifts all scores of a user by P_u . change.
    change = np.random.default_rng(5).normal(size=(plain.USERS, 12 - VISUAL))
    changed = dict(PARAMS, user_bias=PARAMS["user_bias"].copy())
    changed["user_bias"][:, :-VISUAL] += change
    before = pair_scores(MODEL, PARAMS, *BATCH)
    after = pair_scores(MODEL, changed, *BATCH)
    shift = (PARAMS["user_preference"][:, :-VISUAL] * change).sum(1)[BATCH[0]]
    np.testing.assert_allclose(after - before, shift[:, None] + 0 * before, rtol=1e-10)
    np.testing.assert_array_equal(np.argsort(after), np.argsort(before))


def test_an_unknown_user_gets_what_all_users_share():
    _, items, leaves, features = BATCH
    nobody = np.full(len(items), -1)
    found = pair_scores(MODEL, PARAMS, nobody, items, leaves, features)
    for b, n in np.ndindex(*items.shape):
        leaf = leaves[b, n]
        fine = plain.visual_vector(PARAMS, leaf, features[b, n])
        np.testing.assert_allclose(
            found[b, n], PARAMS["leaf_user_bias"][leaf] @ fine, rtol=1e-10
        )


def test_the_parts_of_a_score_add_up_to_it():
    users, items, leaves, features = (x[:, 0] if x.ndim > 1 else x for x in BATCH)
    users = np.where(np.arange(7) == 2, -1, users)
    items = np.where(np.arange(7) == 4, -1, items)
    batch = users, items, leaves, features

    @jax.jit
    def run(params):
        variables = {"params": params}
        parts = MODEL.apply(variables, *batch, method="score_parts")
        return parts, MODEL.apply(variables, *batch, method="score")

    parts, scores = run(PARAMS)
    levels = [f"level {k}" for k in (1, 2, 3)]
    assert set(parts) == {*levels, "visual", "visual, all users", "user bias"}
    np.testing.assert_allclose(sum(parts.values()), scores, rtol=1e-10, atol=1e-10)
    for b, leaf in enumerate(leaves):
        fine = plain.visual_vector(PARAMS, leaf, features[b])
        shift = PARAMS["leaf_user_bias"][leaf]
        preference, bias = (
            PARAMS[name][users[b]] * (users[b] >= 0)
            for name in ("user_preference", "user_bias")
        )
        needs = np.split(preference, [3, 5, 9])
        expected = {
            f"level {k}": need @ vector
            for k, (need, vector) in enumerate(
                zip(needs, plain.category_vectors(MODEL, PARAMS, leaf), strict=False), 1
            )
        }
        expected |= {"visual": needs[3] @ fine, "visual, all users": shift @ fine}
        expected["user bias"] = preference @ bias + shift @ bias[-VISUAL:]
        for name, value in expected.items():
            np.testing.assert_allclose(parts[name][b], value, rtol=1e-10, atol=1e-12)


def test_sizes_and_scales_at_the_start():
    paths = [(str(i % 3), str(i % 30), str(i)) for i in range(300)]
    tree, _ = CategoryTree.from_paths(paths)
    model = CoarseFine(tree, user_count=400, feature_size=64)
    assert (model.category_widths, model.visual_width) == ((32, 32, 32), 32)
    params = jax.jit(model.init_params)(jax.random.key(0))
    shapes = {name: value.shape for name, value in params.items()}
    assert shapes == {
        "user_preference": (400, 128),
        "user_bias": (400, 128),
        "category_base": (3, 32),
        "category_transition2": (30, 32, 32),
        "category_transition3": (300, 32, 32),
        "leaf_matrix": (300, 32, 64),
        "leaf_item_bias": (300, 32),
        "leaf_user_bias": (300, 32),
    }
    np.testing.assert_allclose(params["user_preference"].std(), 0.1, rtol=0.02)
    np.testing.assert_allclose(params["category_transition3"].var(), 1 / 32, rtol=0.02)
    features = np.random.default_rng(0).normal(size=(300, 64))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    fine = np.einsum("cf,cdf->cd", features, params["leaf_matrix"])
    np.testing.assert_allclose(fine.var(), 1, rtol=0.05)
    # Remainders go to the visual part.
    assert CoarseFine(tree, user_count=1, width=18).visual_width == 6
    assert CoarseFine(tree, user_count=1, width=18).category_widths == (4, 4, 4)


@pytest.mark.parametrize("widths", [(3, 3), (4, 4, 4), (3, 0, 3)])
def test_sizes_that_do_not_fit_are_refused(widths):
    model = MODEL.clone(level_widths=widths)
    with pytest.raises(ValueError, match="level_widths"):
        plain.draw_params(model)
