"""Lists of hand-set vectors: whole numbers, so that every score is known exactly."""

import itertools

import jax
import numpy as np
import pytest

from common.config import configs
from common.errors import UserError
from common.parallel.execution import make_execution
from common.parallel.processes import ParallelConfig
from recsys import evaluation, metrics, step
from recsys.config import Config
from recsys.corpus.corpus import Catalogue, Corpus
from recsys.corpus.feature_files import ArrayFeatures, fit_normalisation
from recsys.corpus.interactions import Interactions
from recsys.corpus.tree import CategoryTree
from recsys.ranking.ranker import Ranker, select
from recsys.step import Learner

# One user for each way in which a list can come out; items 0 to 9 score 9 to 0 for
# users 0 to 4, and 0 to 9 for user 5.
USERS, ITEMS = 6, 10
TREE, _ = CategoryTree.from_paths(
    [("men", "coats"), ("men", "shoes"), ("toys", "cars")]
)
LEAF_OF_ITEM = np.array([2, 0, 1, 1, 0, 2, 0, 1, 1, 0], np.int32)
TRAIN = {0: [0, 1], 1: [4], 2: [9], 3: [0, 2], 5: [8]}
VALIDATION = {0: [2], 1: [0], 3: [5], 5: [9]}
TEST = {0: [3, 9], 1: [2], 3: [1, 3], 4: [0]}
# The first five items of each user, by what is left out.
ALL = {user: [0, 1, 2, 3, 4] for user in range(5)} | {5: [9, 8, 7, 6, 5]}
WITHOUT_TRAINING = {
    0: [2, 3, 4, 5, 6],
    1: [0, 1, 2, 3, 5],
    2: [0, 1, 2, 3, 4],
    3: [1, 3, 4, 5, 6],
    4: [0, 1, 2, 3, 4],
    5: [9, 7, 6, 5, 4],
}
WITHOUT_BOTH = {
    0: [3, 4, 5, 6, 7],
    1: [1, 2, 3, 5, 6],
    2: [0, 1, 2, 3, 4],
    3: [1, 3, 4, 6, 7],
    4: [0, 1, 2, 3, 4],
    5: [7, 6, 5, 4, 3],
}


def make_interactions(taken):
    pairs = [(user, item) for user, items in taken.items() for item in items]
    return Interactions(*np.array(pairs).T)


def make_corpus(splits=(TRAIN, VALIDATION, TEST), features=None):
    """Features of an item: 9 minus its number plus that of its leaf, and its number."""
    if features is None:
        numbers = np.arange(ITEMS)
        features = np.stack(
            [9 - numbers + LEAF_OF_ITEM, numbers + LEAF_OF_ITEM], axis=1
        )
    stored = ArrayFeatures(features.astype(np.float32))
    scaling = fit_normalisation(stored, "none", np.arange(ITEMS))
    catalogue = Catalogue(np.arange(ITEMS), TREE, LEAF_OF_ITEM, stored, None, scaling)
    names = "train", "validation", "test"
    parts = dict(zip(names, map(make_interactions, splits), strict=True))
    return Corpus(catalogue, np.arange(USERS), parts)


# score(u, i) = p_u . (f_i - l_c): the features without the number of the leaf.
PARAMS = {
    "user_style": np.array([[1, 0]] * 5 + [[0, 1]], np.float32),
    "visual_matrix": np.eye(2, dtype=np.float32),
    "leaf_style": np.repeat(np.arange(3, dtype=np.float32)[:, None], 2, axis=1),
}


def make_config(**changes):
    settings = {
        "model.name": "deepstyle-i",
        "model.width": 2,
        "ranking.lengths": (2, 5),
        "ranking.rows_at_once": 4,
    }
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return configs.replace(Config(), {**settings, **named})


def make_ranker(config, corpus):
    execution = make_execution(ParallelConfig(devices=1, compilation_cache=""))
    model = step.make_model(config, TREE, USERS, ITEMS, 2, 1.0, "gather")
    return Ranker(Learner(config, model), corpus.catalogue, execution), execution


@pytest.fixture(scope="module")
def ranker():
    """Compiled once; what is hidden does not concern it."""
    return make_ranker(make_config(), make_corpus())


def evaluate(ranker, split="test", corpus=None, **changes):
    programs, execution = ranker
    params = execution.replicate(PARAMS)
    config = make_config(**changes)
    return evaluation.evaluate(config, corpus or make_corpus(), programs, params, split)


def lists_of(evaluated):
    return dict(zip(evaluated.users.tolist(), evaluated.lists.tolist(), strict=True))


@pytest.mark.parametrize(
    "split, changes, hidden",
    [
        ("test", {}, ("train", "validation")),
        ("test", {"ranking__hide_validation": False}, ("train",)),
        ("test", {"ranking__hide_training": False}, ("validation",)),
        ("validation", {}, ("train",)),
        ("validation", {"ranking__hide_training": False}, ()),
        ("train", {}, ()),
    ],
)
def test_what_lists_leave_out(split, changes, hidden):
    assert evaluation.hidden_splits(make_config(**changes), split) == hidden


@pytest.mark.parametrize(
    "split, changes, expected",
    [
        ("test", {}, WITHOUT_BOTH),
        ("test", {"ranking__hide_validation": False}, WITHOUT_TRAINING),
        ("validation", {}, WITHOUT_TRAINING),
        ("validation", {"ranking__hide_training": False}, ALL),
        (
            "test",
            {"ranking__hide_training": False, "ranking__hide_validation": False},
            ALL,
        ),
    ],
)
@pytest.mark.parametrize("everybody", [False, True])
def test_lists_by_hand(split, changes, expected, everybody, ranker):
    """Of those with an item in the split, or of all."""
    evaluated = evaluate(
        ranker, split, ranking__count_without_test=everybody, **changes
    )
    users = {"test": [0, 1, 3, 4], "validation": [0, 1, 3, 5]}[split]
    users = list(range(USERS)) if everybody else users
    assert lists_of(evaluated) == {user: expected[user] for user in users}
    assert evaluated.users.tolist() == users
    tests = {"test": TEST, "validation": VALIDATION}[split]
    for row, user in enumerate(users):
        assert evaluated.tests.items_of(row).tolist() == tests.get(user, [])


def test_metrics_by_hand(ranker):
    """Hits by rank: user 0 at 1 of 2, user 1 at 2, user 3 at 1 and 2, user 4 at 1."""
    values = evaluate(ranker).values
    second = 1 / np.log2(3)
    ndcg = {2: [1 / (1 + second), second, 1, 1], 5: [1 / (1 + second), second, 1, 1]}
    for k, expected in ndcg.items():
        assert values[f"ndcg@{k}"] == pytest.approx(np.mean(expected))
    assert values["users"] == 4
    assert values["accuracy@2"] == 1
    assert values["mrr@2"] == pytest.approx((1 + 1 / 2 + 1 + 1) / 4)
    assert values["precision@5"] == pytest.approx((1 + 1 + 2 + 1) / 4 / 5)
    assert values["recall@5"] == pytest.approx((1 / 2 + 1 + 1 + 1) / 4)
    # Lists of two: 3 and 4, 1 and 2, 1 and 3, 0 and 1.
    assert values["coverage@2"] == 5 / 10
    # Training has 0, 1, 2, 4, 8 and 9. Of test items it has seen 9, 2, 1 and 0.
    assert values["seen/users"] == 4
    assert values["seen/mrr@2"] == pytest.approx((0 + 1 / 2 + 1 + 1) / 4)
    assert values["unseen/users"] == 2
    assert values["unseen/mrr@2"] == pytest.approx((1 + 1 / 2) / 2)


def test_users_without_a_test_item_count_as_zero_where_asked(ranker):
    """Users 2 and 5 beside the four."""
    few, all_of_them = (
        evaluate(ranker, ranking__count_without_test=everybody).values
        for everybody in (False, True)
    )
    assert (few["users"], all_of_them["users"]) == (4, 6)
    for name in ("accuracy@2", "ndcg@5", "recall@5", "mrr@2", "auc@5"):
        assert all_of_them[name] == pytest.approx(few[name] * 4 / 6), name


def test_the_auc_of_a_list_of_hits_is_what_the_config_says(ranker):
    """That of user 3 at 2; the others have one hit: above the miss, or below it."""
    for all_hits in (1.0, 0.25):
        values = evaluate(ranker, ranking__all_hits_auc=all_hits).values
        assert values["auc@2"] == pytest.approx((1 + 0 + all_hits + 1) / 4)


@pytest.mark.parametrize("everybody", [False, True])
def test_metrics_are_means_of_those_user_by_user(everybody, ranker):
    config = make_config(ranking__count_without_test=everybody)
    corpus = make_corpus()
    evaluated = evaluate(ranker, ranking__count_without_test=everybody)
    found = evaluation.by_user(config, corpus, evaluated)
    tests = [evaluated.tests.items_of(row) for row in range(len(evaluated.users))]
    expected = metrics.per_user(
        evaluated.lists,
        np.cumsum([0, *map(len, tests)]),
        np.concatenate(tests),
        seen=np.isin(np.arange(ITEMS), [0, 1, 2, 4, 8, 9]),
        ks=(2, 5),
        count_without_test=everybody,
    )
    assert found.keys() == expected.keys()
    for name, by_user in expected.items():
        np.testing.assert_array_equal(found[name], by_user)
        assert evaluated.values[name] == pytest.approx(by_user.mean()), name


def test_a_user_who_has_nearly_everything_gets_a_shorter_list(ranker):
    """User 0 has all items but 6 and 3 in training, which are then the list."""
    train = TRAIN | {0: [0, 1, 4, 5, 7, 8, 9]}
    corpus = make_corpus((train, VALIDATION, TEST | {0: [6]}))
    evaluated = evaluate(ranker, corpus=corpus)
    assert lists_of(evaluated)[0] == [3, 6, -1, -1, -1]
    popular = evaluation.popular_lists(make_config(), corpus, "test", evaluated.users)
    assert popular[0].tolist() == [3, 6, -1, -1, -1]


def test_validation_is_over_the_same_users_each_time():
    config, corpus = make_config(ranking__validation_users=2), make_corpus()
    everyone = {0, 1, 3, 5}
    chosen = evaluation.evaluated_users(config, corpus, "validation")
    assert len(chosen) == 2 and set(chosen) <= everyone
    assert (np.diff(chosen) > 0).all()
    for _ in range(3):
        again = evaluation.evaluated_users(config, corpus, "validation")
        np.testing.assert_array_equal(again, chosen)
    drawn = {
        tuple(
            evaluation.evaluated_users(
                make_config(ranking__validation_users=2, train__seed=seed),
                corpus,
                "validation",
            )
        )
        for seed in range(40)
    }
    # By the seed of training: all pairs of the four come up.
    assert len(drawn) == 6
    test = evaluation.evaluated_users(config, corpus, "test")
    assert test.tolist() == [0, 1, 3, 4]
    for many in (0, 4, 9):
        config = make_config(ranking__validation_users=many)
        found = evaluation.evaluated_users(config, corpus, "validation")
        assert set(found) == everyone


def test_lists_are_those_of_a_sort_of_all_scores():
    """Of few different scores, so that most places are shared."""
    rng = np.random.default_rng(0)
    features = rng.integers(-1, 2, (ITEMS, 2))
    corpus = make_corpus(features=features)
    programs, execution = make_ranker(make_config(), corpus)
    params = {
        "user_style": rng.integers(-1, 2, (USERS, 2)).astype(np.float32),
        "visual_matrix": rng.integers(-1, 2, (2, 2)).astype(np.float32),
        "leaf_style": rng.integers(-1, 2, (3, 2)).astype(np.float32),
    }
    style = features @ params["visual_matrix"].T - params["leaf_style"][LEAF_OF_ITEM]
    scores = params["user_style"] @ style.T  # [U, I]
    assert len(np.unique(scores)) < 10
    device = execution.replicate(params)
    index = programs.index_items(device)
    vectors = programs.user_vectors(device, np.arange(USERS))
    found = programs.rank(index, vectors, 7, None)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :7]
    np.testing.assert_array_equal(found.items, order)
    np.testing.assert_array_equal(
        found.scores, np.take_along_axis(scores, order, axis=1)
    )
    config = make_config(ranking__hide_training=False, ranking__hide_validation=False)
    values = evaluation.evaluate(config, corpus, programs, device, "test").values
    top = np.take_along_axis(scores, order, axis=1)[sorted(TEST)]
    for k in (2, 5):
        pairs = [a == b for row in top for a, b in itertools.pairwise(row[:k])]
        assert 0 < values[f"ties@{k}"] == np.mean(pairs) < 1
    # Users in any order, one of them twice and one unknown, each with items hidden.
    users = np.array([4, -1, 0, 4])
    hidden = select(corpus.train, users)
    assert [hidden.items_of(row).tolist() for row in range(4)] == [[], [], [0, 1], []]
    vectors = programs.user_vectors(device, users)
    np.testing.assert_array_equal(vectors[1], 0)
    found = programs.rank(index, vectors, ITEMS, hidden).items
    for row, user in enumerate(users):
        own = scores[user] if user >= 0 else np.zeros(ITEMS)
        left = [
            i for i in np.argsort(-own, kind="stable") if i not in TRAIN.get(user, [])
        ]
        assert found[row].tolist() == left + [-1] * (ITEMS - len(left))


@pytest.mark.parametrize(
    "name, value",
    [("user_style", 3e38), ("visual_matrix", np.inf), ("leaf_style", np.nan)],
)
def test_a_model_that_has_diverged_is_one_line_with_what_to_lower(name, value, ranker):
    programs, execution = ranker
    params = execution.replicate({**PARAMS, name: np.full_like(PARAMS[name], value)})
    changes = {"optimizer__learning_rate": 1e6, "optimizer__weight_decay": 0.5}
    with pytest.raises(UserError, match="training has diverged") as told:
        config = make_config(**changes)
        evaluation.evaluate(config, make_corpus(), programs, params, "test")
    (line,) = str(told.value).splitlines()
    assert "lower --optimizer.learning_rate=1e+06 or" in line
    assert line.endswith("--optimizer.weight_decay=0.5")


def plain_popular(train, hidden, users, length):
    """One user and one item after the other."""
    counts = {item: 0 for item in range(ITEMS)}
    for items in train.values():
        for item in items:
            counts[item] += 1
    found = []
    for user in users:
        left_out = {item for split in hidden for item in split.get(user, [])}
        left = [item for item in range(ITEMS) if item not in left_out]
        left.sort(key=lambda item: (-counts[item], item))
        found.append((left + [-1] * length)[:length])
    return found


@pytest.mark.parametrize(
    "split, changes, hidden",
    [
        ("test", {}, (TRAIN, VALIDATION)),
        ("validation", {}, (TRAIN,)),
        ("validation", {"ranking__hide_training": False}, ()),
    ],
)
def test_lists_of_the_most_popular_items(split, changes, hidden):
    """Item 0 has two users in training, and 1, 2, 4, 8 and 9 have one."""
    users = np.array([5, 0, 2, 3, 1, 4])
    found = evaluation.popular_lists(
        make_config(**changes), make_corpus(), split, users
    )
    assert found.tolist() == plain_popular(TRAIN, hidden, users, 5)
    assert found[-1].tolist() == [0, 1, 2, 4, 8]


def test_a_list_is_worth_the_same_whoever_made_it(ranker):
    evaluated = evaluate(ranker)
    again = evaluation.evaluate_lists(
        make_config(), make_corpus(), evaluated.users, evaluated.lists, "test"
    )
    # All but what is known of the closet, from whose users these are taken to be.
    beside = evaluation.planted(make_config(), evaluated.users, evaluated.lists)
    beside |= {"ties@2": 0.0, "ties@5": 0.0}  # no two items of a user score the same
    assert {**again.values, **beside} == evaluated.values
    own_tables = make_config(data__interactions="some.csv")
    assert evaluation.planted(own_tables, evaluated.users, evaluated.lists) == {}
    turned = evaluation.evaluate_lists(
        make_config(), make_corpus(), evaluated.users, evaluated.lists[:, ::-1], "test"
    )
    assert turned.values["recall@5"] == evaluated.values["recall@5"]
    assert turned.values["mrr@5"] < evaluated.values["mrr@5"]


def test_vectors_come_in_batches_of_any_size(ranker):
    """Ten items and three leaves, four or 64 at a time."""
    whole, execution = make_ranker(make_config(ranking__rows_at_once=64), make_corpus())
    params = execution.replicate(PARAMS)
    for found, expected in zip(
        ranker[0].item_columns(params), whole.item_columns(params), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    own, _ = whole.item_columns(params)
    numbers = np.arange(ITEMS)
    np.testing.assert_array_equal(own, np.stack([9 - numbers, numbers], axis=1))
    jax.tree.map(np.testing.assert_array_equal, execution.to_host(params), PARAMS)
