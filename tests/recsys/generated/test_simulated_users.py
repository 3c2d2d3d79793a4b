"""Simulated users: who they take is what the config plants, and nothing else."""

import dataclasses

import numpy as np
import pytest

from common.errors import UserError
from recsys.generated.simulated_users import SimulationConfig, find_looks, simulate

CONFIG = SimulationConfig(users=300, takers=2.0, idle=0.5)
ITEMS = 6000


@pytest.fixture(scope="module")
def catalogue():
    """Items of 2 x 3 x 4 categories whose features are six directions and a mean."""
    rng = np.random.default_rng(0)
    leaf = rng.integers(24, size=ITEMS)
    nodes = np.stack([leaf // 12, leaf // 4, leaf], axis=1)
    means = rng.normal(size=(24, 16))
    looks = rng.normal(size=(ITEMS, 10)) * np.linspace(4, 2, 10)
    features = means[leaf] + looks @ rng.normal(size=(10, 16))
    return nodes, features


def shares_of(users, codes, count):
    """The share of a user's items with each code, of users with 20 items or more."""
    found = []
    for user in np.flatnonzero(np.bincount(users) >= 20):
        own = codes[users == user]
        found.append(np.bincount(own, minlength=count) / len(own))
    return np.array(found)


def test_looks_are_whitened_within_leaves_and_free_of_the_leaf(catalogue):
    nodes, features = catalogue
    leaf = nodes[:, -1]
    looks = find_looks(features, leaf, 8)
    np.testing.assert_allclose(looks.T @ looks / ITEMS, np.eye(8), atol=1e-9)
    for number in range(24):
        np.testing.assert_allclose(looks[leaf == number].mean(0), 0, atol=1e-9)
    # Shifting a whole leaf changes nothing.
    moved = features + 100.0 * leaf[:, None]
    np.testing.assert_allclose(
        np.abs(find_looks(moved, leaf, 8)), np.abs(looks), rtol=1e-5, atol=1e-6
    )


def test_features_that_vary_too_little_are_refused(catalogue):
    nodes, features = catalogue
    flat = features.copy()
    flat[:, 5:] = 0
    with pytest.raises(UserError, match="fewer than 8 directions within categories"):
        find_looks(flat, nodes[:, -1], 8)


def test_pairs_are_distinct_in_the_order_of_time_and_of_the_planned_number(catalogue):
    users, items, times = simulate(*catalogue, CONFIG)
    assert len(np.unique(users.astype(np.int64) * ITEMS + items)) == len(users)
    assert (np.diff(times) >= 0).all()
    # Geometric from 1 with mean 2: half of the items have one user.
    counts = np.bincount(items, minlength=ITEMS)
    assert counts.min() == 1
    assert abs(counts.mean() - 2.0) < 0.06
    assert abs((counts == 1).mean() - 0.5) < 0.03
    again = simulate(*catalogue, CONFIG)
    for found, wanted in zip(again, (users, items, times), strict=True):
        np.testing.assert_array_equal(found, wanted)
    other = simulate(*catalogue, dataclasses.replace(CONFIG, seed=1))
    assert len(other[0]) != len(users) or (other[0] != users).any()


def test_activity_is_uneven_as_planned(catalogue):
    """40 on average: 1 for half of the users, 1 to 400 for the others, log-uniform."""

    def counts(**changes):
        users = simulate(*catalogue, dataclasses.replace(CONFIG, **changes))[0]
        return np.sort(np.bincount(users, minlength=CONFIG.users))

    half, none = counts(), counts(idle=0.0)
    assert half[-30:].sum() > 0.4 * half.sum()
    # log 5 / log 400 of the others have 5 or fewer, too.
    assert 0.5 < np.mean(half <= 5) < 0.7
    # (exp(L) - 1) / L = 40 for L = 5.4: log 5 / 5.4.
    assert np.mean(none <= 5) == pytest.approx(0.3, abs=0.1)


def test_users_need_branches_and_the_switch_undoes_it(catalogue):
    """Leaves below one node go together, unless each leaf stands for itself."""
    nodes, features = catalogue

    def agreement(**changes):
        users, items, _ = simulate(
            nodes, features, dataclasses.replace(CONFIG, **changes)
        )
        shares = shares_of(users, nodes[items, -1], 24)  # [U, 24]
        liked = np.corrcoef(np.log(shares.T + 0.01))
        parents = np.arange(24) // 4
        siblings = (parents[:, None] == parents) & ~np.eye(24, dtype=bool)
        apart = np.arange(24)[:, None] // 12 != np.arange(24) // 12
        return liked[siblings].mean() - liked[apart].mean()

    assert agreement() > 0.3
    assert abs(agreement(hierarchy=False)) < 0.15


def test_users_like_looks_and_the_switch_undoes_it(catalogue):
    """What a user took looks alike, beyond its categories, only where it is planted."""
    nodes, features = catalogue
    looks = find_looks(features, nodes[:, -1], 8)

    def likeness(**changes):
        users, items, _ = simulate(
            nodes, features, dataclasses.replace(CONFIG, **changes)
        )
        means = [
            looks[items[users == user]].mean(0)
            for user in np.flatnonzero(np.bincount(users) >= 20)
        ]
        return np.mean(np.square(means))  # 1 / n for n unrelated looks

    assert likeness() > 0.3
    assert likeness(looks=False) < 0.06


@pytest.mark.parametrize("changes", [{"users": 3}, {"takers": 0.5}, {"idle": 1.0}])
def test_bad_configs_are_refused(changes):
    with pytest.raises(UserError, match=next(iter(changes))):
        SimulationConfig(**changes)
