import math

import numpy as np
import pytest

from recsys.config import ItemKnnConfig
from recsys.corpus.interactions import Interactions, UserItems
from recsys.models import neighbours
from recsys.models.neighbours import NeighbourRanker

USERS, ITEMS = 9, 7


def draw(weighted, seed=0):
    """(interactions, their weights as a table [U, I])."""
    rng = np.random.default_rng(seed)
    table = (rng.random((USERS, ITEMS)) < 0.45) * 1.0
    table[:, 5] = 0  # nobody has taken it
    table[8] = 0  # who has taken nothing
    if weighted:
        table *= rng.integers(1, 6, table.shape)
    users, items = np.nonzero(table)
    weights = table[users, items] if weighted else None
    pairs = users.astype(np.int32), items.astype(np.int32)
    return Interactions(*pairs, weights=weights), table


def fit(weighted=False, **settings):
    interactions, table = draw(weighted)
    config = ItemKnnConfig(**settings)
    return neighbours.fit(interactions, (USERS, ITEMS), config), table


def similarity(table, j, i, config):
    """By the formulas, one user at a time."""
    total = 0.0
    for u in range(USERS):
        weights = []
        for item in (j, i):
            w = table[u, item]
            if config.similarity == "bm25" and w:
                length = 0.25 + 0.75 * table[:, item].sum() / table.sum(axis=0).mean()
                rarity = math.log(ITEMS) - math.log(1 + (table[u] > 0).sum())
                w = w * 2.2 / (1.2 * length + w) * rarity
            weights.append(w)
        total += weights[0] * weights[1]
    if config.similarity == "bm25":
        return total
    lengths = [math.sqrt((table[:, item] ** 2).sum()) for item in (j, i)]
    below = lengths[0] * lengths[1] + config.shrink
    return total / below if below else 0.0


def plain_scores(table, config):
    """score(u, i), item by item of what a user has taken."""
    scores = np.zeros((USERS, ITEMS))
    for j in range(ITEMS):
        like = {i: similarity(table, j, i, config) for i in range(ITEMS) if i != j}
        nearest = sorted(like, key=lambda i: (-like[i], i))[: config.neighbours]
        for i in nearest:
            scores[:, i] += table[:, j] * max(like[i], 0)
    return scores


@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize(
    "settings",
    [
        {"neighbours": 100, "shrink": 0.0},
        {"neighbours": 2, "shrink": 10.0},
        {"neighbours": 3, "similarity": "bm25"},
    ],
    ids=["cosine", "two neighbours, shrunk", "bm25"],
)
def test_scores_follow_the_formula(settings, weighted):
    params, table = fit(weighted, **settings)
    ranker = NeighbourRanker()
    vectors = ranker.user_vectors(params, np.arange(USERS))
    found = (vectors @ ranker.index_items(params)[0]).toarray()
    expected = plain_scores(table, ItemKnnConfig(**settings))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert (expected > 0).sum() > 20


@pytest.mark.filterwarnings("ignore:Method expects CSR")  # of its own call
@pytest.mark.parametrize("kind", ["cosine", "bm25"])
def test_similarities_are_those_of_implicit(kind):
    library = pytest.importorskip("implicit.nearest_neighbours")
    params, _ = fit(neighbours=ITEMS, similarity=kind, shrink=0.0)
    name = {"cosine": "CosineRecommender", "bm25": "BM25Recommender"}[kind]
    model = getattr(library, name)(K=ITEMS, num_threads=1)
    interactions, table = draw(False)
    taken = neighbours.matrix_of(interactions, table.shape)
    model.fit(taken.astype(np.float64), show_progress=False)
    expected = model.similarity.toarray()
    np.fill_diagonal(expected, 0)  # an item is its own neighbour there
    found = NeighbourRanker().index_items(params)[0].toarray()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_lists_end_with_the_most_popular_items_and_leave_out_what_is_hidden():
    params, table = fit(neighbours=1, shrink=5.0)
    ranker = NeighbourRanker()
    index = ranker.index_items(params)
    users = np.array([3, -1, 0])
    vectors = ranker.user_vectors(params, users)
    hidden = UserItems(np.array([0, 2, 2, 3]), np.array([1, 4, 0], np.int32))
    best = ranker.rank(index, vectors, ITEMS, hidden)
    scores = plain_scores(table, ItemKnnConfig(neighbours=1, shrink=5.0))
    counts = (table > 0).sum(axis=0)
    for row, user in enumerate(users):
        own = scores[user] if user >= 0 else np.zeros(ITEMS)
        kept = [i for i in range(ITEMS) if i not in hidden.items_of(row)]
        order = sorted(kept, key=lambda i: (-own[i], -counts[i], i))
        assert best.items[row].tolist() == order + [-1] * (ITEMS - len(order))
        np.testing.assert_allclose(
            best.scores[row][: len(order)], own[order], rtol=1e-5
        )
    assert (scores[3] > 0).sum() < ITEMS - 2  # some follow by popularity


def test_another_catalogue_and_some_of_its_items():
    params, _ = fit(shrink=1.0)
    ranker = NeighbourRanker()
    known = np.array([6, -1, 2, 0])  # the second is new
    near, counts = ranker.index_items(params, known, np.array([0, 1, 3]))
    whole, of_all = ranker.index_items(params)
    np.testing.assert_array_equal(near.toarray()[:, [0, 2]], whole.toarray()[:, [6, 0]])
    assert not near.toarray()[:, 1].any()
    assert counts.tolist() == [of_all[6], 0, of_all[0]]


def test_what_a_user_has_taken_since_counts_as_what_was_there():
    params, table = fit(shrink=1.0)
    ranker = NeighbourRanker()
    vectors = ranker.user_vectors(params, np.array([8, 2]))
    new = UserItems(np.array([0, 2, 2]), np.array([0, 1], np.int32))
    more = ranker.add(vectors, new, np.array([4, -1])).toarray()
    assert more[0].tolist() == [0, 0, 0, 0, 1, 0, 0]
    np.testing.assert_array_equal(more[1], table[2])
