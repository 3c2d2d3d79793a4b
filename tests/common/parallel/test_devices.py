import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.parallel.devices import SINGLE, Devices, global_ratio

SPREAD = Devices("data")


def on_all(function, *arrays):
    """Runs a function under pmap; arrays [8, ...] hold a part for each device."""
    return jax.pmap(function, "data")(*arrays)


def test_under_jit_every_reduction_is_the_identity():
    tree = {"a": jnp.arange(3.0)}
    assert SINGLE.sum(tree) is tree and SINGLE.mean(tree) is tree
    assert SINGLE.rows(tree["a"]) is tree["a"]
    assert SINGLE.count() == 1


def test_sums_and_means_run_over_the_devices():
    parts = np.arange(8.0)
    found = on_all(lambda x: (SPREAD.sum(x), SPREAD.mean(x), SPREAD.count()), parts)
    assert [np.asarray(value)[0] for value in found] == [28.0, 3.5, 8]


def test_each_device_takes_its_own_rows():
    whole = np.arange(32.0).reshape(16, 2)
    found = on_all(lambda _: SPREAD.rows(jnp.asarray(whole)), np.zeros(8))
    np.testing.assert_array_equal(np.concatenate(np.asarray(found)), whole)


def test_masks_do_not_depend_on_how_the_batch_is_spread():
    key = jax.random.key(0)
    whole = SINGLE.random_mask(key, 0.3, (64, 5))
    parts = on_all(lambda _: SPREAD.random_mask(key, 0.3, (8, 5)), np.zeros(8))
    np.testing.assert_array_equal(np.concatenate(np.asarray(parts)), whole)
    assert 0.2 < np.asarray(whole).mean() < 0.4


def test_the_ratio_is_that_of_the_global_sums():
    totals, weights = np.arange(8.0), np.array([1.0, 0, 2, 0, 0, 1, 3, 0])
    found = on_all(lambda t, w: global_ratio(SPREAD, t, w), totals, weights)
    assert np.asarray(found)[3] == pytest.approx(28 / 7)
    assert global_ratio(SINGLE, jnp.zeros(()), jnp.zeros(())) == 0.0
