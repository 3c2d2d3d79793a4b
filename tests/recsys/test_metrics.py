import math
import statistics

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import metrics

NAMES = ("accuracy", "auc", "ndcg", "precision", "recall", "mrr", "map", "hr")

# Discounts 1 / log2(1 + t) of ranks 2, 4 and 5; those of 1 and 3 are 1 and 1/2.
D2, D4, D5 = 0.6309297535714574, 0.43067655807339306, 0.38685280723454163

# (list, test items) of users who are each an edge case.
NO_TEST_ITEM = [0, 1, 2, 3, 4], []
NO_HIT = [0, 1, 2, 3, 4], [5]
ALL_HITS = [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 6]
SHORT_LIST = [7, 8, 9, -1, -1], [8]
FEW_TESTS = [4, 3, 2, 1, 0], [1, 4]
MANY_TESTS = [6, 5, 4, 3, 2], [0, 1, 2, 3, 5, 6]
SHORT_ALL_HITS = [11, -1, -1, -1, -1], [3, 11]
EMPTY_LIST = [-1, -1, -1, -1, -1], [0]
USERS = (
    NO_TEST_ITEM,
    NO_HIT,
    ALL_HITS,
    SHORT_LIST,
    FEW_TESTS,
    MANY_TESTS,
    SHORT_ALL_HITS,
    EMPTY_LIST,
)
ITEMS = 12

# At K = 5, of all users but the first.
EXPECTED = {
    "accuracy@5": [0, 1, 1, 1, 1, 1, 0],
    # Hits at rank 2 of 3; at 1 and 4 of 5 (3 and 1 misses below); miss at 3 of 5.
    "auc@5": [0, 1, 1 / 2, (3 + 1) / (2 * 3), 2 / (4 * 1), 1, 0],
    "ndcg@5": [
        0,
        1,
        D2 / 1,
        (1 + D4) / (1 + D2),
        (1 + D2 + D4 + D5) / (1 + D2 + 1 / 2 + D4 + D5),
        1 / (1 + D2),
        0,
    ],
    "precision@5": [0, 5 / 5, 1 / 5, 2 / 5, 4 / 5, 1 / 5, 0],
    "recall@5": [0, 5 / 7, 1 / 1, 2 / 2, 4 / 6, 1 / 2, 0],
    "mrr@5": [0, 1, 1 / 2, 1, 1, 1, 0],
    "map@5": [
        0,
        (1 / 1 + 2 / 2 + 3 / 3 + 4 / 4 + 5 / 5) / 5,  # five places for seven items
        (1 / 2) / 1,
        (1 / 1 + 2 / 4) / 2,
        (1 / 1 + 2 / 2 + 3 / 4 + 4 / 5) / 5,  # ranks 1, 2, 4 and 5
        (1 / 1) / 2,
        0,
    ],
    "hr@5": [0, 1, 1, 1, 1, 1, 0],
}


def arrays(users, length=5):
    lists = np.array([row for row, _ in users], np.int32).reshape(-1, length)
    starts = np.cumsum([0] + [len(tests) for _, tests in users]).astype(np.int64)
    items = np.array([item for _, tests in users for item in tests], np.int32)
    return lists, starts, items


def evaluate(users, item_count=ITEMS, **options):
    return metrics.ranking_metrics(*arrays(users), item_count, **options)


# Written-out users


def test_users_written_out():
    found = metrics.per_user(*arrays(USERS), ks=(5,))
    assert found.keys() == EXPECTED.keys()
    for name, values in EXPECTED.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-14, err_msg=name)
        assert found[name].dtype == np.float64


def test_means_written_out():
    found = evaluate(USERS, ks=(5,))
    assert found["users"] == 7
    assert found["accuracy@5"] == 5 / 7
    assert found["auc@5"] == pytest.approx((1 + 1 / 2 + 2 / 3 + 1 / 2 + 1) / 7)
    assert found["mrr@5"] == pytest.approx(4.5 / 7)
    precision = (5 + 1 + 2 + 4 + 1) / 5 / 7
    recall = (5 / 7 + 1 + 1 + 4 / 6 + 1 / 2) / 7
    f1 = 2 / (1 / precision + 1 / recall)
    assert found["f1@5"] == pytest.approx(f1, rel=1e-14)
    # How many of all 8 lists each item stands in.
    often = [4, 4, 5, 5, 5, 1, 1, 1, 1, 1, 0, 1]
    assert found["coverage@5"] == 11 / 12
    assert found["gini@5"] == pytest.approx(slow_gini(often), rel=1e-14)


def test_users_without_a_test_item_may_count_as_nothing():
    left_out = evaluate(USERS, ks=(5,))
    counted = evaluate(USERS, ks=(5,), count_without_test=True)
    assert counted["users"] == 8
    for name in NAMES:
        assert counted[f"{name}@5"] == pytest.approx(left_out[f"{name}@5"] * 7 / 8)
    assert counted["f1@5"] == pytest.approx(left_out["f1@5"] * 7 / 8)
    for name in ("coverage@5", "gini@5"):
        assert counted[name] == left_out[name]
    rows = metrics.per_user(*arrays(USERS), ks=(5,), count_without_test=True)
    assert [rows[f"{name}@5"][0] for name in NAMES] == [0] * len(NAMES)


def test_auc_of_a_list_of_hits_may_be_nothing():
    found = metrics.per_user(*arrays(USERS), ks=(5,), all_hits_auc=0.0)["auc@5"]
    np.testing.assert_allclose(found, [0, 0, 1 / 2, 2 / 3, 1 / 2, 0, 0])


def test_f1_is_zero_without_hits_and_nothing_is_not_a_number():
    found = evaluate([NO_HIT], ks=(5,))
    assert found["f1@5"] == 0
    assert found["coverage@5"] == 5 / 12
    found = evaluate([NO_TEST_ITEM], ks=(5,))
    assert found["users"] == 0
    assert all(np.isnan(found[f"{name}@5"]) for name in (*NAMES, "f1"))
    assert found["coverage@5"] == 5 / 12
    found = evaluate([EMPTY_LIST], ks=(5,))
    assert found["coverage@5"] == 0
    assert np.isnan(found["gini@5"])


def test_seen_and_unseen_test_items():
    # Of the test items 1 and 4 (ranks 4 and 1), training saw 1; nobody else has one
    # of the kind but the user of item 5.
    seen = np.arange(ITEMS) < 4
    found = evaluate([FEW_TESTS, NO_HIT, NO_TEST_ITEM], ks=(5,), seen=seen)
    assert (found["users"], found["seen/users"], found["unseen/users"]) == (2, 1, 2)
    # The list stays: the hit at rank 1 is a miss above the hit at 4 of 5.
    assert found["seen/auc@5"] == 1 / 4
    assert found["seen/ndcg@5"] == pytest.approx(D4)
    assert found["seen/recall@5"] == 1
    assert found["seen/mrr@5"] == 1 / 4
    assert found["unseen/accuracy@5"] == 1 / 2
    assert found["unseen/auc@5"] == (4 / 4) / 2
    assert found["unseen/ndcg@5"] == 1 / 2
    precision, recall = (1 / 5) / 2, 1 / 2
    f1 = 2 * precision * recall / (precision + recall)
    assert found["unseen/f1@5"] == pytest.approx(f1)
    # All three lists hold items 0 to 4: all 4 seen items, 1 of 8 unseen.
    assert (found["seen/coverage@5"], found["unseen/coverage@5"]) == (1, 1 / 8)
    assert found["seen/gini@5"] == 0
    assert found["unseen/gini@5"] == pytest.approx(1 - 1 / 8)
    found = evaluate([FEW_TESTS], ks=(5,), seen=np.ones(ITEMS, bool))
    assert np.isnan(found["unseen/ndcg@5"]) and np.isnan(found["unseen/coverage@5"])
    assert found["seen/ndcg@5"] == found["ndcg@5"]


def test_names_at_5_10_20():
    lists = np.arange(20)[None]
    seen = np.arange(30) < 15
    args = lists, np.array([0, 2]), np.array([9, 25])
    found = metrics.ranking_metrics(*args, 30, seen=seen)
    names = (*NAMES, "f1", "coverage", "gini")
    assert found.keys() == {
        f"{group}{name}"
        for group in ("", "seen/", "unseen/")
        for name in ("users", *(f"{name}@{k}" for name in names for k in (5, 10, 20)))
    }
    assert [found[f"accuracy@{k}"] for k in (5, 10, 20)] == [0, 1, 1]
    assert [found[f"auc@{k}"] for k in (5, 10, 20)] == [0, 0, 10 / 19]


# Hits


def test_filling_is_never_a_hit():
    # As one number, (user 1, item -1) would be (user 0, item 4), the largest.
    lists, starts, items = np.array([[4, 1], [0, -1]]), np.array([0, 1, 2]), [4, 3]
    hits = metrics.find_hits(lists, starts, np.array(items))
    assert hits.tolist() == [[True, False], [False, False]]


def test_items_of_another_user_are_no_hits():
    lists = np.array([[0, 1, 2], [0, 1, 2], [0, 1, 2]], np.int32)
    starts, items = np.array([0, 2, 2, 3]), np.array([0, 2, 1], np.int32)
    hits = metrics.find_hits(lists, starts, items)
    assert hits.astype(int).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_many_users_and_items_do_not_overflow():
    users, item = 500, 2**31 - 2
    lists = np.full((users, 1), item, np.int32)
    starts = np.arange(users + 1)
    items = np.full(users, item, np.int32)
    assert metrics.find_hits(lists, starts, items).all()


# A slow oracle


def slow_gini(counts):
    n, mean = len(counts), sum(counts) / len(counts)
    if not mean:
        return math.nan
    pairs = sum(abs(a - b) for a in counts for b in counts)
    return pairs / n**2 / (2 * mean)


def slow_user(ranked, tests, k):
    """Values of one user, in the order of NAMES, as the definitions read."""
    top = [item for item in ranked if item >= 0][:k]
    hit = [item in tests for item in top]
    h, n = sum(hit), len(top)
    right = sum(hit[a] and not hit[b] for a in range(n) for b in range(a + 1, n))
    auc = 0.0 if h == 0 else 1.0 if h == n else right / (h * (n - h))
    dcg = sum(1 / math.log2(2 + t) for t in range(n) if hit[t])
    best = sum(1 / math.log2(2 + t) for t in range(min(k, len(tests))))
    first = 1 / (1 + hit.index(True)) if h else 0.0
    precisions = sum(sum(hit[: t + 1]) / (t + 1) for t in range(n) if hit[t])
    average = precisions / min(k, len(tests))
    some = float(h > 0)
    return some, auc, dcg / best, h / k, h / len(tests), first, average, some


def slow_metrics(users, members, k):
    """All metrics of K where only test items among `members` count."""
    rows = []
    for ranked, tests in users:
        kept = set(tests) & members
        if kept:
            rows.append(slow_user(ranked, kept, k))
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    found = dict(zip(NAMES, means or [math.nan] * len(NAMES), strict=True))
    p, r = found["precision"], found["recall"]
    found["f1"] = 0.0 if p == 0 or r == 0 else 2 / (1 / p + 1 / r)
    often = [sum(item in ranked[:k] for ranked, _ in users) for item in sorted(members)]
    found["coverage"] = sum(n > 0 for n in often) / len(often) if often else math.nan
    found["gini"] = slow_gini(often) if often else math.nan
    return found, len(rows)


@st.composite
def ranked_users(draw, length=6):
    """(users, seen): lists of at most six of a few items, any test items."""
    item_count = draw(st.integers(1, 9))
    users = []
    for _ in range(draw(st.integers(0, 6))):
        order = draw(st.permutations(range(item_count)))
        listed = order[: draw(st.integers(0, length))]
        tests = draw(st.sets(st.integers(0, item_count - 1)))
        users.append((listed + [-1] * (length - len(listed)), sorted(tests)))
    seen = draw(st.lists(st.booleans(), min_size=item_count, max_size=item_count))
    return users, np.array(seen)


@settings(max_examples=150)
@given(ranked_users())
def test_metrics_agree_with_loops(drawn):
    users, seen = drawn
    args = (*arrays(users, 6), len(seen))
    found = metrics.ranking_metrics(*args, seen=seen, ks=(1, 3, 6))
    everything = set(range(len(seen)))
    known = {item for item in everything if seen[item]}
    for group, members in (
        ("", everything),
        ("seen/", known),
        ("unseen/", everything - known),
    ):
        for k in (1, 3, 6):
            expected, count = slow_metrics(users, members, k)
            assert found[f"{group}users"] == count
            for name, value in expected.items():
                np.testing.assert_allclose(
                    found[f"{group}{name}@{k}"], value, rtol=1e-12, atol=1e-15
                )


# Libraries


def random_rankings(users, item_count, seed):
    """Distinct scores [U, I], relevance bool [U, I], and both as lists of all items."""
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(item_count), (users, 1)), axis=1)
    relevant = rng.random((users, item_count)) < rng.uniform(0.02, 0.5, (users, 1))
    relevant[:, 0] |= ~relevant.any(axis=1)
    lists = np.argsort(-scores, axis=1)
    starts = np.concatenate([[0], np.cumsum(relevant.sum(axis=1))])
    return scores, relevant, lists, starts, np.nonzero(relevant)[1]


def test_auc_agrees_with_scikit_learn_on_the_list():
    _, relevant, lists, starts, items = random_rankings(60, 40, 0)
    lists[::3, 12:] = -1  # every third list is short
    found = metrics.per_user(lists[:, :20], starts, items)
    compared = 0
    for user, row in enumerate(lists):
        for k in metrics.KS:
            top = row[:k][row[:k] >= 0]
            hit = relevant[user, top]
            if hit.any() and not hit.all():
                expected = sklearn.metrics.roc_auc_score(hit, -np.arange(len(top)))
                assert found[f"auc@{k}"][user] == pytest.approx(expected, rel=1e-12)
                compared += 1
    assert compared > 100


def test_ndcg_agrees_with_scikit_learn():
    scores, relevant, lists, starts, items = random_rankings(200, 40, 1)
    args = lists[:, :20], starts, items, 40
    found = metrics.ranking_metrics(*args)
    for k in metrics.KS:
        expected = sklearn.metrics.ndcg_score(relevant, scores, k=k)
        assert found[f"ndcg@{k}"] == pytest.approx(expected, rel=1e-12)


# ranx compiles with numba, whose deprecations are not ours.
@pytest.mark.filterwarnings("ignore")
def test_agrees_with_ranx():
    ranx = pytest.importorskip("ranx")
    scores, relevant, lists, starts, items = random_rankings(80, 60, 2)
    qrels = ranx.Qrels(
        {
            str(user): {str(item): 1 for item in np.flatnonzero(row)}
            for user, row in enumerate(relevant)
        }
    )
    run = ranx.Run(
        {
            str(user): {str(item): float(scores[user, item]) for item in row[:20]}
            for user, row in enumerate(lists)
        }
    )
    found = metrics.ranking_metrics(lists[:, :20], starts, items, 60)
    # Their MAP divides by |G|, also where no list of K could hold so many.
    same = ("ndcg", "precision", "recall", "mrr")
    theirs = {name: "hit_rate" for name in ("accuracy", "hr")} | {n: n for n in same}
    names = {f"{a}@{k}": f"{b}@{k}" for a, b in theirs.items() for k in metrics.KS}
    expected = ranx.evaluate(qrels, run, list(names.values()))
    for name, their_name in names.items():
        assert found[name] == pytest.approx(expected[their_name], rel=1e-9), name


def test_average_precision_agrees_with_scikit_learn():
    """On lists of all items, where its denominator |G| is min(K, |G|)."""
    scores, relevant, lists, starts, items = random_rankings(100, 40, 5)
    found = metrics.per_user(lists, starts, items, ks=(40,))["map@40"]
    expected = [
        sklearn.metrics.average_precision_score(row, score)
        for row, score in zip(relevant, scores, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


# Ties


def test_ties_written_out():
    end = -np.inf
    scores = np.array([[3, 3, 1, 1], [2, 1, end, end], [5, end, end, end]], np.float32)
    # Neighbours: (3, 3), (3, 1), (1, 1), (2, 1); the ends of lists are none.
    assert metrics.count_ties(scores, 4) == 2 / 4
    assert metrics.count_ties(scores, 2) == 1 / 2
    assert metrics.count_ties(scores, 1) == 0
    assert metrics.count_ties(scores[2:], 4) == 0


# Gini


def test_gini_written_out():
    assert metrics.gini(np.array([2, 2, 2])) == 0
    assert metrics.gini(np.array([0, 5, 0, 0])) == 3 / 4
    # |1 - 3| twice over 4 pairs, over twice the mean 2.
    assert metrics.gini(np.array([3, 1])) == (4 / 4) / (2 * 2)
    assert np.isnan(metrics.gini(np.zeros(3, int)))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12))
def test_gini_is_the_mean_difference_of_all_pairs(counts):
    found, expected = metrics.gini(np.array(counts)), slow_gini(counts)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


# The order of users


def test_metrics_do_not_depend_on_the_order_of_users():
    _, relevant, lists, starts, items = random_rankings(6000, 50, 3)
    lists, seen = lists[:, :20], np.arange(50) % 3 > 0
    found = metrics.ranking_metrics(lists, starts, items, 50, seen=seen)
    order = np.random.default_rng(4).permutation(6000)
    users, items_of_order = np.nonzero(relevant[order])
    starts_of_order = np.searchsorted(users, np.arange(6001))
    again = metrics.ranking_metrics(
        lists[order], starts_of_order, items_of_order, 50, seen=seen
    )
    assert again == found
    # Each mean is that of the users' values, rounded once.
    for name, values in metrics.per_user(lists, starts, items, seen=seen).items():
        assert found[name] == statistics.mean(values.tolist())
    # 6000 lists of hits only: more than 64 bits of the sum.
    assert evaluate([ALL_HITS] * 6000, ks=(5,))["ndcg@5"] == 1


# What is refused


@pytest.mark.parametrize(
    "lists, starts, items, message",
    [
        ([[0, 1]], [0, 1], [0], "not within the 2 ranks"),
        ([[0, 1, 1]], [0, 1], [0], "twice"),
        ([[0, -1, 1]], [0, 1], [0], "before an item"),
        ([[0, 1, -2]], [0, 1], [0], "below -1"),
        ([[0, 1, 9]], [0, 1], [0], "item 9 is not among 9"),
        ([[0.0, 1, 2]], [0, 1], [0], "integers"),
        ([0, 1, 2], [0, 1], [0], "integers"),
        ([[0, 1, 2]], [0, 1], [9], "item 9 is not among 9"),
        ([[0, 1, 2]], [0, 1], [-1], "negative"),
        ([[0, 1, 2]], [0, 2], [3, 1], "ascend"),
        ([[0, 1, 2]], [0, 2], [3, 3], "ascend"),
        ([[0, 1, 2]], [0, 1], [3, 4], "starts"),
        ([[0, 1, 2]], [0, 1, 1], [3], "starts"),
        ([[0, 1, 2], [0, 1, 2]], [0, 2, 1], [3], "descend"),
    ],
)
def test_arrays_that_are_refused(lists, starts, items, message):
    args = np.array(lists), np.array(starts), np.array(items), 9
    with pytest.raises(ValueError, match=message):
        metrics.ranking_metrics(*args, ks=(3,))


def test_seen_items_must_be_all_items():
    with pytest.raises(ValueError, match="seen"):
        metrics.ranking_metrics(*arrays([NO_HIT]), 12, ks=(5,), seen=np.ones(13, bool))
    with pytest.raises(ValueError, match="item 5 is not among 5"):
        metrics.per_user(*arrays([NO_HIT]), ks=(5,), seen=np.ones(5, bool))
