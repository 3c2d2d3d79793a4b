import hypothesis
import numpy as np
import pytest
import scipy.stats
from hypothesis import strategies as st

from common.errors import UserError
from recsys.corpus.interactions import Interactions
from recsys.corpus.tree import CategoryTree
from recsys.negatives import POOLS, NegativeSampler

# Items by leaf. The leaves under the tops are mixed up on purpose.
PATHS = {
    "men/shoes/boots": [0, 7, 12],
    "men/shoes/trainers": [3, 4],
    "men/shoes/loafers": [9, 13, 14],
    "men/hats/caps": [1, 5],
    "kids/toys/cars": [2, 6],
    "art/prints/maps": [8, 10, 11],
}
LEAF, SIBLINGS, TOP, ALL = range(4)


def make_sampler(taken, kind="hierarchical"):
    """Sampler of the items above; `taken` are the items of each user in training."""
    path_of = {
        item: tuple(k.split("/")) for k, items in PATHS.items() for item in items
    }
    tree, leaf = CategoryTree.from_paths([path_of[i] for i in range(len(path_of))])
    return NegativeSampler(tree, leaf, by_user(taken), kind)


def by_user(taken):
    users = [user for user, items in enumerate(taken) for _ in items]
    items = [item for row in taken for item in row]
    return Interactions(users, items).by_user(len(taken))


def drawn(sampler, user, item, n_neg, rows=400, **named):
    """Items and fallbacks that the columns of many rows hold: two lists of sets."""
    named = {"seed": 0, "step": 0, **named}
    users, items = np.full(rows, user), np.full(rows, item)
    negatives = sampler.sample(users, items, n_neg, **named)
    return (
        [set(column.tolist()) for column in negatives.items.T],
        [set(column.tolist()) for column in negatives.fallback.T],
    )


EVERYTHING = list(range(15))
SHOES = {0, 7, 12, 3, 4, 9, 13, 14}
CASES = [
    # name, taken, positive, leaf half (items, fallback), sibling half (items, fallback)
    ("plain", [0], 0, ({7, 12}, 0), ({3, 4, 9, 13, 14}, 0)),
    ("middle leaf", [3], 3, ({4}, 0), ({0, 7, 12, 9, 13, 14}, 0)),
    ("new user", [], 0, ({0, 7, 12}, 0), ({3, 4, 9, 13, 14}, 0)),
    ("one item left in each", [7, 12, 3, 4, 9, 14, 1], 7, ({0}, 0), ({13}, 0)),
    ("all of the leaf", [0, 7, 12], 7, ({3, 4, 9, 13, 14}, SIBLINGS), None),
    (
        "all of the siblings",
        [0, 3, 4, 9, 13, 14],
        0,
        ({7, 12}, 0),
        ({7, 12, 1, 5}, TOP),
    ),
    ("all of both", sorted(SHOES), 0, ({1, 5}, TOP), ({1, 5}, TOP)),
    ("no siblings", [1], 1, ({5}, 0), (SHOES | {5}, TOP)),
    ("leaf is all of its top", [2], 2, ({6}, 0), ({6}, TOP)),
    ("all of the top", [2, 6], 2, ({*EVERYTHING} - {2, 6}, ALL), None),
    ("one item left", EVERYTHING[:11] + EVERYTHING[12:], 0, ({11}, ALL), ({11}, ALL)),
]


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_pools_written_out(case):
    _, taken, positive, from_leaf, from_siblings = case
    if from_siblings is None:  # the same pool, but siblings are what was wanted
        items, pool = from_leaf
        from_siblings = items, 0 if pool == SIBLINGS else pool
    # Other users' items make no difference.
    sampler = make_sampler([[2, 3, 5, 0], taken, EVERYTHING])
    items, fallbacks = drawn(sampler, 1, positive, 4)
    # 800 draws from at most 13 items: each item is missed with a chance of e^-61.
    assert items[0] | items[1] == from_leaf[0]
    assert items[2] | items[3] == from_siblings[0]
    assert fallbacks == [{from_leaf[1]}] * 2 + [{from_siblings[1]}] * 2
    odd, _ = drawn(sampler, 1, positive, 3)
    assert odd == [from_leaf[0], from_leaf[0] | from_siblings[0], from_siblings[0]]


def test_uniform_negatives_come_from_everywhere():
    sampler = make_sampler([[0, 3, 14], []], "uniform")
    items, fallbacks = drawn(sampler, 0, 0, 2)
    assert items == [{*EVERYTHING} - {0, 3, 14}] * 2 and fallbacks == [{0}] * 2
    assert drawn(sampler, 1, 0, 1)[0] == [{*EVERYTHING}]


def test_a_user_with_all_items():
    for kind in ("hierarchical", "uniform"):
        sampler = make_sampler([[0], EVERYTHING], kind)
        with pytest.raises(UserError, match="user 1 .* all 15 items") as caught:
            sampler.sample([0, 1], [0, 0], 2, seed=0, step=0)
        assert "\n" not in str(caught.value)
        assert sampler.sample([0], [0], 2, seed=0, step=0).items.shape == (1, 2)


PATH = st.lists(st.integers(0, 1), min_size=1, max_size=3).map(
    lambda numbers: tuple(f"{k}{x}" for k, x in enumerate(numbers))
)


@hypothesis.settings(deadline=None)
@hypothesis.given(st.data())
def test_any_negative_is_legal(data):
    paths = data.draw(st.lists(PATH, min_size=1, max_size=12))
    tree, leaf = CategoryTree.from_paths(paths, uneven="repeat")
    subsets = st.sets(st.integers(0, len(paths) - 1), max_size=len(paths) - 1)
    taken = data.draw(st.lists(subsets, min_size=1, max_size=4))
    doubled = [[*items, *items] for items in taken]  # repeats do no harm
    sampler = NegativeSampler(tree, leaf, by_user(doubled))
    users, items = np.divmod(np.arange(len(taken) * len(paths)), len(paths))
    n_neg = data.draw(st.integers(1, 9))
    negatives = sampler.sample(users, items, n_neg, seed=1, step=2)
    start, stop = tree.sibling_span()
    for row, (user, item) in enumerate(zip(users, items, strict=True)):
        own = leaf[item]
        near = [x for x in range(start[own], stop[own]) if x != own]
        pools = [
            {i for i in range(len(paths)) if leaf[i] == own},
            {i for i in range(len(paths)) if leaf[i] in near},
            {i for i in range(len(paths)) if paths[i][0] == paths[item][0]},
            {*range(len(paths))},
        ]
        pools = [pool - taken[user] for pool in pools]
        legal = []
        for expected in (LEAF, SIBLINGS):
            pool = next(k for k in range(expected, len(POOLS)) if pools[k])
            legal.append((pools[pool], 0 if pool == expected else pool))
        for column in range(n_neg):
            item, fallback = (
                negatives.items[row, column],
                negatives.fallback[row, column],
            )
            fits = [item in pool and fallback == number for pool, number in legal]
            if column < n_neg // 2:
                assert fits[LEAF]
            elif column >= n_neg - n_neg // 2:
                assert fits[SIBLINGS]
            else:
                assert any(fits)


@pytest.mark.parametrize(
    ("kind", "columns", "pool"),
    [
        ("hierarchical", slice(0, 2), {7, 12, 0} - {7}),
        ("hierarchical", slice(2, 4), {3, 4, 9, 13, 14} - {4}),
        ("uniform", slice(0, 4), {*EVERYTHING} - {7, 4, 1, 10}),
    ],
)
def test_uniform_over_the_items_of_a_pool(kind, columns, pool):
    sampler = make_sampler([[], [7, 4, 1, 10]], kind)
    users, items = np.full(5000, 1), np.full(5000, 7)
    negatives = sampler.sample(users, items, 4, seed=3, step=0).items[:, columns]
    values, counts = np.unique(negatives, return_counts=True)
    assert set(values.tolist()) == pool
    assert scipy.stats.chisquare(counts).pvalue > 0.01
    # Nor do the columns of a row, or a row and the next, know of each other.
    for one, other in (
        (negatives[:, 0], negatives[:, 1]),
        (negatives[:-1, 0], negatives[1:, 0]),
    ):
        table = scipy.stats.contingency.crosstab(one, other).count
        assert scipy.stats.chi2_contingency(table).pvalue > 0.01


def test_the_coin_of_an_odd_number_is_fair():
    sampler = make_sampler([[]])
    items = sampler.sample(np.zeros(4000, int), np.zeros(4000, int), 1, seed=5, step=0)
    in_leaf = np.isin(items.items, PATHS["men/shoes/boots"]).sum()
    assert abs(in_leaf - 2000) < 3 * 31.7  # a standard deviation of 31.6


@pytest.mark.parametrize("n_neg", [1, 4, 5, 8])
def test_a_function_of_seed_and_step(n_neg):
    sampler = make_sampler([[0], [3, 4], [8]])
    users = np.arange(24) % 3
    items = np.array([0, 4, 8])[users]

    def sample(seed=1, step=7):
        drawn = sampler.sample(users, items, n_neg, seed=seed, step=step)
        return drawn.items.tolist()

    assert sample() == sample()
    others = [sample(seed=2), sample(step=8)]
    assert sample() not in others and others[0] != others[1]


def test_a_catalogue_with_empty_leaves():
    # A tree read from a file may have leaves that these items are not in.
    tree, _ = CategoryTree.from_paths([("a", "a"), ("a", "b"), ("a", "c"), ("b", "d")])
    sampler = NegativeSampler(tree, np.array([2, 2, 3, 3]), by_user([[0, 2], [0, 1]]))
    assert drawn(sampler, 0, 0, 2) == ([{1}, {1}], [{0}, {TOP}])
    assert drawn(sampler, 1, 0, 2) == ([{2, 3}, {2, 3}], [{ALL}, {ALL}])


def test_against_sets_at_a_larger_size():
    rng = np.random.default_rng(0)
    paths = [
        tuple(row) for row in np.array(list("abcdef"))[rng.integers(0, 6, (3000, 3))]
    ]
    tree, leaf = CategoryTree.from_paths(paths)
    taken = [set(rng.integers(0, 3000, n).tolist()) for n in (0, 1, 50, 2000, 2900)]
    sampler = NegativeSampler(tree, leaf, by_user(taken))
    users, items = rng.integers(0, 5, 2000), rng.integers(0, 3000, 2000)
    negatives = sampler.sample(users, items, 4, seed=0, step=0)
    for user, row in zip(users, negatives.items, strict=True):
        assert taken[user].isdisjoint(row.tolist())
    same = tree.ancestors[leaf[negatives.items]] == tree.ancestors[leaf[items]][:, None]
    near = np.where(np.arange(4) < 2, same[..., 2], same[..., 1] & ~same[..., 2])
    stays = negatives.fallback == 0
    assert near[stays].all() and 0.5 < stays.mean() < 1
    assert same[..., 0][negatives.fallback == TOP].all()


def test_what_is_refused():
    with pytest.raises(
        UserError, match="'popular': choose one of hierarchical, uniform"
    ):
        make_sampler([[]], "popular")
    sampler = make_sampler([[0]])
    for users, items, n_neg in (([1], [0], 1), ([0], [15], 1), ([0], [-1], 1)):
        with pytest.raises(ValueError, match="there are"):
            sampler.sample(users, items, n_neg, seed=0, step=0)
    with pytest.raises(ValueError, match="n_neg is 0"):
        sampler.sample([0], [0], 0, seed=0, step=0)
    tree, leaf = CategoryTree.from_paths([("a",), ("b",)])
    with pytest.raises(ValueError, match="training item numbers 0 to 2: there are 2"):
        NegativeSampler(tree, leaf, by_user([[0, 2]]))
    with pytest.raises(ValueError, match="leaf numbers 0 to 2: there are 2"):
        NegativeSampler(tree, np.array([0, 2]), by_user([[0]]))
    nobody = np.zeros(0, np.int32)
    empty = sampler.sample(nobody, nobody, 4, seed=0, step=0)
    assert empty.items.shape == empty.fallback.shape == (0, 4)
