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
    assert list(second.values()) == ["b", "-0.020", "-inf to +inf", "not held"]
