import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.reports import calibration


def softmax(scores):
    odds = np.exp(scores - scores.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def test_negative_log_likelihood_by_hand():
    scores = np.array([[math.log(6.0), math.log(2.0)], [0.0, 0.0]])
    expected = (-math.log(0.25) - math.log(0.5)) / 2
    found = calibration.negative_log_likelihood(scores, np.array([1, 0]))
    assert found == pytest.approx(expected)


def test_huge_scores_stay_finite():
    scores = np.array([[1e6, -1e6]])
    found = calibration.negative_log_likelihood(scores, np.array([1]))
    assert found == pytest.approx(2e6)


def test_reliability_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.75, 0.25], [0.5, 0.5]])
    labels = np.array([0, 0, 0, 1])
    found = calibration.reliability(probabilities, labels, bins=2)
    # 0.5 belongs to the bin (0, 0.5]; the tie elects label 0, which is wrong.
    assert found.counts.tolist() == [1, 3]
    np.testing.assert_allclose(found.confidence, [0.5, (0.9 + 0.7 + 0.75) / 3])
    np.testing.assert_allclose(found.accuracy, [0.0, 2 / 3])
    expected = 0.25 * 0.5 + 0.75 * (2.35 / 3 - 2 / 3)
    assert found.expected_calibration_error == pytest.approx(expected)


def test_calibration_error_against_plain_loops():
    rng = np.random.default_rng(3)
    probabilities = softmax(rng.normal(0, 3, (500, 5)))
    labels = rng.integers(0, 5, 500)
    error = 0.0
    for low in np.arange(15) / 15:
        rows = [
            i
            for i in range(500)
            if low < probabilities[i].max() <= low + 1 / 15 + 1e-12
        ]
        if rows:
            right = np.mean([probabilities[i].argmax() == labels[i] for i in rows])
            sure = np.mean([probabilities[i].max() for i in rows])
            error += len(rows) / 500 * abs(right - sure)
    found = calibration.reliability(probabilities, labels)
    assert found.counts.sum() == 500
    assert found.expected_calibration_error == pytest.approx(error)


def test_no_items_have_no_calibration_error():
    found = calibration.reliability(np.zeros((0, 3)), np.zeros(0, int))
    assert found.expected_calibration_error == 0.0


def test_conformal_radius_takes_the_corrected_rank():
    residuals = np.array([-0.9, 0.1, -0.3, 0.4, 0.2, 0.5, 0.6, -0.7, 0.8])
    # n = 9: ceil(10 * 0.9) = 9th smallest, ceil(10 * 0.5) = 5th smallest.
    assert calibration.conformal_radius(residuals, 0.9) == 0.9
    assert calibration.conformal_radius(residuals, 0.5) == 0.5
    # ceil(10 * 0.95) = 10 of 9 residuals: no finite radius can promise that.
    assert calibration.conformal_radius(residuals, 0.95) == math.inf


@pytest.mark.parametrize("coverage", [0.0, 1.0, math.nan])
def test_conformal_radius_refuses_an_impossible_coverage(coverage):
    with pytest.raises(ValueError, match="coverage"):
        calibration.conformal_radius(np.ones(3), coverage)


def test_coverage_of_exchangeable_data_is_what_was_asked():
    # Exact law of the coverage: (rank) / (n + 1) on average, here 90 / 100 = 0.9.
    rng = np.random.default_rng(5)
    hits = []
    for _ in range(4000):
        residuals = rng.standard_t(3, 100)
        radius = calibration.conformal_radius(residuals[:99], 0.9)
        hits.append(abs(residuals[99]) <= radius)
    # Standard error sqrt(0.9 * 0.1 / 4000) = 0.0047.
    assert abs(np.mean(hits) - 0.9) < 4 * 0.0047


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=40),
    st.floats(0.05, 0.95),
)
def test_radius_covers_the_share_of_its_own_residuals(residuals, coverage):
    residuals = np.array(residuals)
    radius = calibration.conformal_radius(residuals, coverage)
    assert np.mean(abs(residuals) <= radius) >= min(coverage, 1.0) - 1e-9


def test_coverage_counts_both_ends():
    low, high = np.array([50.0, 25.0]), np.array([200.0, 100.0])
    found = calibration.interval_coverage(low, high, np.array([200.0, 101.0]))
    assert found == 0.5


def test_error_of_a_share_by_groups_by_hand():
    hits = np.array([1, 1, 1, 1, 0, 0, 1, 1])
    # Alone: p = 3/4, sum of squares 6/16 + 18/16 = 1.5, times 8/7.
    alone = calibration.grouped_share_error(hits, np.arange(8))
    assert alone == pytest.approx(math.sqrt(1.5 * 8 / 7) / 8)
    # Groups of four, three of them hits less than expected: sums 1 and -1.
    groups = np.array(["a"] * 4 + ["b"] * 4)
    assert calibration.grouped_share_error(hits, groups) == pytest.approx(
        math.sqrt(2 / 1 * (1 + 1)) / 8
    )
    assert math.isnan(calibration.grouped_share_error(hits, np.zeros(8)))
    assert math.isnan(calibration.grouped_share_error(hits[:0], groups[:0]))


def test_groups_that_go_together_count_as_one_row():
    rng = np.random.default_rng(0)
    shares, errors = [], []
    for _ in range(400):
        groups = np.repeat(np.arange(50), rng.integers(1, 12, 50))
        hits = (rng.random(50) < 0.9)[groups].astype(float)
        shares.append(hits.mean())
        errors.append(calibration.grouped_share_error(hits, groups))
    assert np.mean(errors) == pytest.approx(np.std(shares), rel=0.1)
