"""What must hold for the score of every baseline, whatever its formula."""

import jax
import jax.numpy as jnp
import numpy as np

from recsys.corpus.tree import CategoryTree
from recsys.models.recommender import score_pairs
from tests.recsys import plain_models as plain

SIZES = {"tree": plain.TREE, **plain.SIZES}
BATCH = plain.draw_batch(7, 3)
# Three levels, two leaves.
SMALL_TREE, _ = CategoryTree.from_paths([("a", "b", "c"), ("a", "b", "d")])
SMALL = {"tree": SMALL_TREE, "user_count": 3, "item_count": 4, "feature_size": 6}


def check_scores(model):
    """Scores are the plain formula, and inner products of the vectors."""
    params = plain.draw_params(model)
    _, items, leaves, features = BATCH

    @jax.jit
    def vectors(params):
        variables = {"params": params}
        return (
            score_pairs(*model.apply(variables, *BATCH)),
            model.apply(variables, method="user_vectors"),
            model.apply(variables, items, leaves, features, method="item_vectors"),
            model.apply(variables, leaves, method="leaf_vectors"),
        )

    scores, user, item, leaf = map(np.asarray, vectors(params))
    exact = plain.plain_scores(model, params, *BATCH)
    np.testing.assert_allclose(scores, exact, rtol=1e-10, atol=1e-10)
    folded = np.einsum("be,bne->bn", user[BATCH[0]], item)
    np.testing.assert_allclose(folded, exact, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(item[..., model.item_width :], leaf)


def check_differences(model):
    """Differences of items, and their gradients, are those of their vectors."""
    _, *items = BATCH

    def found(params):
        apart = model.apply({"params": params}, *items, method="item_differences")
        return jnp.sum(jnp.sin(apart)), apart

    def exact(params):
        vectors = model.apply({"params": params}, *items, method="item_vectors")
        apart = vectors[:, :1] - vectors[:, 1:]
        return jnp.sum(jnp.sin(apart)), apart

    params = plain.draw_params(model)
    pair = [jax.jit(jax.grad(f, has_aux=True))(params) for f in (found, exact)]
    for value, expected in zip(*map(jax.tree.leaves, pair), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)


def check_parts(model):
    """The parts of a score add up to it."""
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
    biased = getattr(model, "user_bias_used", False)
    assert ("user bias" in parts) == biased
    for part in set(parts) - {"visual, all users", "item bias"}:
        assert parts[part][2] == 0, part  # nothing is known of this user's taste
    for part in {"factors", "item bias"} & set(parts):
        assert parts[part][4] == 0, part  # nor of this item alone
    if biased:
        bias = np.where(users >= 0, params["user_bias"][users, 0], 0)
        np.testing.assert_allclose(parts["user bias"], bias)
    if "item_factor" in params:
        table = params["user_style" if "user_style" in params else "user_factor"]
        products = (table[users] * params["item_factor"][items]).sum(axis=1)
        known = (users >= 0) & (items >= 0)
        np.testing.assert_allclose(
            parts["factors"], np.where(known, products, 0), rtol=1e-10, atol=1e-12
        )


def check_unknown_items(model):
    """An unknown item has no factor and no bias of its own."""
    params = plain.draw_params(model)
    users, items, leaves, features = BATCH
    unknown = users, np.full_like(items, -1), leaves, features
    found = score_pairs(*model.apply({"params": params}, *unknown))
    for table in ("item_factor", "item_bias"):
        if table in params:
            params[table] = np.zeros_like(params[table])
    exact = plain.plain_scores(model, params, *BATCH)
    np.testing.assert_allclose(found, exact, rtol=1e-10)
