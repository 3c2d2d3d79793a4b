import collections
import contextlib
import itertools

import numpy as np
import pytest

from common.config import configs
from recsys import data
from recsys.batches import Batches
from recsys.config import Config
from recsys.corpus.feature_files import ArrayFeatures
from recsys.corpus.interaction_files import Assembled
from recsys.corpus.interactions import Interactions
from recsys.models.recommender import NO_ROW
from recsys.step import make_model
from tests.recsys import plain_models as plain

USERS, ITEMS, BATCH, NEGATIVES = 11, 37, 8, 3
SETTINGS = {
    "train.batch_size": BATCH,
    "negatives.count": NEGATIVES,
    "data.normalisation": "none",
    "data.split_fractions": (0.5, 0.3, 0.2),
    "model.width": 12,
    "row_optimizer": "lazy",
    "loss.item_weight": 0.75,  # both tasks, whatever the name
    "loss.user_weight": 0.25,
    "loss.sampled_users": 4,
}


def make_config(changes=()):
    return configs.replace(Config(), {**SETTINGS, **dict(changes)})


def weights(pairs):
    """What tells a pair again."""
    return 1 + pairs / 1000


def make_corpus(config):
    """100 interactions, of which training has 50; features are the item's number."""
    rng = np.random.default_rng(0)
    pairs = rng.permutation(USERS * ITEMS)[:100]
    leaf_of_item = np.arange(ITEMS, dtype=np.int32) % plain.TREE.leaf_count
    return data.make_corpus(
        config,
        Assembled(
            Interactions(pairs // ITEMS, pairs % ITEMS, weights=weights(pairs)),
            np.arange(USERS),
            np.arange(ITEMS),
            plain.TREE,
            leaf_of_item,
        ),
        ArrayFeatures(np.arange(2 * ITEMS, dtype=np.float32).reshape(ITEMS, 2)),
    )


def make_batches(**changes):
    """(batches, corpus); changes by dotted name, "." as "__"."""
    config = make_config({k.replace("__", "."): v for k, v in changes.items()})
    corpus = make_corpus(config)
    model = make_model(config, plain.TREE, USERS, ITEMS, 2, 1.0, "gather")
    return Batches(config, corpus, model), corpus


def take(batches, count, *where):
    with contextlib.closing(batches.iterate(*(where or (0,)))) as found:
        return list(itertools.islice(found, count))


def flatten(batch):
    """{name: array} of all that a batch holds."""
    shared = {f"ids {kind}": ids for kind, ids in batch.shared.get("ids", {}).items()}
    drawn = {k: v for k, v in batch.shared.items() if k != "ids"}
    return {**batch.rows, **shared, **drawn, "fallback": batch.fallback}


def assert_equal(found, expected):
    found, expected = flatten(found), flatten(expected)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_weights_stay_with_their_pairs():
    batches, _ = make_batches()
    batch = batches.make(0, np.array([3, 41, 7, 7, 0, 49, 12, 20]), slice(2, 6))
    pairs = batch.rows["users"].astype(int) * ITEMS + batch.rows["items"][:, 0]
    np.testing.assert_allclose(batch.rows["weights"], weights(pairs), rtol=1e-6)
    assert len(set(batch.rows["weights"].tolist())) == 3


def test_a_batch_is_a_function_of_seed_and_step_alone():
    """Step 14 is in the third epoch."""
    changes = {"loss__mask_other_users": True, "loss__softmax": "sampled"}
    batches, _ = make_batches(**changes)
    first = take(batches, 16)
    again, _ = make_batches(**changes)
    for found, expected in zip(take(again, 16), first, strict=True):
        assert_equal(found, expected)
    for start in (1, 14):
        assert_equal(take(again, 1, start)[0], first[start])
    other = take(make_batches(**changes, train__seed=1)[0], 1)[0]
    for name in ("users", "items", "sampled_users"):
        assert (flatten(other)[name] != flatten(first[0])[name]).any(), name


def test_the_same_positives_get_other_negatives_in_another_step():
    batches, _ = make_batches()
    positions = np.arange(BATCH)
    one, other = (batches.make(step, positions, slice(None)) for step in (3, 4))
    np.testing.assert_array_equal(one.rows["items"][:, 0], other.rows["items"][:, 0])
    assert (one.rows["items"][:, 1:] != other.rows["items"][:, 1:]).any()


@pytest.mark.parametrize("count", [2, 4])
def test_the_parts_of_all_processes_are_the_whole_batch(count):
    batches, _ = make_batches(loss__mask_other_users=True, loss__softmax="sampled")
    whole = take(batches, 3, 5)
    parts = [take(batches, 3, 5, process, count) for process in range(count)]
    for step, expected in enumerate(whole):
        own = [part[step] for part in parts]
        for name, array in expected.rows.items():
            joined = np.concatenate([batch.rows[name] for batch in own])
            np.testing.assert_array_equal(joined, array, err_msg=name)
        joined = np.concatenate([batch.fallback for batch in own])
        np.testing.assert_array_equal(joined, expected.fallback)
        everything = flatten(expected)
        for batch in own:
            shared = flatten(batch)
            for name in shared.keys() - batch.rows.keys() - {"fallback"}:
                np.testing.assert_array_equal(
                    shared[name], everything[name], err_msg=name
                )


def test_every_epoch_covers_each_training_interaction_once():
    batches, corpus = make_batches()
    train = corpus.splits["train"]
    assert len(train) == 50  # so batches run on over the end of an epoch
    epochs = 4  # 25 batches
    found = [
        pair
        for batch in take(batches, epochs * 50 // BATCH)
        for pair in zip(batch.rows["users"], batch.rows["items"][:, 0], strict=True)
    ]
    expected = list(zip(train.users, train.items, strict=True))
    parts = [found[start : start + 50] for start in range(0, epochs * 50, 50)]
    for part in parts:
        assert collections.Counter(part) == collections.Counter(expected)
    assert len({tuple(part) for part in parts}) == epochs


@pytest.mark.parametrize("kind", ["hierarchical", "uniform"])
def test_no_negative_is_a_training_item_of_the_user(kind):
    """But items of validation and test may be: training does not know them."""
    batches, corpus = make_batches(negatives__kind=kind)
    taken = [set(corpus.train.items_of(user).tolist()) for user in range(USERS)]
    later = corpus.of_users("validation", "test")
    met = 0
    for batch in take(batches, 40):
        for user, items in zip(batch.rows["users"], batch.rows["items"], strict=True):
            assert items[0] in taken[user]
            assert not taken[user] & set(items[1:].tolist())
            met += np.isin(items[1:], later.items_of(user)).sum()
    assert met


def test_leaves_and_features_are_those_of_the_items():
    batches, _ = make_batches()
    (batch,) = take(batches, 1)
    items = batch.rows["items"]
    assert items.shape == (BATCH, 1 + NEGATIVES)
    np.testing.assert_array_equal(batch.rows["leaves"], items % plain.TREE.leaf_count)
    pair = np.stack([2 * items, 2 * items + 1], axis=-1)
    np.testing.assert_array_equal(batch.rows["features"], pair)


def node_names(levels):
    """Names of the nodes of a level in their order: paths from the top, sorted."""
    return sorted({path[:levels] for path in plain.TREE.leaves})


def rows_needed(batch):
    """{kind: set of rows}, one number after another."""
    users = set(batch.rows["users"].tolist())
    users |= set(batch.shared.get("sampled_users", np.zeros(0, int)).tolist())
    items, leaves = (
        {int(number) for row in batch.rows[name] for number in row}
        for name in ("items", "leaves")
    )
    found = {"user": users, "item": items, "leaf": leaves}
    for level in (1, 2, 3):
        names = node_names(level)
        paths = [plain.TREE.leaves[leaf][:level] for leaf in leaves]
        found[f"level{level}"] = {names.index(path) for path in paths}
    return found


@pytest.mark.parametrize(
    "changes",
    [{"loss__softmax": "sampled"}, {"loss__user_weight": 0.0}],
    ids=["sampled", "first task alone"],
)
@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("coarse-fine", {"user", "leaf"}),
        ("sherlock", {"user", "item", "level1", "level2", "level3"}),
        ("deepstyle-i", {"user", "leaf"}),
    ],
)
def test_ids_are_the_rows_that_a_batch_needs_sorted_and_padded(name, kinds, changes):
    batches, _ = make_batches(**changes, model__name=name)
    sizes = set()
    for batch in take(batches, 8):
        ids, needed = batch.shared["ids"], rows_needed(batch)
        assert ids.keys() == kinds
        for kind in kinds:
            rows = needed[kind]
            padding = [NO_ROW] * (len(ids[kind]) - len(rows))
            assert ids[kind].tolist() == sorted(rows) + padding, kind
            assert ids[kind].dtype == np.int32
        sizes.add(tuple(len(ids[kind]) for kind in sorted(ids)))
    # Every batch compiles to the same program, and none has more room than rows exist.
    assert len(sizes) == 1
    room = dict(zip(sorted(kinds), *sizes, strict=True))
    drawn = 4 if "loss__softmax" in changes else 0
    most = {
        "user": min(BATCH + drawn, USERS),
        "item": min(BATCH * (1 + NEGATIVES), ITEMS),
        "leaf": 6,
        "level1": 3,
        "level2": 5,
        "level3": 6,
    }
    assert room == {kind: most[kind] for kind in kinds}


def test_the_exact_second_task_leaves_the_users_out_of_the_ids():
    """It gives every user a gradient."""
    (batch,) = take(make_batches()[0], 1)
    assert set(batch.shared["ids"]) == {"leaf"}


def test_dense_updates_need_no_ids():
    (batch,) = take(make_batches(row_optimizer="dense")[0], 1)
    assert batch.shared == {}


def test_others_are_the_training_users_of_the_item_and_nobody_else():
    batches, corpus = make_batches(loss__mask_other_users=True)
    train = corpus.splits["train"]
    takers = {item: set() for item in range(ITEMS)}
    for user, item in zip(train.users.tolist(), train.items.tolist(), strict=True):
        takers[item].add(user)
    most = max(map(len, takers.values()))
    assert most > 2
    for batch in take(batches, 7):
        others = batch.rows["others"]
        assert others.shape == (BATCH, most)
        for item, row in zip(batch.rows["items"][:, 0], others.tolist(), strict=True):
            expected = takers[int(item)]
            assert row == sorted(expected) + [-1] * (most - len(expected))


@pytest.mark.parametrize(
    "changes",
    [{}, {"loss__mask_other_users": True, "loss__user_weight": 0.0}],
    ids=["not asked for", "first task alone"],
)
def test_without_need_there_are_no_others(changes):
    (batch,) = take(make_batches(**changes)[0], 1)
    assert set(batch.rows) == {"users", "items", "leaves", "features", "weights"}


def test_sampled_users_are_drawn_evenly_from_all():
    batches, _ = make_batches(loss__softmax="sampled", loss__sampled_users=50)
    drawn = np.concatenate([b.shared["sampled_users"] for b in take(batches, 40)])
    assert drawn.dtype == np.int32
    counts = np.bincount(drawn, minlength=USERS)
    assert len(counts) == USERS
    # 2,000 draws: 182 of each, with a standard deviation of 13.
    assert np.abs(counts - 2000 / USERS).max() < 5 * 13


@pytest.mark.parametrize(
    "changes",
    [{}, {"loss__softmax": "sampled", "loss__user_weight": 0.0}],
    ids=["exact", "first task alone"],
)
def test_no_users_are_sampled_where_nobody_looks_at_them(changes):
    (batch,) = take(make_batches(**changes)[0], 1)
    assert "sampled_users" not in batch.shared
