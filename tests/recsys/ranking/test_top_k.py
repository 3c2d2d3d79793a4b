import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, Mesh

from recsys.corpus.interactions import Interactions
from recsys.models.coarse_fine import CoarseFine
from recsys.models.deepstyle import DeepStyle
from recsys.models.sherlock import Sherlock
from recsys.models.vbpr import Vbpr
from recsys.ranking import top_k as search
from recsys.ranking.top_k import ItemIndex, top_k
from tests.recsys import plain_models as plain

# Sizes are the same almost everywhere, so that few programs are compiled: 52 items in 6
# leaves are 26 to 29 tiles of 2, which are 4 blocks of 8.
ITEMS, LEAVES, USERS, GROUP = 52, 6, 6, 4
OWN, ALL = 3, 5  # columns
SIZES = {"tile": 2, "block": 16}
UNEVEN = [0, 1, 30, 4, 0, 17]
DRAWN = [(ITEMS, OWN), (LEAVES, ALL - OWN), (USERS, ALL)]
MODEL_SIZES = {"tree": plain.TREE, **plain.SIZES, "item_count": ITEMS}


def make_mesh(devices):
    grid = np.array(jax.devices()[:devices])
    return Mesh(grid, ("shards",), axis_types=(AxisType.Auto,))


def draw(leaf_sizes, seed=0, users=USERS):
    """Small whole numbers: float32 is exact with them, and many scores are equal."""
    rng = np.random.default_rng(seed)
    leaves = rng.permutation(np.repeat(np.arange(len(leaf_sizes)), leaf_sizes))
    shapes = (len(leaves), OWN), (len(leaf_sizes), ALL - OWN), (users, ALL)
    return leaves, *(rng.integers(-2, 3, shape).astype(np.float32) for shape in shapes)


def draw_excluded(counts, seed=0):
    rng = np.random.default_rng(seed)
    items = [rng.choice(ITEMS, count, replace=False) for count in counts]
    users = np.repeat(np.arange(len(counts)), counts)
    return Interactions(users, np.concatenate(items)).by_user(len(counts))


def plain_lists(catalogue, k, excluded=None):
    """A stable sort of all scores."""
    leaves, own, leaf_vectors, users = (np.asarray(x, np.float64) for x in catalogue)
    vectors = np.concatenate([own, leaf_vectors[leaves.astype(int)]], 1)
    scores = users @ vectors.T
    for user in range(len(users) if excluded else 0):
        scores[user, excluded.items_of(user)] = -np.inf
    items = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    scores = np.take_along_axis(scores, items, 1)
    items[scores == -np.inf] = -1
    end = (0, 0), (0, k - items.shape[1])
    items = np.pad(items, end, constant_values=-1)
    return items, np.pad(scores, end, constant_values=-np.inf)


def find(catalogue, k, excluded=None, **options):
    leaves, own, leaf_vectors, users = catalogue
    index = ItemIndex.build(own, leaves, leaf_vectors, **{**SIZES, **options})
    return top_k(index, users, k, excluded, group=GROUP)


def check(catalogue, k, excluded=None, **options):
    found = find(catalogue, k, excluded, **options)
    items, scores = plain_lists(catalogue, k, excluded)
    np.testing.assert_array_equal(found.items, items)
    np.testing.assert_array_equal(found.scores, scores)
    assert (found.items.dtype, found.scores.dtype) == (np.int32, np.float32)
    return found


SHAPES = {
    "uneven": (UNEVEN, 3),
    "uneven, longer than all": (UNEVEN, 60),
    "one leaf": ([0, 0, 52, 0, 0, 0], 3),
    "leaves of one item": ([1, 1, 1, 1, 1, 47], 3),
    "one item": ([0, 1], 3),
    "one item and place": ([0, 1], 1),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_a_stable_sort_of_all_scores(shape):
    sizes, k = SHAPES[shape]
    check(draw(sizes), k)


def test_sizes_of_tiles_and_blocks_chosen_by_itself():
    catalogue = draw([400, 0, 1, 99], users=3)
    for options in ({"tile": None, "block": 1024}, {"tile": 100, "block": 100}):
        check(catalogue, 3, **options)


@pytest.mark.parametrize("k", [3, 60])
def test_excluded_items_are_in_no_list(k):
    # User 1 may get nothing, user 3 two items.
    excluded = draw_excluded([20, 52, 0, 50, 10, 45])
    found = check(draw(UNEVEN), k, excluded)
    assert (found.items[1] == -1).all() and (found.items[3] >= 0).sum() == 2


def test_more_excluded_pairs_in_a_block_than_are_struck_at_once():
    rng = np.random.default_rng(0)
    catalogue = draw([100], users=8)
    pairs = [rng.choice(100, 80, replace=False) for _ in range(8)]
    excluded = Interactions(np.repeat(np.arange(8), 80), np.concatenate(pairs))
    check(catalogue, 3, excluded.by_user(8), block=128)


@pytest.mark.parametrize("k", [3, 60])
def test_all_scores_equal(k):
    leaves, own, leaf_vectors, users = draw(UNEVEN)
    catalogue = leaves, np.ones_like(own), np.ones_like(leaf_vectors), users
    excluded = draw_excluded([0, 5, 49, 20, 0, 52])
    check(catalogue, k, excluded)
    found = check(catalogue, k)
    np.testing.assert_array_equal(found.items[:, :3], [[0, 1, 2]] * USERS)


def test_equal_items_have_equal_scores_of_any_weights():
    """Items 26 and on are copies of the first 26, in other tiles and blocks."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=shape).astype(np.float32) for shape in DRAWN]
    parts[0][26:] = parts[0][:26]
    catalogue = np.tile(rng.integers(0, LEAVES, 26), 2), *parts
    found = find(catalogue, 3)
    best, copy, second = found.items.T
    np.testing.assert_array_equal(copy, best + 26)
    assert (second < 26).all()
    np.testing.assert_array_equal(found.scores[:, 0], found.scores[:, 1])
    np.testing.assert_allclose(found.scores, plain_lists(catalogue, 3)[1], rtol=1e-5)


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, LEAVES - 1), min_size=ITEMS, max_size=ITEMS),
    st.integers(0, 3),
    st.lists(st.integers(0, ITEMS), min_size=USERS, max_size=USERS),
    st.integers(0, 2**32 - 1),
)
def test_any_leaves_ties_and_exclusions(leaves, high, counts, seed):
    rng = np.random.default_rng(seed)
    parts = [rng.integers(-high, high + 1, x).astype(np.float32) for x in DRAWN]
    check((np.array(leaves), *parts), 3, draw_excluded(counts, seed))


def test_blocks_that_cannot_matter_are_left_out():
    """Leaf 3, tiles 12 to 17, is in blocks 1 and 2 of 4."""
    leaves, own, leaf_vectors, users = draw([8, 8, 8, 12, 8, 8])
    own, leaf_vectors, users = np.abs(own), np.zeros_like(leaf_vectors), np.abs(users)
    users[:, OWN] = 1
    assert check((leaves, own, leaf_vectors, users), 3).skipped == 0
    leaf_vectors[3, 0] = 100
    assert check((leaves, own, leaf_vectors, users), 3).skipped == 0.5
    # Each of the devices knows its own block only, and looks at it; the second search,
    # for equal scores, is for known scores and leaves out half of them there too.
    found = check((leaves, own, leaf_vectors, users), 3, mesh=make_mesh(8))
    assert found.skipped == 0.25
    # One user who wants all the other leaves.
    users[2, OWN] = -1
    assert check((leaves, own, leaf_vectors, users), 3).skipped < 0.5


def test_bounds_hold_for_rounded_scores():
    """Users look along the line through both items of a leaf: bounds are equalities."""
    rng = np.random.default_rng(0)
    count, width = 300, 40
    centers, ways = rng.normal(size=(2, count, width))
    own = np.stack([centers + ways, centers - ways], 1).astype(np.float32)
    index = ItemIndex.build(
        own.reshape(-1, width),
        np.repeat(np.arange(count), 2),
        np.zeros((count, 0)),
        tile=2,
        block=2,
    )
    users = ((own[:, 0] - own[:, 1]) * rng.uniform(0.1, 10, (count, 1))).astype("f")
    lengths = np.linalg.norm(users.astype(np.float64), axis=1).astype(np.float32)
    none = np.zeros((count, count), np.float32)
    bounds = jax.jit(search._bound_blocks)(index.arrays, users, lengths, none)
    scores = jnp.einsum("cjw,cw->cj", own, users).max(1)
    slack = np.diagonal(bounds) - scores  # user c, leaf c
    assert slack.min() >= 0
    size = lengths * np.linalg.norm(own, axis=2).max(1)
    assert (slack / size).max() < 1e-4


MODELS = {
    "coarse fine": CoarseFine(width=12, **MODEL_SIZES),
    "vbpr": Vbpr(width=8, factor_width=3, **MODEL_SIZES),
    "sherlock": Sherlock(width=8, factor_width=2, **MODEL_SIZES),
    "deepstyle": DeepStyle(width=4, user_bias_used=True, **MODEL_SIZES),
}


@pytest.mark.parametrize("name", MODELS)
def test_lists_are_those_of_the_papers_formulas(name):
    model, k = MODELS[name], 5
    params = jax.tree.map(np.float32, plain.draw_params(model))
    rng = np.random.default_rng(0)
    items = np.arange(ITEMS, dtype=np.int32)
    leaves = rng.integers(0, LEAVES, ITEMS).astype(np.int32)
    features = rng.normal(size=(ITEMS, plain.FEATURES)).astype(np.float32)

    @jax.jit
    def vectors(params):
        def apply(method, *x):
            return model.apply({"params": params}, *x, method=method)

        return (
            apply("user_vectors"),
            apply("item_vectors", items, leaves, features),
            apply("leaf_vectors", jnp.arange(LEAVES)),
        )

    users, item_vectors, leaf_vectors = map(np.asarray, vectors(params))
    own = item_vectors[:, : model.item_width]
    found = find((leaves, own, leaf_vectors, users), k)
    everyone = np.arange(plain.USERS)
    expected = plain.plain_scores(
        model,
        params,
        everyone,
        *(np.stack([x] * plain.USERS) for x in (items, leaves, features)),
    )
    order = np.argsort(-expected, axis=1)[:, : k + 1]
    best = np.take_along_axis(expected, order, 1)
    np.testing.assert_allclose(found.scores, best[:, :k], rtol=1e-4, atol=1e-4)
    clear = np.diff(-best).min(1) > 1e-4
    assert clear.sum() >= 4
    np.testing.assert_array_equal(found.items[clear], order[clear, :k])


def test_lists_are_the_same_on_eight_devices():
    excluded = draw_excluded([20, 52, 0, 50, 10, 45])
    mesh = make_mesh(8)
    check(draw(UNEVEN), 3, excluded, mesh=mesh)
    leaves, own, leaf_vectors, users = draw(UNEVEN)
    equal = leaves, np.ones_like(own), np.ones_like(leaf_vectors), users
    check(equal, 3, excluded, mesh=mesh)
    # Any weights, each item twice: even the rounding is that of one device.
    rng = np.random.default_rng(1)
    parts = [rng.normal(size=shape).astype(np.float32) for shape in DRAWN]
    parts[0][26:] = parts[0][:26]
    catalogue = np.tile(leaves[:26], 2), *parts
    one, eight = (find(catalogue, 3, excluded, mesh=m) for m in (None, mesh))
    np.testing.assert_array_equal(one.items, eight.items)
    np.testing.assert_array_equal(one.scores, eight.scores)


def test_items_may_come_in_parts():
    leaves, own, leaf_vectors, users = draw(UNEVEN)
    parts = (own[start : start + 9] for start in range(0, ITEMS, 9))
    found = find((leaves, parts, leaf_vectors, users), 3)
    expected = plain_lists((leaves, own, leaf_vectors, users), 3)
    np.testing.assert_array_equal(found.items, expected[0])


def test_any_number_of_users_is_served_by_one_program():
    leaves, own, leaf_vectors, users = draw(UNEVEN, users=9)
    index = ItemIndex.build(own, leaves, leaf_vectors, **SIZES)
    expected = plain_lists((leaves, own, leaf_vectors, users), 3)[0]
    top_k(index, users[:1], 3, group=GROUP)
    programs = search._search._cache_size()
    for count in (0, 1, 4, 5, 9):
        found = top_k(index, users[:count], 3, group=GROUP)
        np.testing.assert_array_equal(found.items, expected[:count])
    assert search._search._cache_size() == programs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"user": np.nan}, "user vector 4 is not finite"),
        ({"user": np.inf}, "user vector 4 is not finite"),
        ({"user": 3e38}, "user vector 4 .* too long"),
        ({"columns": 4}, r"shape \(6, 4\), not \[Q, 5\]"),
        ({"excluded": draw_excluded([1])}, "excluded for 1 users, not 6"),
        (
            {"excluded": Interactions([5], [ITEMS]).by_user(USERS)},
            "excluded item 52 is not one of 52",
        ),
    ],
)
def test_meaningless_questions_are_refused(change, message):
    leaves, own, leaf_vectors, users = draw(UNEVEN)
    users[4, 1] = change.get("user", 0)
    index = ItemIndex.build(own, leaves, leaf_vectors, **SIZES)
    users = users[:, : change.get("columns", ALL)]
    with pytest.raises(ValueError, match=message) as error:
        top_k(index, users, change.get("k", 3), change.get("excluded"), group=GROUP)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"leaf": 6}, "0 to 5"),
        ({"leaf": -1}, "0 to 5"),
        ({"items": 51}, "51 items have a leaf, but 52 have columns"),
        ({"items": 0}, "one at least"),
        ({"own": np.nan}, "items .* not finite"),
        ({"leaf_vector": np.inf}, "leaves are not finite"),
        ({"tile": 3}, "block of 16 .* tiles of 3"),
        ({"tile": 32}, "block of 16 .* tiles of 32"),
    ],
)
def test_meaningless_catalogues_are_refused(change, message):
    leaves, own, leaf_vectors, _ = draw(UNEVEN)
    leaves[3] = change.get("leaf", 0)
    own[7, 0] = change.get("own", 0)
    leaf_vectors[1, 0] = change.get("leaf_vector", 0)
    leaves = leaves[: change.get("items", ITEMS)]
    with pytest.raises(ValueError, match=message):
        ItemIndex.build(own, leaves, leaf_vectors, tile=change.get("tile"), block=16)
