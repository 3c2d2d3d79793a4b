import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recsys.corpus.tree import CategoryTree
from recsys.models.baselines import BASELINES, DeepStyle, Sherlock, Vbpr, make_baseline
from tests.quick_compilation import compiling_quickly
from tests.recsys import plain_models as plain

SIZES = {"tree": plain.TREE, **plain.SIZES}
MODELS = {
    "vbpr": Vbpr(width=8, factor_width=3, **SIZES),
    "vbpr-i": Vbpr(width=4, factor_width=0, **SIZES),
    "vbpr-i with item bias": Vbpr(
        width=4, factor_width=0, item_bias_used=True, **SIZES
    ),
    "vbpr with user bias": Vbpr(width=8, user_bias_used=True, factor_width=4, **SIZES),
    "sherlock": Sherlock(width=10, factor_width=2, **SIZES),
    "sherlock-i": Sherlock(width=7, factor_width=0, level_widths=(4, 0, 3), **SIZES),
    "deepstyle": DeepStyle(width=5, **SIZES),
    "deepstyle-i": DeepStyle(width=5, item_factors=False, user_bias_used=True, **SIZES),
}
BATCH = plain.draw_batch(7, 3)


@pytest.fixture(autouse=True)
def _compile_quickly_in_float64():
    with compiling_quickly(), jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", MODELS)
def test_scores_equal_the_plain_formula(name):
    model = MODELS[name]
    params = plain.draw_params(model)
    _, items, leaves, features = BATCH

    @jax.jit
    def vectors(params):
        variables = {"params": params}
        return (
            model.apply(variables, *BATCH, method="pair_scores"),
            model.apply(variables, method="user_vectors"),
            model.apply(variables, items, leaves, features, method="item_vectors"),
            model.apply(variables, leaves, method="leaf_vectors"),
        )

    scores, user, item, leaf = map(np.asarray, vectors(params))
    wanted = plain.plain_scores(model, params, *BATCH)
    np.testing.assert_allclose(scores, wanted, rtol=1e-10, atol=1e-10)
    folded = np.einsum("be,bne->bn", user[BATCH[0]], item)
    np.testing.assert_allclose(folded, wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(item[..., model.item_width :], leaf)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("name", BASELINES)
def test_differences_of_items_and_their_gradients_are_those_of_their_vectors(
    name, biased
):
    model = MODELS[name].clone(user_bias_used=biased)
    _, *items = BATCH

    def found(params):
        apart = model.apply({"params": params}, *items, method="item_differences")
        return jnp.sum(jnp.sin(apart)), apart

    def wanted(params):
        vectors = model.apply({"params": params}, *items, method="item_vectors")
        apart = vectors[:, :1] - vectors[:, 1:]
        return jnp.sum(jnp.sin(apart)), apart

    params = plain.draw_params(model)
    pair = [jax.jit(jax.grad(f, has_aux=True))(params) for f in (found, wanted)]
    for value, expected in zip(*map(jax.tree.leaves, pair), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("name", BASELINES)
def test_the_parts_of_a_score_add_up_to_it(name, biased):
    model = MODELS[name].clone(user_bias_used=biased)
    params = plain.draw_params(model)
    users, items, leaves, features = (x[:, 0] if x.ndim > 1 else x for x in BATCH)
    users = np.where(np.arange(7) == 2, -1, users)
    items = np.where(np.arange(7) == 4, -1, items)

    @jax.jit
    def run(params):
        batch = users, items, leaves, features
        parts = model.apply({"params": params}, *batch, method="score_parts")
        return parts, model.apply({"params": params}, *batch, method="score")

    parts, scores = run(params)
    np.testing.assert_allclose(sum(parts.values()), scores, rtol=1e-10, atol=1e-10)
    assert ("user" in parts) == biased
    for part in set(parts) - {"visual, all users", "item"}:
        assert parts[part][2] == 0, part  # nothing is known of this user's taste
    for part in {"factors", "item"} & set(parts):
        assert parts[part][4] == 0, part  # nor of this item alone
    if biased:
        bias = np.where(users >= 0, params["user_bias"][users, 0], 0)
        np.testing.assert_allclose(parts["user"], bias)
    if "item_factor" in params:
        table = params["user_style" if "user_style" in params else "user_factor"]
        products = (table[users] * params["item_factor"][items]).sum(axis=1)
        known = (users >= 0) & (items >= 0)
        np.testing.assert_allclose(
            parts["factors"], np.where(known, products, 0), rtol=1e-10, atol=1e-12
        )


def test_an_unknown_item_has_no_factor_and_no_bias_of_its_own():
    for name in ("vbpr", "deepstyle"):
        model = MODELS[name]
        params = plain.draw_params(model)
        users, items, leaves, features = BATCH
        found = model.apply(
            {"params": params},
            users,
            np.full_like(items, -1),
            leaves,
            features,
            method="pair_scores",
        )
        for table in ("item_factor", "item_bias"):
            if table in params:
                params[table] = np.zeros_like(params[table])
        wanted = plain.plain_scores(model, params, *BATCH)
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


def shapes(model):
    params = jax.eval_shape(model.init_params, jax.random.key(0))
    return {name: value.shape for name, value in params.items()}


def test_all_have_vectors_of_128_by_default():
    """The paper's rule: the same length for all; I gives all of it to the looks."""
    tree, _ = CategoryTree.from_paths([("a", "b", "c"), ("a", "b", "d")])
    models = {
        name: make_baseline(name, tree, user_count=3, item_count=4, feature_size=6)
        for name in BASELINES
    }
    user = {"user_visual": (3, 64), "user_factor": (3, 64)}
    item = {"item_factor": (4, 64), "item_bias": (4, 1), "visual_bias": (6,)}
    assert shapes(models["vbpr"]) == user | item | {"visual_matrix": (64, 6)}
    assert shapes(models["sherlock"]) == user | item | {
        "level1_matrix": (1, 32, 6),
        "level2_matrix": (1, 16, 6),
        "level3_matrix": (2, 16, 6),
    }
    own = {"user_visual": (3, 128), "visual_bias": (6,)}
    assert shapes(models["vbpr-i"]) == own | {"visual_matrix": (128, 6)}
    assert shapes(models["sherlock-i"]) == own | {
        "level1_matrix": (1, 64, 6),
        "level2_matrix": (1, 32, 6),
        "level3_matrix": (2, 32, 6),
    }
    style = {
        "user_style": (3, 128),
        "visual_matrix": (128, 6),
        "leaf_style": (2, 128),
    }
    assert shapes(models["deepstyle"]) == style | {"item_factor": (4, 128)}
    assert shapes(models["deepstyle-i"]) == style
    for name in ("vbpr", "sherlock", "deepstyle"):
        second = make_baseline(
            f"{name}-ii", tree, user_count=3, item_count=4, feature_size=6
        )
        assert second == models[f"{name}-i"]
    with pytest.raises(ValueError, match="'bpr' is none of"):
        make_baseline("bpr", tree, user_count=3)


def test_widths_of_levels():
    for levels, wanted in [(1, (64,)), (2, (32, 32)), (4, (34, 10, 10, 10))]:
        tree, _ = CategoryTree.from_paths([tuple("abcd"[:levels])])
        assert Sherlock(tree, user_count=1).visual_widths == wanted


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (Vbpr, {"width": 4, "factor_width": 4}, "factor_width 4 must be 0 to 3"),
        (Sherlock, {"level_widths": (32, 32)}, "3 numbers that add up to 64"),
        (Sherlock, {"level_widths": (32, 32, 32)}, "3 numbers that add up to 64"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(kind, fields, message):
    with pytest.raises(ValueError, match=message):
        shapes(kind(**SIZES, **fields))


def test_biases_start_at_zero_and_looks_at_variance_one():
    model = Vbpr(
        plain.TREE, 50, 60, feature_size=300, feature_power=9.0, user_bias_used=True
    )
    params = jax.jit(model.init_params)(jax.random.key(1))
    for name in ("item_bias", "user_bias", "visual_bias"):
        np.testing.assert_array_equal(params[name], 0)
    features = jnp.asarray(np.random.default_rng(0).normal(size=(200, 300)))
    features *= 3 / jnp.linalg.norm(features, axis=1, keepdims=True)
    seen = features @ params["visual_matrix"].T
    np.testing.assert_allclose(seen.var(), 1, rtol=0.05)
    np.testing.assert_allclose(params["user_factor"].std(), 0.1, rtol=0.05)
