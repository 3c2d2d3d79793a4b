import collections

import jax
import pytest

from common.training import tree_paths

Pair = collections.namedtuple("Pair", "left right")


def test_round_trip_through_paths():
    tree = {"a": Pair((1, 2), None), "b c": [{"d.e": 3}], "empty": ()}
    flat = tree_paths.flatten(tree)
    assert flat == {"a/left/0": 1, "a/left/1": 2, "b c/0/d.e": 3}
    again = tree_paths.unflatten(tree, {path: 10 * x for path, x in flat.items()})
    assert again == jax.tree.map(lambda x: 10 * x, tree)


def test_two_leaves_on_one_path_are_an_error():
    with pytest.raises(ValueError, match="same path"):
        tree_paths.flatten({"a": {"b": 1}, "a/b": 2})


def test_nest_takes_what_is_under_a_path():
    flat = {"params/conv/kernel": 1, "params/bias": 2, "params2/x": 3}
    assert tree_paths.nest(flat, "params") == {"conv": {"kernel": 1}, "bias": 2}
    assert tree_paths.nest({"a/b": 1}) == {"a": {"b": 1}}
    assert tree_paths.nest(flat, "nothing") == {}
