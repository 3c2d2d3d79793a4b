import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import UserError
from common.training import saved_leaves


def test_checksums_see_content_not_layout():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    wanted = saved_leaves.checksums({"a": array})
    assert saved_leaves.checksums({"a": np.asfortranarray(array)}) == wanted
    assert saved_leaves.checksums({"a": jnp.asarray(array)}) == wanted
    assert saved_leaves.checksums({"a": array + 1}) != wanted
    assert saved_leaves.checksums({"a": np.zeros((4, 0))}) == {"a": 0}


@pytest.mark.parametrize("kind", ["threefry2x32", "rbg"])
def test_random_keys_survive_as_numbers(kind):
    leaves = {"key": jax.random.key(3, impl=kind), "x": jnp.ones(2)}
    plain = saved_leaves.without_keys(leaves)
    assert plain["key"].dtype == jnp.uint32
    again = saved_leaves.with_keys(plain, jax.eval_shape(lambda: leaves))
    assert again["key"].dtype == leaves["key"].dtype
    assert jax.random.uniform(again["key"]) == jax.random.uniform(leaves["key"])


def test_many_differences_are_counted_not_listed():
    saved = {f"p{k}": [[k], "float32"] for k in range(6)}
    with pytest.raises(UserError, match="only the checkpoint has p2 and 3 more; use"):
        saved_leaves.check_leaves(pathlib.Path("x"), saved, {})
    saved_leaves.check_leaves(pathlib.Path("x"), saved, dict(saved))
