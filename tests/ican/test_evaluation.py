import dataclasses

import numpy as np
import pytest
from scipy import special
from sklearn.metrics import log_loss, top_k_accuracy_score

from common.reports.price_distribution import Pooling
from ican import evaluation
from ican.evaluation import Calibration
from ican.step import Outputs
from ican.zones import Zones

ZONES = Zones((180.0, 225.0, 270.0, 315.0, 360.0, 405.0, 450.0, 495.0))


@pytest.fixture(name="rows")
def some_rows():
    rng = np.random.default_rng(0)
    prices = rng.uniform(100, 600, 400)
    scores = rng.normal(size=(400, 9)) * 3
    scores[np.arange(400), ZONES.label(prices)] += 2
    return scores, prices


def calibration_of(votes=0.5, price=0.0, scale=0.5, radius=0.4, constant=0.4):
    return Calibration(Pooling(votes, price, scale), 0.9, radius, constant, 400)


def outputs_of(scores, centres=5.5):
    return Outputs(scores, np.broadcast_to(centres, len(scores)).astype(float))


def test_scalars_agree_with_scikit_learn(rows):
    scores, prices = rows
    labels, fitted = ZONES.label(prices), calibration_of(votes=0.5)
    found = evaluation.measure(outputs_of(scores), prices, ZONES, fitted).scalars
    for k in (1, 3, 5, 7):
        wanted = top_k_accuracy_score(labels, scores, k=k, labels=np.arange(9))
        assert found[f"top{k}"] == found[f"top{k}_votes"] == pytest.approx(wanted)
    probabilities = special.softmax(scores / 2, axis=1)
    wanted = log_loss(labels, probabilities, labels=np.arange(9))
    assert found["nll"] == pytest.approx(wanted)
    assert found["n"] == 400


def test_named_prices_move_the_zones_and_leave_the_votes(rows):
    scores, prices = rows
    outputs = outputs_of(scores, np.log(prices))
    fitted = calibration_of(votes=0.1, price=1.0, scale=0.01)
    found = evaluation.measure(outputs, prices, ZONES, fitted).scalars
    assert found["top1"] > 0.97
    wanted = top_k_accuracy_score(ZONES.label(prices), scores, k=1, labels=np.arange(9))
    assert found["top1_votes"] == pytest.approx(wanted)
    assert found["male"] < 0.02


def test_price_error_and_interval_written_out():
    """Zones below 100, to 200 and above, their t flat on this scale or far away."""
    zones = Zones((100.0, 200.0))
    scores = np.log([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    prices = np.array([150.0, 140.0])
    fitted = calibration_of(votes=1.0, scale=100.0, radius=0.1, constant=0.25)
    outcome = evaluation.measure(outputs_of(scores), prices, zones, fitted)
    # The median of row 0: 0.3 of the 0.5 in zone 1, even in log price there.
    log_half, log_low, log_high = (
        np.log(100) + part / 0.5 * np.log(2) for part in (0.3, 0.2, 0.4)
    )
    errors = np.abs(outcome.log_points - np.log(prices))
    assert outcome.log_points[0] == pytest.approx(log_half, abs=1e-3)
    assert outcome.scalars["male"] == pytest.approx(errors.mean())
    known = fitted.distribution(outputs_of(scores), zones)
    low, high = known.interval(0.1)
    assert np.log(low[0]) == pytest.approx(log_low, abs=1e-3)
    assert np.log(high[0]) == pytest.approx(log_high, abs=1e-3)
    assert outcome.scalars["coverage"] == 0.5  # 132 to 174 holds 150, 200 … no 140
    assert outcome.scalars["width"] == pytest.approx(np.log(high / low).mean())
    assert outcome.scalars["coverage_constant"] == np.mean(errors <= 0.25) == 0.5
    assert outcome.scalars["width_constant"] == 0.5
    np.testing.assert_allclose(outcome.zone_male[1], errors.mean())
    assert np.isnan(outcome.zone_male[[0, 2]]).all()
    assert outcome.zone_counts.tolist() == [0, 2, 0]
    assert outcome.scalars["zone_distance"] == pytest.approx(0.5)
    np.testing.assert_array_equal(outcome.confusion, [[0, 0, 0], [0, 1, 1], [0, 0, 0]])


def test_how_often_the_price_lies_in_the_zones_that_are_named():
    """The zone of the median is the likeliest, the last of five, the third."""
    zones = Zones((10.0, 20.0, 30.0, 40.0))
    scores = np.log(
        [
            [0.1, 0.1, 0.6, 0.1, 0.1],
            [0.28, 0.18, 0.08, 0.2, 0.26],
            [0.4, 0.05, 0.15, 0.1, 0.3],
        ]
    )
    fitted = calibration_of(votes=1.0)
    prices = np.array([25.0, 25.0, 25.0])
    outcome = evaluation.measure(outputs_of(scores), prices, zones, fitted)
    assert zones.label(np.exp(outcome.log_points)).tolist() == [2, 2, 2]
    assert outcome.scalars["price_in_best"] == pytest.approx(1 / 3)
    assert outcome.scalars["price_in_best3"] == pytest.approx(2 / 3)


def test_a_temperature_changes_no_rank(rows):
    scores, prices = rows
    cold, hot = (
        evaluation.measure(
            outputs_of(scores), prices, ZONES, calibration_of(votes=votes)
        )
        for votes in (100.0, 0.01)
    )
    for name in ("top1", "top3", "zone_distance"):
        assert cold.scalars[name] == hot.scalars[name]


def test_the_interval_holds_its_share_of_the_half_it_was_fitted_on(rows):
    scores, prices = rows
    outputs, halves = outputs_of(scores), (np.arange(100), np.arange(100, 400))
    fitted = Calibration.fit(outputs, prices, halves, ZONES, 0.8)
    assert fitted.rows == 300 and not fitted.warning()
    second = Outputs(scores[100:], outputs.centres[100:])
    found = evaluation.measure(second, prices[100:], ZONES, fitted).scalars
    assert 0.8 <= found["coverage"] <= 0.81
    assert 0.8 <= found["coverage_constant"] <= 0.81
    unfitted = dataclasses.replace(fitted, pooling=Pooling(5.0, 0.0, 0.5))
    worse = evaluation.measure(second, prices[100:], ZONES, unfitted).scalars
    assert found["nll"] < worse["nll"]


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_an_overfitted_model_still_covers_new_prices(level):
    """On the half that it was fitted to its votes name the right zone every time."""
    rng = np.random.default_rng(0)

    def draw(rows, seen):
        logs = rng.normal(5.7, 0.4, rows)
        told = logs + rng.normal(0, 0.2, rows)
        named = np.where(seen, logs, told)
        scores = np.zeros((rows, 9))
        scores[np.arange(rows), ZONES.label(np.exp(named))] = 6
        return Outputs(scores, named), np.exp(logs)

    seen = np.arange(2000) < 1000
    outputs, prices = draw(2000, seen)
    halves = np.flatnonzero(seen), np.flatnonzero(~seen)
    fitted = Calibration.fit(outputs, prices, halves, ZONES, level)
    found = evaluation.measure(*draw(4000, np.zeros(4000, bool)), ZONES, fitted)
    assert found.scalars["coverage"] == pytest.approx(level, abs=0.03)


@pytest.mark.parametrize("rows", [0, 1, 8, 9, 299, 300])
def test_few_rows_for_the_interval_are_told(rows):
    rng = np.random.default_rng(0)
    prices = rng.uniform(100, 600, rows + 5)
    outputs = outputs_of(rng.normal(size=(rows + 5, 9)))
    halves = np.arange(5), np.arange(5, rows + 5)
    fitted = Calibration.fit(outputs, prices, halves, ZONES, 0.9)
    found = evaluation.measure(outputs, prices, ZONES, fitted).scalars
    line = fitted.warning()
    assert (f"fitted on {rows} validation rows" in line) == (rows < 300)
    assert ("too few for any interval" in line) == (rows < 9)
    assert np.isfinite(found["width"]) == np.isfinite(found["width_constant"])
    assert np.isfinite(found["width"]) == (rows >= 9)
    if rows < 9:  # nothing is promised, and that is kept
        assert found["coverage"] == 1


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
