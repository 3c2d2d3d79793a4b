import numpy as np
import pytest

from pricer import gate


def test_error_at_the_quantile_is_the_mean_over_the_ranks_around_it():
    # Ten items, surest first 9 … 0; ranks 4 to 5 of 0..9 lie within 0.1 of one half.
    logits = np.arange(10.0)
    squared = np.array([0.0, 1, 2, 3, 40, 50, 6, 7, 8, 9])
    assert gate.error_at_quantile(logits, squared, 0.5) == pytest.approx(45)
    # At 1 the window ends with the least sure item: the last tenth.
    assert gate.error_at_quantile(logits, squared, 1.0) == pytest.approx(0)


@pytest.mark.parametrize(
    ("share", "count"), [(0.1, 1), (0.5, 5), (0.51, 6), (0.7, 7), (1.0, 10)]
)
def test_the_threshold_accepts_the_share_it_was_fitted_for(share, count):
    logits = np.random.default_rng(0).normal(size=10)
    accepted = gate.Threshold.fit(logits, share).accepts(logits)
    assert accepted.sum() == count
    assert set(np.argsort(-logits)[:count]) == set(np.flatnonzero(accepted))


def test_ties_at_the_threshold_are_accepted():
    accepted = gate.Threshold.fit(np.array([2.0, 1, 1, 1]), 0.5).accepts([1.0, 0.9])
    np.testing.assert_array_equal(accepted, [True, False])


def test_the_papers_threshold_is_one_half():
    accepted = gate.Threshold().accepts(np.array([-0.1, 0.0, 0.1]))
    np.testing.assert_array_equal(accepted, [False, True, True])


@pytest.mark.parametrize("share", [0.0, -1, 1.1, np.nan])
def test_shares_outside_of_0_to_1_are_refused(share):
    with pytest.raises(ValueError, match="share"):
        gate.Threshold.fit(np.zeros(3), share)
