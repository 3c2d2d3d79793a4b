import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from common.errors import UserError
from recsys.corpus.tree import CategoryTree

NAMES = st.sampled_from(["a", "b", "c", "B", "é"])
EVEN = st.integers(1, 4).flatmap(
    lambda levels: st.lists(st.tuples(*[NAMES] * levels), min_size=1, max_size=30)
)
# Names that tell their level never meet a repeated node.
UNEVEN = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=4).map(
        lambda numbers: tuple(f"{k}{x}" for k, x in enumerate(numbers))
    ),
    min_size=1,
    max_size=30,
)

PATHS = [
    ("men", "shoes", "boots"),  # leaf 2
    ("kids", "shoes", "boots"),  # leaf 0: other nodes, same names
    ("men", "hats", "caps"),  # leaf 1
    ("men", "shoes", "trainers"),  # leaf 3
    ("kids", "shoes", "boots"),  # leaf 0
]


def test_written_out():
    tree, leaf = CategoryTree.from_paths(PATHS)
    assert leaf.tolist() == [2, 0, 1, 3, 0]
    assert tree.leaves == (PATHS[1], PATHS[2], PATHS[0], PATHS[3])
    assert tree.ancestors.tolist() == [[0, 0, 0], [1, 1, 1], [1, 2, 2], [1, 2, 3]]
    # Level 1: kids/shoes, men/hats, men/shoes. Level 2: the leaves.
    assert [x.tolist() for x in tree.parents] == [[], [0, 1, 1], [0, 1, 2, 2]]
    assert tree.level_sizes == (2, 3, 4)
    assert (tree.levels, tree.leaf_count) == (3, 4)
    assert not tree.repeated.any()
    assert leaf.dtype == tree.ancestors.dtype == tree.parents[1].dtype == np.int32
    spans = [np.transpose(tree.leaf_span(level)).tolist() for level in (-1, 0, 1, 2)]
    assert spans == [
        [[0, 4]] * 4,
        [[0, 1], [1, 4], [1, 4], [1, 4]],
        [[0, 1], [1, 2], [2, 4], [2, 4]],
        [[0, 1], [1, 2], [2, 3], [3, 4]],
    ]
    assert np.transpose(tree.sibling_span()).tolist() == spans[2]


def test_repeated_nodes_written_out():
    paths = [("men", "hats"), ("men", "shoes", "boots"), ("art",), ("men", "hats")]
    tree, leaf = CategoryTree.from_paths(paths, uneven="repeat")
    assert tree.leaves == (
        ("art", "art", "art"),
        ("men", "hats", "hats"),
        ("men", "shoes", "boots"),
    )
    assert leaf.tolist() == [1, 2, 0, 1]
    assert tree.repeated.tolist() == [
        [False, True, True],
        [False, False, True],
        [False, False, False],
    ]
    # art has no parent, so all are its siblings; hats' are those under men; the boots
    # are alone under the shoes.
    assert np.transpose(tree.sibling_span()).tolist() == [[0, 3], [1, 3], [2, 3]]


def test_siblings_in_a_tree_of_one_level():
    tree, _ = CategoryTree.from_paths([("b",), ("a",), ("c",)])
    assert np.transpose(tree.sibling_span()).tolist() == [[0, 3]] * 3
    assert [x.tolist() for x in tree.parents] == [[]]


@hypothesis.settings(deadline=None)
@hypothesis.given(EVEN)
def test_nodes_against_sets_of_prefixes(paths):
    check_against_prefixes(paths, paths, "refuse")


@hypothesis.settings(deadline=None)
@hypothesis.given(UNEVEN)
def test_repeated_nodes_against_sets_of_prefixes(paths):
    levels = max(map(len, paths))
    full = [path + (path[-1],) * (levels - len(path)) for path in paths]
    check_against_prefixes(paths, full, "repeat")


def check_against_prefixes(paths, full, uneven):
    tree, leaf = CategoryTree.from_paths(paths, uneven=uneven)
    levels = len(full[0])
    nodes = [sorted({path[: k + 1] for path in full}) for k in range(levels)]
    assert tree.leaves == tuple(nodes[-1])
    assert tree.level_sizes == tuple(map(len, nodes))
    for item, path in enumerate(full):
        for k in range(levels):
            node = tree.ancestors[leaf[item], k]
            assert nodes[k][node] == path[: k + 1]
            assert tree.repeated[leaf[item], k] == (k >= len(paths[item]))
            if k:
                assert nodes[k - 1][tree.parents[k][node]] == path[:k]
    own = {path: len(given) for path, given in zip(full, paths, strict=True)}
    for c, (start, stop) in enumerate(zip(*tree.sibling_span(), strict=True)):
        # The parent of the last node, or of one that it repeats if it is alone there.
        near = [
            [other for other in nodes[-1] if other[:k] == tree.leaves[c][:k]]
            for k in range(own[tree.leaves[c]] - 1, levels)
        ]
        expected = next((some for some in near[::-1] if len(some) > 1), near[0])
        if own[tree.leaves[c]] == levels:
            expected = near[-1]
        assert list(tree.leaves[start:stop]) == expected
    for k in range(levels):
        for c, (start, stop) in enumerate(zip(*tree.leaf_span(k), strict=True)):
            under = [tree.leaves[c][: k + 1] == other[: k + 1] for other in nodes[-1]]
            assert np.flatnonzero(under).tolist() == list(range(start, stop))


@hypothesis.settings(deadline=None)
@hypothesis.given(UNEVEN, st.randoms(use_true_random=False))
def test_order_and_kind_of_the_paths_change_nothing(paths, random):
    order = list(range(len(paths)))
    random.shuffle(order)
    tree, leaf = CategoryTree.from_paths(paths, uneven="repeat")
    lists = (list(paths[i]) for i in order)
    other, other_leaf = CategoryTree.from_paths(lists, uneven="repeat")
    assert other.leaves == tree.leaves
    np.testing.assert_array_equal(other_leaf, leaf[order])


@hypothesis.settings(deadline=None)
@hypothesis.given(UNEVEN)
def test_json_round_trip(paths):
    tree, _ = CategoryTree.from_paths(paths, uneven="repeat")
    text = json.dumps(tree.to_json(), allow_nan=False)
    again = CategoryTree.from_json(json.loads(text))
    assert again.leaves == tree.leaves
    np.testing.assert_array_equal(again.ancestors, tree.ancestors)
    np.testing.assert_array_equal(again.repeated, tree.repeated)
    for one, other in zip(again.parents, tree.parents, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"leaves": []},
        {"leaves": "ab"},
        {"leaves": 3},
        {"leaves": [[]]},
        {"leaves": [["a", 1]]},
        {"leaves": [["b"], ["a"]]},
        {"leaves": [["a"], ["a"]]},
    ],
)
def test_damaged_json(value):
    with pytest.raises(UserError, match="category tree's file is damaged"):
        CategoryTree.from_json(value)


@pytest.mark.parametrize(
    ("paths", "uneven", "message"),
    [
        ([], "refuse", "no items"),
        ([("a",), ()], "refuse", r"item 1 .*category path is empty"),
        ([("a", "b"), ("a", "")], "refuse", r"item 1 .*level 2 .*\('a', ''\) has no"),
        ([("a", "b"), (" ", "b")], "repeat", r"item 1 .*level 1 .* has no name"),
        ([("a", "b"), ("a", None)], "refuse", r"item 1 .*level 2 .* has no name"),
        ([("a", "b"), ("a", "b"), ("a",)], "refuse", r"item 2 .*\('a',\) has 1 of"),
        ([("a",), ("b",), ("a", "b")], "refuse", r"item 0 .*the 2 levels that item 2"),
        # "a" repeated is a node of its own elsewhere: a leaf, or one above leaves.
        ([("a", "a"), ("a",)], "repeat", r"item 1 .*\('a',\).*\('a', 'a'\) of item 0"),
        ([("a",), ("b", "c", "d"), ("a", "a", "b")], "repeat", r"item 0 .* of item 2"),
    ],
)
def test_what_is_refused(paths, uneven, message):
    with pytest.raises(UserError, match=message) as caught:
        CategoryTree.from_paths(paths, uneven=uneven)
    assert "\n" not in str(caught.value)


def test_a_text_is_no_path():
    with pytest.raises(TypeError, match="'men/hats' is one text"):
        CategoryTree.from_paths(["men/hats"])
