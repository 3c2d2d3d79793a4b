import dataclasses

import numpy as np
import pytest

from common.config import configs
from common.errors import UserError
from recsys.corpus.interactions import Interactions
from recsys.corpus.splits import split
from recsys.generated import choices, closet, latents, parameters
from recsys.generated.parameters import ClosetConfig
from tests.recsys.generated.ceilings import affinities

SMALL = ClosetConfig(user_count=120, item_count=4000, interaction_count=6300)
USERS, ITEMS, TIMES = closet.interactions(SMALL)


def unseen_share(config):
    parts = split(Interactions(*closet.interactions(config)), "random")
    return 1 - np.mean(np.isin(parts["test"].items, parts["train"].items))


def test_mix_is_as_in_table_1():
    config = ClosetConfig(subset="mix")
    users, items, times = closet.interactions(config)
    assert len(users) == pytest.approx(355_264, rel=0.01)
    assert np.array_equal(np.unique(users), np.arange(400))
    assert np.array_equal(np.unique(items), np.arange(200_731))
    assert np.mean(np.bincount(users) < 5) > 0.3
    expected = latents.sample_users(config).expected
    heavy = expected > 200
    assert 80 < heavy.sum() < 200
    found = np.bincount(users)[heavy]
    np.testing.assert_allclose(found, expected[heavy], rtol=0.6)
    assert np.median(found / expected[heavy]) == pytest.approx(1, abs=0.1)
    pairs = users.astype(np.int64) << 32 | items
    assert len(np.unique(pairs)) == len(pairs)
    assert 180 < np.ptp(times) / 86_400 < 260
    assert np.all(np.diff(times) >= 0)
    parts = split(Interactions(users, items, times), "random")
    unseen = 1 - np.mean(np.isin(parts["test"].items, parts["train"].items))
    assert 0.35 < unseen < 0.45
    assert 200 < len(np.unique(parts["test"].users)) < 280  # 239 in the paper


def test_interactions_are_arrays_that_the_library_takes():
    found = Interactions(USERS, ITEMS, TIMES)
    assert [a.dtype for a in (USERS, ITEMS, TIMES)] == [np.int32, np.int32, np.float64]
    assert found.deduplicate()[1] == 0
    start = np.datetime64("2018-03-01", "s").astype(float)
    assert start < TIMES.min() < start + 5 * 86_400


@pytest.mark.parametrize("subset", ["men", "mix"])
def test_test_items_are_often_unseen_and_hardly_ever_where_items_are_common(subset):
    sizes = {"user_count": 150, "interaction_count": 6000}
    mean = parameters.TABLE_1[subset]
    items = round(6000 * mean[1] / mean[2])
    on = ClosetConfig(subset=subset, item_count=items, **sizes)
    assert 0.3 < unseen_share(on) < 0.55
    off = dataclasses.replace(on, uniqueness=False)
    assert off.counts().items == round(6000 / 15)
    assert unseen_share(off) < 0.02
    assert len(closet.interactions(off)[0]) == pytest.approx(6000, rel=0.2)


def test_interactions_are_drawn_again_alike():
    for again, before in zip(
        closet.interactions(SMALL), (USERS, ITEMS, TIMES), strict=True
    ):
        np.testing.assert_array_equal(again, before)
    other = closet.interactions(dataclasses.replace(SMALL, seed=1))
    assert not np.array_equal(other[0][:100], USERS[:100])


def test_takers_do_not_depend_on_other_items():
    """With even activity, since its spread comes from the number of interactions."""
    few = dataclasses.replace(SMALL, user_side=False)
    many = dataclasses.replace(few, item_count=8000, interaction_count=12_600)
    users, items, _ = closet.interactions(few)
    more_users, more_items, _ = closet.interactions(many)
    kept = set(zip(users.tolist(), items.tolist(), strict=True))
    old = more_items < 4000
    found = set(zip(more_users[old].tolist(), more_items[old].tolist(), strict=True))
    assert kept == found


def test_switches_of_photos_leave_the_interactions():
    off = dataclasses.replace(SMALL, visual_style=False, leaf_style=False)
    found = closet.interactions(off)
    np.testing.assert_array_equal(found[0], USERS)
    np.testing.assert_array_equal(found[1], ITEMS)
    np.testing.assert_array_equal(found[2], TIMES)


@pytest.mark.parametrize("switch", ["hierarchy", "user_side", "drift"])
def test_switches_of_tastes_leave_how_many_and_when(switch):
    found = closet.interactions(dataclasses.replace(SMALL, **{switch: False}))
    # But for the few who would go empty-handed.
    numbers = np.bincount(found[1]) - np.bincount(ITEMS)
    assert np.abs(numbers).sum() < 150
    assert not np.array_equal(found[0][:200], USERS[:200])
    if switch == "user_side":
        assert np.bincount(found[0]).std() < 0.4 * np.bincount(found[0]).mean()
    # Who still takes an item, does so at the same time.
    pairs = [u.astype(np.int64) << 32 | i for u, i in (found[:2], (USERS, ITEMS))]
    both, mine, theirs = np.intersect1d(*pairs, return_indices=True)
    assert len(both) > 200
    np.testing.assert_array_equal(found[2][mine], TIMES[theirs])


def test_users_take_what_they_like():
    """Chances are a softmax of weight and affinity: the mean score is as expected."""
    config = dataclasses.replace(SMALL, drift=False, user_count=40)
    ids = np.arange(4000)
    items = latents.sample_items(config, ids)
    known, users = (
        latents.traits(config, items),
        latents.sample_users(config),
    )
    keys = known @ users.taste.T + choices.log_weights(config)
    alone = latents.takers(config, items) == 1
    odds = np.exp(keys[alone] - keys[alone].max(axis=1, keepdims=True))
    moments = latents.moments_of(items.day[alone])
    for moment in np.unique(moments):
        looking = np.isin(np.arange(40), choices.candidates(config, int(moment)))
        odds[moments == moment] *= looking
    chances = odds / odds.sum(axis=1, keepdims=True)
    who, what, _ = choices.interactions(config)
    single = np.isin(what, ids[alone]) & (np.bincount(what)[what] == 1)
    taken = chances[np.searchsorted(ids[alone], what[single]), who[single]]
    wanted, spread = (chances**2).sum(1).mean(), taken.std() / np.sqrt(len(taken))
    assert taken.mean() == pytest.approx(wanted, abs=4 * spread)


def test_nobody_goes_empty_handed():
    assert np.bincount(USERS, minlength=120).min() >= 1
    closest = choices._Closest(3)
    closest.see(np.array([0, 2]), np.array([8, 9]), np.array([[0.5, 0.1], [0.2, 0.4]]))
    closest.see(np.array([1, 2]), np.array([5]), np.array([[0.3, 0.2]]))
    who, what = closest.rescue(np.array([1]))
    assert who.tolist() == [0, 2] and what.tolist() == [8, 9]


def test_the_largest_are_taken_row_by_row():
    keys = np.array([[0.1, 0.9, 0.5], [0.7, 0.2, 0.3]])
    rows, columns, last = choices._take_largest(keys, np.array([2, 1]))
    found = sorted(zip(rows.tolist(), columns.tolist(), strict=True))
    assert found == [(0, 1), (0, 2), (1, 0)]
    assert last.tolist() == [0.5, 0.7]
    np.testing.assert_array_equal(keys, [[0.1, 0, 0], [0, 0.2, 0.3]])


def test_large_crowds_see_some_of_the_items():
    config = ClosetConfig(user_count=8000, item_count=9000, interaction_count=14_000)
    found = choices.candidates(config, 3)
    assert len(found) == pytest.approx(2048, abs=200)
    assert not np.array_equal(found, choices.candidates(config, 4))


def test_paths_name_the_leaf():
    index, names = closet.paths(SMALL, np.array([5, 3, 5]))
    assert names[0] == names[2] == closet.leaves(SMALL)[index[0]]
    assert index.dtype == np.int32 and names[1][0] == "men" and len(names[1]) == 3


def test_truth_adds_up_and_users_prefer_what_they_took():
    found = affinities(SMALL, USERS, ITEMS)
    assert set(found) == {"top", "middle", "leaf", "look", "hidden", "affinity"}
    total = found["top"] + found["middle"] + found["leaf"]
    np.testing.assert_allclose(
        found["affinity"], total + found["look"] + found["hidden"], atol=1e-9
    )
    rng = np.random.default_rng(0)
    by_chance = affinities(SMALL, USERS, rng.permutation(ITEMS))
    for part in ("middle", "leaf", "look", "hidden"):
        assert found[part].mean() > by_chance[part].mean() + 0.1
    assert found["affinity"].mean() > by_chance["affinity"].mean() + 3


def test_the_fingerprint_tells_configs_and_parameters_apart(monkeypatch):
    changes = ({}, {"seed": 1}, {"drift": False}, {"subset": "mix"}, {"size": "small"})
    known = {closet.fingerprint(ClosetConfig(**change)) for change in changes}
    monkeypatch.setattr(parameters, "TURNS", {"middle": 0.1, "leaf": 0.1})
    known.add(closet.fingerprint(ClosetConfig()))
    monkeypatch.setattr(closet, "GENERATOR_VERSION", 99)
    known.add(closet.fingerprint(ClosetConfig()))
    assert len(known) == 7


def test_sizes_follow_the_subset_and_can_be_overridden():
    assert ClosetConfig(subset="mix").counts() == closet.Counts(400, 200_731, 355_264)
    small = ClosetConfig(size="small").counts()
    assert small == closet.Counts(250, 13_280, 20_668)
    assert ClosetConfig(size="small", user_count=99).counts().users == 99
    whole = ClosetConfig(subset="whole")
    assert len(closet.leaves(whole)) == 1233


@pytest.mark.parametrize(
    "change, words",
    [
        ({"subset": "pets"}, "subset"),
        ({"feature_width": 16}, "feature_width"),
        ({"item_count": 400_000}, "at least 1.05 per item"),
        ({"item_count": 10_000}, "at most 4 per item"),
        ({"user_count": 300, "item_count": 200, "interaction_count": 310}, "per user"),
    ],
)
def test_bad_configs_are_refused(change, words):
    with pytest.raises(UserError, match=words):
        ClosetConfig(**change)


def test_every_knob_becomes_a_flag():
    names = [name for name, *_ in configs.leaves(ClosetConfig())]
    assert {"subset", "size", "uniqueness", "user_side", "feature_width"} <= set(names)


def test_race_times_meet_the_numbers_even_where_some_are_sure():
    rng = np.random.default_rng(0)
    rates = np.exp(rng.normal(scale=5, size=(300, 60)))
    numbers = rng.integers(1, 30, 300)
    times = choices.race_times(rates, numbers)
    found = np.sum(1 - np.exp(-rates * times[:, None]), axis=1)
    np.testing.assert_allclose(found, numbers, rtol=0.02)
