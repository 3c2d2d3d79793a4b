import dataclasses

import numpy as np
import pytest
from scipy import stats

from recsys.corpus.tree import CategoryTree
from recsys.generated import latents
from recsys.generated.parameters import (
    DIMENSIONS,
    LEVELS,
    SCALES,
    TABLE_1,
    TOPS,
    ClosetConfig,
)
from recsys.generated.tree import branches

SUBSETS = ("men", "women", "kids", "mix", "artworks")
SWITCHES = (
    "uniqueness",
    "hierarchy",
    "visual_style",
    "leaf_style",
    "user_side",
    "drift",
)
CONFIG = ClosetConfig()
MANY = latents.sample_items(CONFIG, np.arange(20_000))


def fields(found):
    return {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}


def test_the_tree_has_the_papers_nodes():
    tree = branches("whole")
    built, leaf = CategoryTree.from_paths(tree.paths)
    assert built.level_sizes == (13, 149, 1233)
    # The leaves are numbered as that tree numbers them.
    np.testing.assert_array_equal(leaf, np.arange(1233))
    np.testing.assert_array_equal(built.ancestors, tree.nodes)
    assert tree.shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("subset, tops", [("men", ["men"]), ("mix", None)])
def test_a_subset_has_its_branches(subset, tops):
    tree = branches(subset)
    tops = tops or ["kids", "men", "women"]
    assert sorted({path[0] for path in tree.paths}) == tops
    groups = {path[:2] for path in tree.paths}
    assert len(groups) == sum(TOPS[top] for top in tops)
    assert list(tree.paths) == sorted(tree.paths)
    assert tree.shares.sum() == pytest.approx(1)
    # Long-tailed, but no leaf is empty.
    assert tree.shares.max() > 5 * np.median(tree.shares)
    assert tree.shares.min() * TABLE_1[subset][1] > 20


@pytest.mark.parametrize("subset", SUBSETS)
def test_items_find_as_many_users_as_in_table_1(subset):
    config = ClosetConfig(subset=subset)
    _, items, interactions = TABLE_1[subset]
    number = latents.takers(config, latents.sample_items(config, np.arange(items)))
    assert number.sum() == pytest.approx(interactions, rel=0.01)
    assert number.min() == 1 and number.max() <= 20
    # Close to geometric: its share of ones, and few items with five or more.
    mean = interactions / items
    assert np.mean(number == 1) == pytest.approx(1 / mean, abs=0.05)
    assert np.mean(number < 5) > (0.97 if mean < 1.7 else 0.92)
    # After a random 8:1:1 split nobody else of the item is in training.
    unseen = np.sum(number * 0.2 ** (number - 1)) / number.sum()
    assert 0.30 < unseen < 0.50


@pytest.mark.parametrize("subset", SUBSETS)
def test_activity_is_uneven_with_the_mean_of_table_1(subset):
    config = ClosetConfig(subset=subset)
    expected = latents.sample_users(config).expected
    mean = TABLE_1[subset][2] / TABLE_1[subset][0]
    assert expected.mean() == pytest.approx(mean)
    most = 0.35 if subset == "mix" else 0.6
    assert np.mean(expected < 5) > most
    assert np.median(expected) < 0.05 * mean
    assert 10 * mean < expected.max() < 0.08 * TABLE_1[subset][2]
    # Users with a test item: what the paper's tables were averaged over.
    tested = 1 - np.exp(-0.1 * expected) + 0.1 * np.exp(-expected)
    paper = {"men": 391, "women": 387, "kids": 185, "mix": 239, "artworks": 248}
    assert tested.sum() == pytest.approx(paper[subset], rel=0.3)


def test_an_item_is_the_same_in_any_company_and_number():
    other = ClosetConfig(user_count=50, item_count=30_000, interaction_count=46_689)
    some = latents.sample_items(other, np.array([12_345, 7]))
    for name, values in fields(some).items():
        np.testing.assert_array_equal(values, fields(MANY)[name][[12_345, 7]])
    number = latents.takers(CONFIG, MANY)[[12_345, 7]]
    np.testing.assert_array_equal(latents.takers(other, some), number)


def test_a_user_is_the_same_in_any_number():
    few = latents.sample_users(ClosetConfig(user_count=30, interaction_count=318_000))
    many = latents.sample_users(CONFIG)
    np.testing.assert_array_equal(few.taste, many.taste[:30])


def test_seeds_make_other_items_and_users():
    other = ClosetConfig(seed=1)
    found = latents.sample_items(other, np.arange(200))
    assert not np.any(found.look == MANY.look[:200])
    assert np.mean(found.leaf == MANY.leaf[:200]) < 0.2
    tastes = latents.sample_users(other).taste, latents.sample_users(CONFIG).taste
    assert not np.any(tastes[0][:5] == tastes[1][:5])


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_moves_no_draw(switch):
    config = ClosetConfig(**{switch: False})
    found = latents.sample_items(config, np.arange(500))
    for name, values in fields(found).items():
        np.testing.assert_array_equal(values, fields(MANY)[name][:500])
    users, known = latents.sample_users(config), latents.sample_users(CONFIG)
    np.testing.assert_array_equal(users.taste, known.taste)
    if switch != "uniqueness":
        np.testing.assert_array_equal(
            latents.takers(config, found), latents.takers(CONFIG, MANY)[:500]
        )
        same = np.array_equal(users.expected, known.expected)
        assert same == (switch != "user_side")
    same = np.array_equal(
        latents.traits(config, found), latents.traits(CONFIG, MANY)[:500]
    )
    assert same == (switch not in ("hierarchy", "user_side", "drift"))


def test_items_come_by_leaf_and_evenly_over_time():
    shares = branches("men").shares
    found = np.bincount(MANY.leaf, minlength=len(shares)) / len(MANY.ids)
    error = 4.5 * np.sqrt(shares * (1 - shares) / len(MANY.ids))
    assert np.all(np.abs(found - shares) < error)
    assert stats.kstest(MANY.day / 184, "uniform").pvalue > 1e-3
    moments = latents.moments_of(np.array([0.0, 0.18, 183.99]))
    assert moments.tolist() == [0, 1, 1023]


def test_good_items_find_more_users():
    number = latents.takers(CONFIG, MANY)
    good, bad = MANY.quality > 1, MANY.quality < -1
    for chosen in (good, bad):
        wanted = latents.expected_takers(CONFIG, MANY.quality[chosen]).mean()
        assert number[chosen].mean() == pytest.approx(wanted, rel=0.03)
    assert number[good].mean() > 1.4 * number[bad].mean()


def deviations(config, part):
    """Root mean square over users and items of what a part adds."""
    parts = latents.item_parts(config, MANY)
    known = latents.weigh(config, {part: parts[part]})
    return np.sqrt(np.mean(np.sum(known**2, axis=1)))


def test_parts_weigh_as_the_scales_say():
    for part in DIMENSIONS:
        wanted = 0.0 if part == "top" else SCALES[part]  # there is one top
        assert deviations(CONFIG, part) == pytest.approx(wanted, rel=0.15), part
    assert deviations(ClosetConfig(subset="mix"), "top") == pytest.approx(1.5)


def test_leaves_share_their_parents_and_add_nothing_to_them():
    tree = branches("men")
    needs = latents.needs("men", 0, True)
    for group in range(3):
        below = tree.nodes[:, 1] == np.unique(tree.nodes[:, 1])[group]
        assert len(np.unique(needs["middle"][below], axis=0)) == 1
        np.testing.assert_allclose(needs["leaf"][below].mean(axis=0), 0, atol=1e-12)
        assert np.mean(needs["leaf"][below] ** 2) == pytest.approx(1)


def sibling_correlation(config):
    """How alike a user feels for two leaves of one group, over users."""
    tree, users = branches(config.subset), latents.sample_users(config)
    needs = latents.needs(config.subset, config.seed, config.hierarchy)
    known = latents.weigh(config, {name: needs[name] for name in LEVELS})
    felt = users.taste[:, : known.shape[1]] @ known.T  # [U, C]
    like = np.corrcoef(felt.T)
    same = tree.nodes[:, None, 1] == tree.nodes[:, 1]
    return like[same & ~np.eye(len(like), dtype=bool)].mean()


def test_needs_hold_for_the_leaves_below_and_the_switch_undoes_it():
    on = ClosetConfig(subset="mix")
    assert sibling_correlation(on) > 0.6
    off = ClosetConfig(subset="mix", hierarchy=False)
    assert abs(sibling_correlation(off)) < 0.1
    total = np.sqrt(sum(SCALES[level] ** 2 for level in LEVELS))
    assert deviations(off, "leaf") == pytest.approx(total)
    assert deviations(off, "top") == deviations(off, "middle") == 0


def test_without_user_side_users_differ_below_the_second_level_alone():
    off = ClosetConfig(subset="mix", user_side=False)
    assert deviations(off, "top") == deviations(off, "middle") == 0
    assert deviations(off, "leaf") == deviations(ClosetConfig(subset="mix"), "leaf")
    assert np.ptp(latents.sample_users(off).expected) == 0


def agreement(config, share, day):
    """Correlation of the affinity on a day with that of the training days."""
    parts = latents.item_parts(config, latents.sample_items(config, np.arange(300)))
    taste = latents.sample_users(config).taste
    known = taste @ latents.turn_on_average(config, parts, share).T
    return np.corrcoef(
        (taste @ latents.turn(config, parts, day).T).ravel(), known.ravel()
    )[0, 1]


def test_preferences_drift_away_from_those_of_training():
    days = np.linspace(0, 184, 300)
    late = np.linspace(166, 184, 300)
    assert agreement(CONFIG, 1.0, days) > 0.94  # cos(0.25) on average
    assert agreement(CONFIG, 0.8, late) < 0.89  # cos(0.55)
    off = ClosetConfig(drift=False)
    assert agreement(off, 0.8, late) == pytest.approx(1)
