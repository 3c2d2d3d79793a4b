"""Prices of the most alike photos."""

import jax.numpy as jnp
import numpy as np
import pytest

from common.data.feature_cache import FeatureCache
from common.errors import UserError
from common.parallel.execution import make_execution
from common.parallel.processes import ParallelConfig
from pricer import comparables, features
from pricer.comparables import NAMES, NO_GROUP, Comparables
from pricer.config import ComparablesConfig

LINES, EACH = 12, 9  # lines of goods of one price each; a ninth of them is test


def raw(items):
    """Items whose columns come out as they are."""
    return items._replace(
        center=np.zeros(len(NAMES), np.float32), scale=np.ones(len(NAMES), np.float32)
    )


def compare(items, config, photos, groups=None):
    found = comparables.find(items, config.count, photos, groups)
    return comparables.describe(items, config.sharpness, *found)


def test_columns_by_hand():
    """Four items in the plane at 0, 60, 90 and 180 degrees from the photo."""
    root = np.sqrt(3) / 2
    items = raw(
        Comparables(
            mean=np.array([1.0, 1.0], np.float32),
            projection=np.array([[2.0, 0.0], [0.0, 4.0]], np.float32),
            places=np.array([[-1, 0], [1, 0], [0, 1], [0.5, root]], np.float16),
            log_prices=np.array([9.0, 4.0, 7.0, 5.0], np.float32),
            groups=np.array([0, 1, 2, 3], np.int32),
            center=None,
            scale=None,
        )
    )
    # z = ((2.5 - 1) * 2, (1 - 1) * 4) = (3, 0): along the first axis.
    photo = jnp.array([[2.5, 1.0]])
    config = ComparablesConfig(count=3, sharpness=2.0)
    (found,) = compare(items, config, photo)
    # Similarities 1, 1/2, 0 of the prices 4, 5, 7.
    weights = np.exp([2.0, 1.0, 0.0]) / np.exp([2.0, 1.0, 0.0]).sum()
    mean = weights @ [4, 5, 7]
    deviation = np.sqrt(weights @ (np.array([4, 5, 7]) - mean) ** 2)
    expected = [4.5, 5, 6, 16 / 3, mean, deviation, 1, 0.5]
    np.testing.assert_allclose(found, expected, atol=1e-3)  # float16 places
    standard = items._replace(center=np.full(8, 2.0), scale=np.full(8, 4.0))
    (found,) = compare(standard, config, photo)
    np.testing.assert_allclose(found, (np.array(expected) - 2) / 4, atol=1e-3)
    # In the group of the nearest item the next ones have 5, 7, 9 at 1/2, 0, -1.
    config = ComparablesConfig(count=3, sharpness=0.0)
    found = compare(items, config, jnp.tile(photo, (2, 1)), jnp.array([1, NO_GROUP]))
    spread = np.std([5, 7, 9])
    np.testing.assert_allclose(
        found[0], [6, 7, 8, 7, 7, spread, 0.5, -1 / 6], atol=1e-3
    )
    np.testing.assert_allclose(found[1, :4], expected[:4], atol=1e-3)


def make_features(folder, values):
    store = FeatureCache(folder / "store", {"k": "v"}, values.shape)
    if not store.complete:
        store.append(values.astype(np.float16))
    return features.Features([store])


def test_whitened_features_are_uncorrelated_and_of_variance_one(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_CHUNK", 17)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 7)) + 3
    values[:, 3] = 2.0  # tells nothing; the others are five numbers in six places
    stored = make_features(tmp_path, values)
    rows = np.arange(20, 200)
    mean, projection = comparables.whiten(stored, rows, dimensions=7)
    read = stored.rows(rows).astype(np.float64)
    np.testing.assert_allclose(mean, read.mean(0), rtol=1e-5)
    z = (read - read.mean(0)) @ projection
    # Rounding to float16 varies in all six places, by a millionth and more.
    size = projection.shape[1]
    assert size in (5, 6)
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(size), atol=2e-2)
    # The components that vary most come first.
    assert comparables.whiten(stored, rows, dimensions=2)[1].shape == (7, 2)
    np.testing.assert_allclose(
        comparables.whiten(stored, rows, dimensions=2)[1], projection[:, :2]
    )
    # A tenth of the rows at most.
    few = comparables.whiten(stored, np.arange(45), dimensions=7)[1]
    assert few.shape == (7, 4)


def shop(seed=0, *, lines=True):
    """Lines of goods: photos of a line lie close together and cost about the same.

    Without `lines` every item has a price of its own.
    """
    rng = np.random.default_rng(seed)
    line = np.arange(LINES * EACH) % LINES
    values = rng.normal(size=(LINES, 6))[line] + 0.05 * rng.normal(size=(len(line), 6))
    prices = rng.normal(5, 1, LINES)[line] + 0.01 * rng.normal(size=len(line))
    if not lines:
        prices = rng.permutation(prices)
    train = np.arange(len(line)) < LINES * (EACH - 1)
    groups = np.where(train, np.arange(len(line)), NO_GROUP).astype(np.int32)
    return values, prices, np.flatnonzero(train), np.flatnonzero(~train), groups


def fit(folder, values, prices, train, groups, parallel=None, **config):
    return comparables.fit(
        ComparablesConfig(**{"count": 5, "sharpness": 20.0, **config}),
        make_features(folder, values),
        train,
        prices,
        groups,
        execution=make_execution(parallel or ParallelConfig(devices=1)),
        batch_size=16,
    )


def in_log_price(items, columns, name):
    index = NAMES.index(name)
    return columns[:, index] * items.scale[index] + items.center[index]


def test_an_unseen_item_costs_what_its_line_costs(tmp_path):
    values, prices, train, test, groups = shop()
    items, columns = fit(tmp_path, values, prices, train, groups)
    assert columns.shape == (len(prices), len(NAMES)) and columns.dtype == np.float32
    np.testing.assert_allclose(columns[train].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(columns[train].std(0), 1, atol=1e-3)
    for name in ("median", "weighted_mean"):
        found = in_log_price(items, columns, name)
        assert abs(found - prices)[test].max() < 0.03, name
    # As what is said of photos that come later, without groups.
    read = make_features(tmp_path, values).rows(test)
    again = compare(items, ComparablesConfig(count=5), read)
    np.testing.assert_allclose(again, columns[test], atol=1e-4)


def test_without_lines_the_most_alike_items_tell_nothing(tmp_path):
    values, prices, train, test, groups = shop(lines=False)
    items, columns = fit(tmp_path, values, prices, train, groups)
    found = in_log_price(items, columns, "weighted_mean")
    assert (
        abs(found - prices)[test].mean() > abs(np.median(prices) - prices[test]).mean()
    )


def test_no_price_of_the_own_group_counts(tmp_path):
    """Prices of a group change; what its rows are compared with does not."""
    values, prices, train, _, groups = shop()
    copies = train[[3, 20, 50]]
    groups[copies] = groups[copies[0]]
    items, columns = fit(tmp_path, values, prices, train, groups)
    other = prices.copy()
    other[copies] += 3.0
    changed, found = fit(tmp_path, values, other, train, groups)
    for name in NAMES:
        before, after = (
            in_log_price(*pair, name) for pair in ((items, columns), (changed, found))
        )
        np.testing.assert_allclose(
            after[copies], before[copies], atol=1e-4, err_msg=name
        )
    mean = NAMES.index("mean")
    assert (abs(found - columns)[:, mean] > 0.05).any()


def test_devices_agree(tmp_path):
    values, prices, train, _, groups = shop()
    expected, columns = fit(tmp_path, values, prices, train, groups)
    for mode in ("jit", "pmap"):
        layout = ParallelConfig(mode=mode, devices=8)
        items, found = fit(tmp_path, values, prices, train, groups, layout)
        np.testing.assert_allclose(found, columns, atol=1e-4)
        np.testing.assert_array_equal(items.places, expected.places)


def test_too_few_items_are_refused():
    groups = np.where(np.arange(96) < 60, 7, np.arange(96) + 100)
    # 60 of 96 items are in one group: 36 are left.
    comparables.check_count(36, groups)
    with pytest.raises(UserError, match=r"count=37: 96 training items, less 60 that"):
        comparables.check_count(37, groups)


def test_photos_that_are_all_alike_tell_nothing(tmp_path):
    values, prices, train, _, groups = shop()
    items, columns = fit(tmp_path, np.ones_like(values), prices, train, groups)
    assert np.isfinite(columns).all() and np.isfinite(items.projection).all()
