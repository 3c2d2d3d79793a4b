import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recsys.models.coarse_fine import CoarseFine
from recsys.models.deepstyle import DeepStyle
from recsys.models.recommender import (
    NO_ROW,
    join_rows,
    pad_ids,
    score_pairs,
    split_rows,
)
from recsys.models.sherlock import Sherlock
from recsys.models.vbpr import Vbpr
from tests.recsys import plain_models as plain

SIZES = {"tree": plain.TREE, **plain.SIZES}
MODELS = {
    "coarse fine": CoarseFine(width=12, **SIZES),
    "vbpr": Vbpr(width=8, factor_width=3, **SIZES),
    "sherlock": Sherlock(width=8, factor_width=2, **SIZES),
    "deepstyle": DeepStyle(width=4, **SIZES),
}
# Few of the rows of each table.
USERS = np.array([3, 1, 3], np.int32)
ITEMS = np.array([[4, 4], [7, 2], [4, 7]], np.int32)
LEAVES = np.array([[5, 5], [1, 0], [5, 1]], np.int32)
FEATURES = np.random.default_rng(2).normal(size=(3, 2, plain.FEATURES))
BATCH = (USERS, ITEMS, LEAVES, FEATURES)


@pytest.fixture(autouse=True)
def _compile_quickly_in_float64():
    with jax.enable_x64(True):
        yield


def total(model, variables):
    """Some function of all scores, and the scores."""
    scores = score_pairs(*model.apply(variables, *BATCH))
    return jnp.sum(jnp.sin(scores)), scores


@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_rows_are_the_rows_of_the_gradients(name):
    model = MODELS[name]
    params = plain.draw_params(model)
    ids = {
        kind: pad_ids(rows, len(rows) + 2)
        for kind, rows in model.row_ids(model.kinds, USERS, ITEMS, LEAVES).items()
    }
    rows, dense = split_rows(jax.tree.map(jnp.asarray, params), ids)

    @jax.jit
    def by_rows(rows, dense):
        return jax.value_and_grad(
            lambda rows, dense: total(model, join_rows(rows, dense, ids)),
            argnums=(0, 1),
            has_aux=True,
        )(rows, dense)

    @jax.jit
    def by_tables(params):
        return jax.grad(lambda p: total(model, {"params": p}), has_aux=True)(params)

    (_, scores), (of_rows, of_dense) = by_rows(rows, dense)
    expected, whole_scores = by_tables(params)
    np.testing.assert_allclose(scores, whole_scores, rtol=1e-12)
    assert sorted([*of_rows, *of_dense]) == sorted(params)
    for table, gradient in of_rows.items():
        numbers = ids[table.split("_")[0]]
        assert gradient.shape == (len(numbers), *params[table].shape[1:])
        full = np.zeros_like(params[table])
        full[numbers[:-2]] = gradient[:-2]
        np.testing.assert_allclose(full, expected[table], rtol=1e-10, atol=1e-12)
        np.testing.assert_array_equal(gradient[-2:], 0)  # nobody reads these
    for table, gradient in of_dense.items():
        np.testing.assert_allclose(gradient, expected[table], rtol=1e-10, atol=1e-12)


def test_row_ids_are_all_that_a_batch_needs():
    kinds = ("user", "item", "leaf", "level1", "level2", "level3")
    items = np.where(ITEMS == 2, -1, ITEMS)
    ids = MODELS["sherlock"].row_ids(kinds, USERS, items, LEAVES)
    assert {kind: rows.tolist() for kind, rows in ids.items()} == {
        "user": [1, 3],
        "item": [4, 7],
        "leaf": [0, 1, 5],
        "level1": sorted(set(plain.TREE.ancestors[[0, 1, 5], 0])),
        "level2": sorted(set(plain.TREE.ancestors[[0, 1, 5], 1])),
        "level3": [0, 1, 5],
    }
    assert all(rows.dtype == np.int32 for rows in ids.values())
    np.testing.assert_array_equal(pad_ids(ids["user"], 3), [1, 3, NO_ROW])
    with pytest.raises(ValueError, match="2 rows do not fit into 1"):
        pad_ids(ids["user"], 1)


def test_tables_of_other_kinds_stay_whole():
    model = MODELS["coarse fine"]
    params = jax.tree.map(jnp.asarray, plain.draw_params(model))
    ids = {"leaf": model.row_ids(["leaf"], USERS, ITEMS, LEAVES)["leaf"]}
    rows, dense = split_rows(params, ids)
    assert set(rows) == {"leaf_matrix", "leaf_item_bias", "leaf_user_bias"}

    @jax.jit
    def run(rows, dense):
        variables = join_rows(rows, dense, ids)
        everyone = model.apply(variables, method="user_vectors")
        return everyone, total(model, variables)[1]

    everyone, found = run(rows, dense)
    assert len(everyone) == plain.USERS
    np.testing.assert_allclose(
        found, plain.plain_scores(model, plain.draw_params(model), *BATCH), rtol=1e-10
    )


def test_half_precision_of_products_leaves_results_in_float32():
    with jax.enable_x64(False):
        for model in MODELS.values():
            params = jax.tree.map(np.float32, plain.draw_params(model))
            batch = (*BATCH[:3], BATCH[3].astype(np.float16))
            run = jax.jit(model.clone(dtype=jnp.bfloat16).apply)
            scores = score_pairs(*run({"params": params}, *batch))
            assert scores.dtype == jnp.float32
            expected = plain.plain_scores(model, params, *BATCH)
            np.testing.assert_allclose(scores, expected, rtol=0.05, atol=0.2)
            assert np.abs(scores - expected).max() > 1e-4  # so it was in use
