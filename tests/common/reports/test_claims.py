import math

import numpy as np
import pytest
from scipy import stats

from common.reports import claims


def test_the_interval_is_that_of_the_paired_t_test():
    better, worse = [0.52, 0.55, 0.50, 0.56, 0.53], [0.50, 0.51, 0.49, 0.55, 0.50]
    verdict = claims.verdict_on("x", better, worse)
    oracle = stats.ttest_rel(better, worse).confidence_interval(0.95)
    assert (verdict.low, verdict.high) == pytest.approx((oracle.low, oracle.high))
    assert verdict.difference == pytest.approx(0.022)
    assert verdict.held


def test_a_difference_within_its_interval_is_not_held():
    assert not claims.verdict_on("x", [0.5, 0.6], [0.5, 0.5]).held
    one = claims.verdict_on("x", [0.6], [0.5])
    assert not one.held and one.low == -math.inf


@pytest.mark.parametrize(
    ("differences", "held"),
    [
        ((0.01, 0.02, 0.03), True),  # ahead
        ((0.0, 0.0, 0.0), True),  # level
        ((-0.05, 0.04, -0.01), True),  # -0.0067, within its interval of 0
        ((-0.01, 0.01, -0.03), True),  # -0.01 is no more than the margin
        ((-0.05, 0.04, -0.03), False),  # -0.0133 is more
        # -0.008 and wholly below 0: half width 4.303 * 0.001 / sqrt(3) = 0.0025.
        ((-0.007, -0.008, -0.009), False),
    ],
)
def test_not_behind_allows_a_margin_but_no_sure_loss(differences, held):
    worse = np.array([0.4, 0.5, 0.45])
    better = worse + differences
    assert claims.verdict_on("x", better, worse, margin=0.01).held == held


def test_one_seed_shows_nothing():
    assert not claims.verdict_on("x", [0.43], [0.42], margin=0.01).held


def test_verdicts_as_a_table():
    held = claims.Verdict("a", 0.02, 0.01, 0.03, True)
    open_ = claims.Verdict("b", -0.02, -math.inf, math.inf, False)
    first, second = claims.rows_of([held, open_])
    assert list(first.values()) == ["a", "+0.020", "+0.010 to +0.030", "held"]
    assert list(second.values()) == ["b", "-0.020", "none: a single run", "open"]
    behind = claims.Verdict("c", -0.02, -0.03, -0.01, False)
    (third,) = claims.rows_of([behind])
    assert list(third.values()) == ["c", "-0.020", "-0.030 to -0.010", "lost"]


def test_the_interval_over_seeds_and_requests_written_out():
    worse = np.full((2, 3), 0.5)
    better = worse + [[1.0, 2.0, 6.0], [3.0, 2.0, 10.0]]
    verdict = claims.verdict_over_pairs("x", better, worse)
    # Means of seeds 3, 5 and of requests 2, 2, 8, of all 4. MS_s = 3 * 2 = 6,
    # MS_r = 2 * 12 = 24; rest [0, 1, -1], [0, -1, 1], so MS_e = 4 / 2 = 2.
    # Variance (6 + 22) / 6, freedom 28^2 / (6^2 / 1 + 22^2 / 2) = 784 / 278.
    half = stats.t.ppf(0.975, 784 / 278) * math.sqrt(28 / 6)
    assert verdict.difference == pytest.approx(4.0)
    assert (verdict.low, verdict.high) == pytest.approx((4 - half, 4 + half))
    assert not verdict.held
    assert claims.verdict_over_pairs("x", 10 + better, worse).held


def test_the_variance_is_the_two_way_cluster_robust_one():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(4, 1)) + rng.normal(size=(1, 9)) + rng.normal(size=(4, 9))
    # Cameron, Gelbach and Miller: sums of deviations by cluster, each with the
    # correction G / (G - 1); the corrected intersection is that of the rest alone.
    deviations = table - table.mean()
    over_seeds = (deviations.sum(axis=1) ** 2).sum() / 36**2 * 4 / 3
    over_requests = (deviations.sum(axis=0) ** 2).sum() / 36**2 * 9 / 8
    rest = deviations - deviations.mean(1, keepdims=True) - deviations.mean(0)[None]
    over_pairs = (rest**2).sum() / 36 / (3 * 8)
    assert over_requests > over_pairs
    a, b = over_seeds, over_requests - over_pairs
    freedom = (a + b) ** 2 / (a**2 / 3 + b**2 / 8)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(a + b)
    verdict = claims.verdict_over_pairs("x", table, np.zeros_like(table))
    assert verdict.high - verdict.difference == pytest.approx(half)


def test_where_requests_say_nothing_seeds_alone_count():
    """Each request the same: the interval is that of the paired t test over seeds."""
    of_seed = np.array([0.02, 0.04, 0.01, 0.04, 0.03])
    better = np.repeat(of_seed[:, None], 7, axis=1)  # [S, R]
    verdict = claims.verdict_over_pairs("x", better, np.zeros((5, 7)))
    oracle = claims.verdict_on("x", of_seed, np.zeros(5))
    assert (verdict.low, verdict.high) == pytest.approx((oracle.low, oracle.high))
    level = claims.verdict_over_pairs("x", better, better)
    assert (level.low, level.high, level.held) == (0.0, 0.0, False)


@pytest.mark.parametrize(
    ("seeds", "requests", "of_seed", "of_request", "rest"),
    [
        (5, 300, 0.0, 0.0, 1.0),
        (5, 300, 0.05, 0.3, 1.0),  # the terms are as large as each other
        (5, 300, 0.3, 0.0, 0.5),
        (5, 300, 0.1, 1.0, 1.0),
        (5, 20, 0.1, 1.0, 0.1),
        (10, 100, 0.5, 0.2, 1.0),
    ],
)
def test_the_interval_holds_the_truth_in_95_of_100(
    seeds, requests, of_seed, of_request, rest
):
    rng, runs, found = np.random.default_rng(1), 1000, 0
    for _ in range(runs):
        table = of_seed * rng.standard_normal((seeds, 1))
        table = table + of_request * rng.standard_normal((1, requests))
        table = table + rest * rng.standard_normal((seeds, requests))
        verdict = claims.verdict_over_pairs("x", table, np.zeros_like(table))
        found += verdict.low <= 0.0 <= verdict.high
    # 3 standard errors of a share of 1,000 are 0.021.
    assert abs(found / runs - 0.95) < 0.025


def test_requests_or_seeds_alone_would_be_too_sure():
    """What the table is for: one mean a seed forgets that the requests are shared."""
    rng, naive, runs = np.random.default_rng(2), 0, 300
    for _ in range(runs):
        table = rng.standard_normal((1, 50)) + 0.1 * rng.standard_normal((5, 50))
        verdict = claims.verdict_on("x", table.mean(axis=1), np.zeros(5))
        naive += verdict.low <= 0.0 <= verdict.high
    assert naive / runs < 0.5


def test_what_is_no_table_of_pairs_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        claims.verdict_over_pairs("x", [[1.0, math.nan], [0.0, 1.0]], np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"\[S, R\]"):
        claims.verdict_over_pairs("x", [[1.0, 2.0]], [[1.0], [2.0]])
    one = claims.verdict_over_pairs("x", [[1.0, 2.0]], [[0.0, 0.0]])
    assert not one.held and one.low == -math.inf


def test_a_margin_counts_over_pairs_too():
    rng = np.random.default_rng(3)
    table = rng.standard_normal((5, 40)) - 0.01
    level = claims.verdict_over_pairs("x", table, np.zeros_like(table), margin=0.2)
    behind = claims.verdict_over_pairs("x", table - 1, np.zeros_like(table), margin=0.2)
    assert level.held and not behind.held


def autocorrelated(rng, windows, memory):
    noise = rng.normal(size=windows + 50)
    for t in range(1, len(noise)):
        noise[t] += memory * noise[t - 1]
    return noise[50:]


def test_the_interval_over_windows_is_that_of_all_block_samples():
    differences = np.array([0.0, 1.0, 5.0, 2.0])
    # Two blocks of two of four windows, the first following the last: 16 samples.
    sums = differences + np.roll(differences, -1)
    means = np.sort(np.add.outer(sums, sums).ravel() / 4)
    verdict = claims.verdict_over_windows("x", differences, np.zeros(4), block=2)
    # Every sample has a share of 1 / 16, so 2.5 % and 97.5 % fall on the outermost.
    assert (verdict.low, verdict.high) == (means[0], means[-1]) == (0.5, 3.5)
    assert verdict.difference == pytest.approx(2.0) and verdict.held
    # Three windows of a block of two: the second block is cut to one window.
    verdict = claims.verdict_over_windows("x", [0.0, 3.0, 9.0], np.zeros(3), block=2)
    assert (verdict.low, verdict.high) == pytest.approx((1.0, 7.0))


def test_independent_windows_have_the_interval_of_the_mean():
    rng = np.random.default_rng(3)
    better, worse = rng.normal(0.1, 1, 400), rng.normal(0, 1, 400)
    verdict = claims.verdict_over_windows("x", better, worse)
    differences = better - worse
    half = 1.96 * differences.std() / math.sqrt(400)
    assert verdict.low == pytest.approx(differences.mean() - half, abs=0.05 * half)
    assert verdict.high == pytest.approx(differences.mean() + half, abs=0.05 * half)
    assert verdict == claims.verdict_over_windows("x", better, worse)
    assert verdict != claims.verdict_over_windows("x", better, worse, seed=1)


def test_blocks_cover_the_mean_of_windows_that_resemble_each_other():
    rng = np.random.default_rng(4)
    missed = {1: 0, 12: 0}
    for _ in range(40):
        differences = autocorrelated(rng, 120, 0.7)
        for block in missed:
            verdict = claims.verdict_over_windows(
                "x", differences, 0 * differences, block
            )
            missed[block] += not verdict.low <= 0 <= verdict.high
    # An interval of independent windows is 2.4 x too narrow: it misses in about 40 %.
    assert missed[1] > 8 and missed[12] < 9


def test_not_behind_over_windows_allows_a_margin():
    worse = np.full(4, 0.4)
    better = worse + [0.01, -0.01, -0.03, 0.01]
    assert claims.verdict_over_windows("x", better, worse, margin=0.01).held
    assert not claims.verdict_over_windows("x", better, worse, margin=0.001).held
    assert not claims.verdict_over_windows("x", better, worse).held


def test_windows_that_can_not_be_compared_are_refused():
    assert claims.verdict_over_windows("x", [1.0], [0.0]).low == -math.inf
    with pytest.raises(ValueError, match="not finite"):
        claims.verdict_over_windows("x", [1.0, math.nan], [0.0, 0.0])
    with pytest.raises(ValueError, match="twice"):
        claims.verdict_over_windows("x", [1.0, 2.0], [0.0])
    for block in (0, 3):
        with pytest.raises(ValueError, match="a block has 1 to 2"):
            claims.verdict_over_windows("x", [1.0, 2.0], [0.0, 0.0], block=block)
