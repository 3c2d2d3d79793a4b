import json

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from ican import ensemble, zones

PAPER = zones.Zones(zones.even_edges(180, 900, 45))
EDGES = np.array(PAPER.edges)
PRICES = np.arange(0.5, 1300.0, 1.0)


def recovered(edges, band, classifiers, values=PRICES):
    """Share of values whose zone perfect classifiers elect."""
    boundaries = ensemble.class_boundaries(edges, band, classifiers)
    weights = ensemble.vote_weights(boundaries, edges)
    elected = ensemble.perfect_votes(boundaries, weights, values).argmax(1)
    return np.mean(elected == np.searchsorted(edges, values, side="right"))


def test_boundaries_of_the_paper_are_9_k_plus_9_plus_180_j():
    boundaries = ensemble.class_boundaries(EDGES, 180.0, 20)
    expected = [[9 * (k + 1) + 180 * j for j in range(6)] for k in range(20)]
    np.testing.assert_allclose(boundaries, expected, atol=1e-9)


def test_seven_classes_are_the_least_that_span_the_edges():
    boundaries = ensemble.class_boundaries(EDGES, 180.0, 20)
    assert boundaries.shape == (20, 7 - 1)
    assert np.all(boundaries[:, 0] <= 180)
    assert np.all(boundaries[:, -1] >= 900)
    assert boundaries[0, -2] < 900  # one band less would not reach the last edge


def test_votes_of_a_perfect_ensemble_at_427_50():
    boundaries = ensemble.class_boundaries(EDGES, 180.0, 20)
    weights = ensemble.vote_weights(boundaries, EDGES)
    votes = ensemble.perfect_votes(boundaries, weights, np.array([427.50]))[0]
    np.testing.assert_allclose(
        votes, [0, 0, 0.6, 5, 10, 15, 18.8, 15, 10, 5, 0.6, *[0] * 7], atol=1e-9
    )


def test_zone_centres_return_their_own_label():
    built = ensemble.build(ensemble.EnsembleConfig(), PAPER, PAPER.centres())
    votes = ensemble.perfect_votes(
        built.boundaries, built.weights, PAPER.coordinate(PAPER.centres())
    )
    assert votes.argmax(1).tolist() == list(range(18))


def test_recovery_on_even_edges():
    assert recovered(EDGES, 180.0, 20) == 1.0
    assert 0.93 < recovered(EDGES, 180.0, 10) < 0.95
    assert 0.97 < recovered(EDGES, 135.0, 20) < 0.99


def test_recovery_on_uneven_edges_needs_the_zone_coordinate():
    # The paper's edges in log price, with bands of four mean steps.
    log_edges = np.log(EDGES)
    band = 4 * np.diff(log_edges).mean()
    assert 0.87 < recovered(log_edges, band, 20, np.log(PRICES)) < 0.88
    inside = zones.Zones(PAPER.edges, log_inside=True)
    unit = np.arange(17.0)
    assert recovered(unit, 4.0, 20, inside.coordinate(PRICES)) == 1.0

    # Quantile zones of long-tailed prices.
    prices = np.exp(np.random.default_rng(0).normal(4, 1.2, 5000))
    quantile = zones.Zones(zones.quantile_edges(prices, 18))
    edges = np.array(quantile.edges)
    assert recovered(edges, 4 * np.diff(edges).mean(), 20, prices) < 0.6
    assert recovered(unit, 4.0, 20, quantile.coordinate(prices)) == 1.0


@settings(max_examples=30)
@given(
    st.integers(2, 24), st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**31 - 1)
)
def test_any_ensemble_that_can_be_built_recovers_random_zones(
    count, band, shifts_per_zone, seed
):
    rng = np.random.default_rng(seed)
    fitted = zones.Zones(
        tuple(np.cumsum(rng.uniform(1, 50, count)).tolist()), bool(seed % 2)
    )
    config = ensemble.EnsembleConfig(
        classifiers=band * shifts_per_zone, band=float(band)
    )
    prices = rng.uniform(0.1, fitted.edges[-1] * 1.5, 200)
    try:
        built = ensemble.build(config, fitted, prices)
    except UserError:
        # Too few classifiers leave ties between zones, but never the finer grids.
        assert shifts_per_zone == 1 or band == 1
        return
    votes = ensemble.perfect_votes(
        built.boundaries, built.weights, fitted.coordinate(prices)
    )
    assert np.array_equal(votes.argmax(1), fitted.label(prices))


def test_targets_are_classes_of_the_actual_price():
    built = ensemble.build(ensemble.EnsembleConfig(), PAPER, PRICES)
    targets = built.targets(np.array([8.5, 9.0, 427.5, 5000.0]))
    # Classifier k has boundaries 9 (k + 1) + 180 j.
    assert targets.shape == (4, 20)
    assert targets.dtype == np.int32
    assert targets[0].tolist() == [0] * 20
    assert targets[1].tolist() == [1] + [0] * 19
    expected = [
        sum(9 * (k + 1) + 180 * j <= 427.5 for j in range(6)) for k in range(20)
    ]
    assert targets[2].tolist() == expected
    assert targets[3].tolist() == [6] * 20


def test_classes_without_a_training_item_leave_the_softmax():
    prices = np.array([200.0, 430.0, 1000.0])
    built = ensemble.build(ensemble.EnsembleConfig(), PAPER, prices)
    counts = built.class_counts(prices)
    assert counts.sum(1).tolist() == [3] * 20
    assert np.array_equal(built.present, counts > 0)
    probabilities = built.class_probabilities(jnp.zeros((1, 20, 7)))
    expected = built.present / built.present.sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities[0], expected, rtol=1e-6)


def test_soft_and_hard_votes_against_plain_loops():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3, 20, 7)).astype(np.float32)
    for vote in ("soft", "hard"):
        config = ensemble.EnsembleConfig(vote=vote)
        built = ensemble.build(config, PAPER, np.arange(100.0, 1000.0))
        expected = np.zeros((3, 18))
        for b in range(3):
            for k in range(20):
                allowed = [c for c in range(7) if built.present[k, c]]
                odds = {c: np.exp(logits[b, k, c]) for c in allowed}
                best = max(odds, key=odds.get)
                for c in allowed:
                    soft = odds[c] / sum(odds.values())
                    share = soft if vote == "soft" else float(c == best)
                    expected[b] += share * built.weights[k, c]
        scores = built.scores(jnp.asarray(logits))
        np.testing.assert_allclose(scores, expected, rtol=2e-5)


def test_perfect_logits_elect_the_zone_in_both_votes():
    prices = np.array([20.0, 190.0, 427.5, 899.0, 4000.0])
    for vote in ("soft", "hard"):
        built = ensemble.build(ensemble.EnsembleConfig(vote=vote), PAPER, PRICES)
        logits = 50.0 * np.eye(7)[built.targets(prices)]
        scores = built.scores(jnp.asarray(logits, jnp.float32))
        assert scores.argmax(1).tolist() == PAPER.label(prices).tolist()


def test_json_round_trip():
    built = ensemble.build(
        ensemble.EnsembleConfig(vote="hard"), PAPER, np.array([300.0, 700.0])
    )
    again = ensemble.Ensemble.from_dict(json.loads(json.dumps(built.to_dict())))
    assert again.zones == built.zones
    assert again.config == built.config
    for name in ("boundaries", "weights", "present"):
        np.testing.assert_array_equal(getattr(again, name), getattr(built, name))


@pytest.mark.parametrize(("band", "classifiers"), [(4.0, 10), (3.0, 20), (2.4, 20)])
def test_a_shift_that_does_not_divide_a_zone_is_refused(band, classifiers):
    config = ensemble.EnsembleConfig(classifiers=classifiers, band=band)
    with pytest.raises(UserError, match="band / classifiers divides one zone"):
        ensemble.build(config, PAPER, PRICES)


def test_a_band_of_zero_is_refused():
    with pytest.raises(UserError, match="must be positive"):
        ensemble.build(ensemble.EnsembleConfig(band=0.0), PAPER, PRICES)
