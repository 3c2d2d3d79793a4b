import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as oracle

from pricer import metrics

SMALL = st.integers(-3, 3).map(float)


def test_accepted_metrics_by_hand():
    found = metrics.accepted_metrics(
        np.array([1.0, -2, 5, 0]), np.array([True, True, False, True])
    )
    assert found["n_accepted"] == 3 and found["acceptance"] == 0.75
    assert found["male"] == pytest.approx((1 + 2 + 0) / 3)
    assert found["rmsle"] == pytest.approx(np.sqrt((1 + 4 + 0) / 3))


def test_nothing_accepted_has_no_error():
    found = metrics.accepted_metrics(np.array([1.0]), np.array([False]))
    assert found["acceptance"] == 0 and np.isnan(found["male"])
    assert np.isnan(metrics.accepted_metrics(np.array([]), np.array([]))["acceptance"])


def test_risk_coverage_by_hand():
    curve = metrics.RiskCoverage.of(np.array([3.0, 1, 2]), np.array([1.0, 9, 2]))
    np.testing.assert_allclose(curve.coverage, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(curve.risk, [1, 1.5, 4])
    assert curve.area == pytest.approx((1 + 1.5 + 4) / 3)
    assert curve.at(0.5) == pytest.approx(1.25)


@given(arrays.arrays(float, 12, elements=SMALL), st.randoms())
def test_ties_have_their_expected_risk(scores, random):
    """The mean over many orders of the tied items."""
    risks = np.arange(12.0) ** 2
    curve = metrics.RiskCoverage.of(scores, risks)
    rng = np.random.default_rng(random.randrange(2**32))
    kept = np.arange(1, 13)
    drawn = []
    for _ in range(400):
        order = np.lexsort([rng.random(12), -scores])
        drawn.append(np.cumsum(risks[order]) / kept)
    error = np.std(drawn, axis=0) / np.sqrt(400)
    assert np.all(np.abs(np.mean(drawn, axis=0) - curve.risk) <= 6 * error + 1e-9)


def test_a_random_gate_has_the_mean_risk_at_every_coverage():
    risks = np.random.default_rng(0).random(50)
    curve = metrics.RiskCoverage.of(np.zeros(50), risks)
    np.testing.assert_allclose(curve.risk, np.full(50, risks.mean()))


def test_the_best_order_has_the_least_area():
    rng = np.random.default_rng(1)
    risks = rng.random(40)
    best = metrics.RiskCoverage.of(-risks, risks).area
    for _ in range(20):
        assert metrics.RiskCoverage.of(rng.random(40), risks).area >= best


@given(
    arrays.arrays(float, 15, elements=SMALL),
    arrays.arrays(bool, 15, elements=st.booleans()),
)
def test_area_under_roc_is_sklearns(scores, positive):
    found = metrics.area_under_roc(scores, positive)
    if positive.all() or not positive.any():
        assert np.isnan(found)
    else:
        assert found == pytest.approx(oracle.roc_auc_score(positive, scores))


def test_metrics_by_class_by_hand():
    table = metrics.by_class(
        np.array([1.0, 3, -5]), np.array([True, False, True]), np.array(["b", "a", "b"])
    )
    assert list(table) == ["a", "b"]
    assert table["b"]["male"] == 3 and table["b"]["n"] == 2
    assert table["a"]["n"] == 1 and table["a"]["acceptance"] == 0


def test_selling_metrics_by_hand():
    # Sold minus suggested: suggestions too high by 1, right, too low by 0.05.
    found = metrics.selling_metrics(np.array([-1.0, 0.0, 0.05]), band=0.1)
    assert found["above"] == pytest.approx(1 / 3)
    assert found["log_gain"] == pytest.approx((1 - 0.05) / 3)
    assert found["in_band"] == pytest.approx(2 / 3)
    assert np.isnan(metrics.selling_metrics(np.array([]), 0.1)["above"])
