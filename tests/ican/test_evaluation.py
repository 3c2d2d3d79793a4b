import numpy as np
import pytest
from sklearn.metrics import log_loss, top_k_accuracy_score

from ican import evaluation
from ican.evaluation import Calibration
from ican.zones import Zones

ZONES = Zones((180.0, 225.0, 270.0, 315.0, 360.0, 405.0, 450.0, 495.0))


@pytest.fixture(name="rows")
def some_rows():
    rng = np.random.default_rng(0)
    prices = rng.uniform(100, 600, 400)
    scores = rng.normal(size=(400, 9)) * 3
    scores[np.arange(400), ZONES.label(prices)] += 2
    return scores, prices


def test_scalars_agree_with_scikit_learn(rows):
    scores, prices = rows
    labels, fitted = ZONES.label(prices), Calibration(2.0, 0.9, 0.4)
    found = evaluation.measure(scores, prices, ZONES, fitted).scalars
    for k in (1, 3, 5, 7):
        wanted = top_k_accuracy_score(labels, scores, k=k, labels=np.arange(9))
        assert found[f"top{k}"] == pytest.approx(wanted)
    probabilities = evaluation.probabilities_of(scores, 2.0)
    wanted = log_loss(labels, probabilities, labels=np.arange(9))
    assert found["nll"] == pytest.approx(wanted)
    assert found["n"] == 400


def test_price_error_and_interval_written_out():
    zones = Zones((100.0, 200.0), reference_log_prices=tuple(np.log([50, 150, 400])))
    scores = np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    prices = np.array([150.0, 400.0])
    fitted = Calibration(1.0, 0.9, radius=0.3)
    outcome = evaluation.measure(scores, prices, zones, fitted)
    points = [
        0.5 * np.log(50) + 0.25 * np.log(150) + 0.25 * np.log(400),
        0.1 * np.log(50) + 0.1 * np.log(150) + 0.8 * np.log(400),
    ]
    errors = np.abs(points - np.log(prices))
    assert outcome.scalars["male"] == pytest.approx(errors.mean())
    assert outcome.scalars["coverage"] == pytest.approx(np.mean(errors <= 0.3))
    assert outcome.scalars["interval_ratio"] == pytest.approx(np.exp(0.6))
    np.testing.assert_allclose(outcome.zone_male[1:], errors)
    assert np.isnan(outcome.zone_male[0])
    assert outcome.zone_counts.tolist() == [0, 1, 1]
    assert outcome.scalars["zone_distance"] == pytest.approx(0.5)
    np.testing.assert_array_equal(outcome.confusion, [[0, 0, 0], [1, 0, 0], [0, 0, 1]])


def test_a_temperature_changes_no_rank(rows):
    scores, prices = rows
    cold = evaluation.measure(scores, prices, ZONES, Calibration(0.01, 0.9, 0.1))
    hot = evaluation.measure(scores, prices, ZONES, Calibration(100.0, 0.9, 0.1))
    for name in ("top1", "top3", "zone_distance"):
        assert cold.scalars[name] == hot.scalars[name]


def test_fitted_interval_holds_its_share_of_the_rows_it_was_fitted_on(rows):
    scores, prices = rows
    fitted = Calibration.fit(scores, prices, ZONES, 0.8)
    found = evaluation.measure(scores, prices, ZONES, fitted).scalars
    assert 0.8 <= found["coverage"] <= 0.81
    unfitted = Calibration(1.0, 0.8, fitted.radius)
    assert (
        found["nll"]
        < evaluation.measure(scores, prices, ZONES, unfitted).scalars["nll"]
    )


def test_majority_ranks_zones_by_how_common_they_are():
    zones = Zones((10.0, 20.0, 30.0, 40.0))
    train = np.array([5, 5, 5, 15, 15, 45, 45, 45, 45, 25.0])  # zones 4, 0, 1, 2, 3
    found = evaluation.majority(train, np.array([45.0, 5, 15, 25, 35]), zones)
    assert found["top1"] == pytest.approx(1 / 5)
    assert found["top3"] == pytest.approx(3 / 5)
    errors = np.abs(np.log([45.0, 5, 15, 25, 35]) - np.median(np.log(train)))
    assert found["male"] == pytest.approx(errors.mean())


def test_differences_are_paired():
    hits, other = np.array([1, 1, 1, 0], bool), np.array([1, 0, 1, 0], bool)
    mean, error = evaluation.paired_difference(hits, other)
    assert mean == 0.25
    assert error == pytest.approx(np.std([0, 1, 0, 0], ddof=1) / 2)
    assert evaluation.share_error(0.75, 4) == pytest.approx(np.sqrt(0.75 * 0.25 / 4))
