import dataclasses

import numpy as np
import pytest
from scipy import stats

from forecast.generated import demand
from forecast.generated.parameters import DemandConfig

CONFIG = DemandConfig(series=60)
SWITCHES = ("dependence", "promotions", "substitution", "intermittency", "seasonality")


def off(*names, config=CONFIG):
    return dataclasses.replace(config, **dict.fromkeys(names, False))


def scores_of(config):
    """Normal scores of sales by the randomised PIT, which are normal if mu is true."""
    panel, world = demand.make_panel(config), demand.make_world(config)
    mean = world.mean[: config.days]
    margin = stats.nbinom(4, 4 / (4 + mean))
    sales = panel.values.astype(np.float64)
    luck = np.random.default_rng(1).random(sales.shape)
    below = margin.cdf(sales - 1)
    return stats.norm.ppf(below + luck * (margin.cdf(sales) - below)), mean


def test_the_panel():
    panel = demand.make_panel(CONFIG)
    assert panel.values.shape == (1100, 60) and panel.future == 28
    assert panel.known_names == ("promotion", "price") and panel.season == 7
    assert (panel.values >= 0).all() and (panel.values % 1 == 0).all()
    assert panel.groups["category"].count("category 2") == 15
    assert panel.times[0].day_name() == "Monday"
    assert set(np.unique(panel.known[..., 0])) == {0, 1}


def test_series_do_not_depend_on_the_size_and_the_seed_decides():
    panel = demand.make_panel(CONFIG)
    small = demand.make_panel(DemandConfig(series=30, days=400))
    np.testing.assert_array_equal(panel.values[:400, :30], small.values)
    np.testing.assert_array_equal(panel.known[:428, :30], small.known)
    assert demand.make_panel(CONFIG).fingerprint == panel.fingerprint
    other = demand.make_panel(dataclasses.replace(CONFIG, seed=1))
    assert (other.values != panel.values).mean() > 0.5


@pytest.mark.parametrize("size", [1, 2, 3, 16])
def test_few_articles(size):
    panel = demand.make_panel(DemandConfig(series=size, days=50))
    assert panel.values.shape == (50, size)
    near = demand.neighbours(size)
    assert (near == near.T).all() and np.diag(near).sum() == 0
    counts = {1: [0], 2: [1, 1], 3: [2] * 3, 16: [2] * 15 + [0]}[size]
    assert near.sum(axis=0).tolist() == counts


@pytest.mark.parametrize("dependence", [True, False])
def test_the_planted_correlation_is_in_the_sales(dependence):
    config = dataclasses.replace(CONFIG, dependence=dependence)
    scores, mean = scores_of(config)
    fast = mean.mean(axis=0) > 2  # the luck of the PIT hides that of rare sales
    found = np.corrcoef(scores[:, fast].T)
    expected = demand.true_correlation(config)[np.ix_(fast, fast)]
    pairs = np.triu_indices(len(found), 1)
    error = found[pairs] - expected[pairs]
    # A correlation of 1,100 days has a standard error of 0.03 at most.
    assert np.abs(error).max() < 0.15 and np.sqrt((error**2).mean()) < 0.05
    if dependence:
        assert set(np.round(expected[pairs], 1)) == {0.2, 0.7}
    else:
        assert abs(found[pairs].mean()) < 0.01


def test_margins_are_the_negative_binomial_of_the_mean():
    """Over all switches the scores are standard normal and without memory."""
    for config in (CONFIG, off("dependence", "seasonality")):
        scores, _ = scores_of(config)
        assert abs(scores.mean()) < 0.06  # common shocks: 1,100 days, not 66,000 draws
        assert abs(scores.std() - 1) < 0.03
        lagged = [np.corrcoef(s[1:], s[:-1])[0, 1] for s in scores.T]
        assert abs(np.mean(lagged)) < 0.05


def test_the_mean_by_arithmetic():
    """Of one article of one day, from the parts of the formula."""
    config = off("seasonality", config=CONFIG)
    world = demand.make_world(config)
    plain = demand.make_world(off("seasonality", "promotions"))
    # Article 14's neighbours are 13 and, around the ring, 0.
    day = np.flatnonzero(world.promotion[:, 14] * world.promotion[:, 0])[0]
    level = world.price[0, 14] / (1 - 0.2 * world.promotion[0, 14])
    expected = 0.6 - 1.5 * np.log(world.price[day, 14] / level)
    expected -= 0.4 * (world.promotion[day, 13] + world.promotion[day, 0])
    found = np.log(world.mean[day, 14] / plain.mean[day, 14])
    assert found == pytest.approx(expected, abs=1e-12)
    assert np.ptp(plain.mean, axis=0).max() < 1e-12


def effect(config, flags):
    """Logarithm of sales over what is usual for the article, on days with flags."""
    panel = demand.make_panel(config)
    fast = panel.values.mean(axis=0) > 4
    sales, flags = panel.values[:, fast], flags[:, fast]
    usual = sales.mean(axis=0)
    ratio = sales / usual[None, :]
    return np.log(ratio[flags].mean() / ratio[~flags].mean())


def test_promotions_lift_and_take_from_neighbours():
    base = off("dependence", "seasonality")
    world = demand.make_world(base)
    promoted = world.promotion[: base.days] > 0
    beside = world.promotion[: base.days] @ demand.neighbours(base.series)
    # A promotion gains 0.6, and 0.33 by a price that is 20 % lower.
    assert effect(base, promoted) == pytest.approx(0.6 - 1.5 * np.log(0.8), abs=0.06)
    assert effect(off("promotions", config=base), promoted) == pytest.approx(
        0, abs=0.03
    )
    # Neighbours lose 0.4 each; about one of twenty such days has two of them.
    assert effect(base, beside == 1) == pytest.approx(-0.4, abs=0.08)
    without = off("substitution", config=base)
    assert effect(without, beside == 1) == pytest.approx(0, abs=0.06)
    assert effect(without, promoted) == pytest.approx(0.93, abs=0.06)


def test_share_of_zeros():
    for config, most in ((CONFIG, 0.35), (off("intermittency"), 0.05)):
        panel, world = demand.make_panel(config), demand.make_world(config)
        # (1 + a mean)^(-1 / a) with a = 1/4.
        expected = (1 + world.mean[: config.days] / 4) ** -4
        found = (panel.values == 0).mean(axis=0)
        np.testing.assert_allclose(found, expected.mean(axis=0), atol=0.08)
        assert found.mean() == pytest.approx(expected.mean(), abs=0.01)
        assert found.mean() < most
    slow = (demand.make_panel(CONFIG).values == 0).mean(axis=0) > 0.4
    assert slow.sum() == 16  # 4 of 15


def test_seasons():
    def spread(config):
        panel = demand.make_panel(config)
        fast = panel.values[:, panel.values.mean(axis=0) > 2]
        weeks = fast[:1099].reshape(-1, 7, fast.shape[1])
        days = weeks.mean(axis=0) / weeks.mean(axis=(0, 1))
        months = fast[:1092].reshape(-1, 28, fast.shape[1]).mean(axis=1)
        return days.std(axis=0).mean(), (months / months.mean(0)).std(axis=0).mean()

    week, year = spread(off("promotions", "dependence"))
    no_week, no_year = spread(off("promotions", "dependence", "seasonality"))
    assert week > 0.2 and no_week < 0.06
    assert year > 0.25 and no_year < 0.13


def test_the_switches_leave_the_draws_alone():
    panel = demand.make_panel(CONFIG)
    for name in SWITCHES:
        other = demand.make_panel(off(name))
        np.testing.assert_array_equal(other.known, panel.known)
        assert other.fingerprint != panel.fingerprint


@pytest.mark.parametrize("dependence", [True, False])
def test_the_truth_as_paths(dependence):
    config = dataclasses.replace(CONFIG, dependence=dependence)
    paths = demand.draw_truth(config, 1100, 14, 400, seed=3)
    assert paths.shape == (400, 14, 60)
    mean = demand.make_world(config).mean[1100:1114]
    error = (paths.mean(axis=0) - mean) / np.sqrt((mean + mean**2 / 4) / 400)
    assert np.sqrt((error**2).mean()) == pytest.approx(1, abs=0.25)
    logs = np.log1p(paths[..., [44, 43, 0]])
    same = [np.corrcoef(logs[:, day].T) for day in range(14)]
    within, across = np.mean([(c[0, 1], c[0, 2]) for c in same], axis=0)
    if dependence:
        assert within > 0.2 and 0.05 < across < 0.25
    else:
        assert abs(within) < 0.03 and abs(across) < 0.03


def test_the_truth_recovers_its_correlation_and_shuffled_paths_lose_it():
    config, starts = DemandConfig(series=30), (500, 700)
    paths = np.stack([demand.draw_truth(config, day, 7, 200, day) for day in starts])
    found = demand.recover_correlation(config, starts, paths)
    for pairs, planted in (("within", 0.7), ("across", 0.2)):
        assert abs(found[pairs] - found[f"{pairs}_true"]) < 0.02
        assert planted / 2 < found[f"{pairs}_true"] < planted
    assert found["error"] < 0.05
    shuffled = np.random.default_rng(0).permuted(paths, axis=1)
    lost = demand.recover_correlation(config, starts, shuffled)
    assert abs(lost["within"]) < 0.02 and abs(lost["across"]) < 0.02
    assert lost["error"] > 0.2
    alone = DemandConfig(series=1)
    assert demand.recover_correlation(alone, starts, paths[..., :1]) == {}
