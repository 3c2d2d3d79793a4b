import numpy as np
import pytest
from scipy import special

from rerank.config import LISTWISE, POINTWISE, Config, SearchConfig
from rerank.ordering import ranker


def test_calibration_finds_the_line_that_labels_were_drawn_by():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=40_000)
    labels = rng.random(40_000) < special.expit(0.5 * logits - 1)
    found = ranker.fit_calibration(
        {POINTWISE: logits, LISTWISE: 2 * logits + 1}, labels, np.arange(40_000) // 8
    )
    assert found.slopes[POINTWISE] == pytest.approx(0.5, abs=0.04)
    assert found.offsets[POINTWISE] == pytest.approx(-1, abs=0.04)
    # The other network says the same on another scale, so it is as good.
    assert found.slopes[LISTWISE] == pytest.approx(found.slopes[POINTWISE] / 2, 1e-3)
    z = found.apply(POINTWISE, logits)
    loss = np.mean(np.logaddexp(0, z) - labels * z)
    assert found.log_losses[POINTWISE] == pytest.approx(loss)
    assert found.log_losses[LISTWISE] == pytest.approx(loss, abs=1e-6)


def test_a_network_that_is_wrong_does_not_turn_the_order_round():
    logits = np.linspace(-2, 2, 100)
    found = ranker.fit_calibration(
        {POINTWISE: logits, LISTWISE: logits}, logits < 0, np.arange(100)
    )
    assert found.slopes[POINTWISE] > 0


def test_the_lead_and_its_error_by_hand():
    # At these logits the lines that fit best are those of slope 1 and offset 0.
    labels = np.tile([0.75, 0.25], 3)
    one, other = np.log([3.0, 1 / 3]), np.zeros(2)
    requests = np.array([0, 0, 1, 1, 1, 1])
    found = ranker.fit_calibration(
        {POINTWISE: np.tile(other, 3), LISTWISE: np.tile(one, 3)}, labels, requests
    )
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert found.lead == pytest.approx(np.log(2) - entropy, rel=1e-5)
    # Every place has the same lead, so requests don't differ.
    assert found.lead_error == pytest.approx(0, abs=1e-6)


def test_places_of_a_request_count_together():
    values, requests = np.array([1.0, 3.0, 5.0, 5.0, 0.0]), np.array([0, 0, 1, 1, 2])
    # Mean 2.8; sums of what is beyond it: -1.6, 4.4, -2.8; three requests.
    expected = np.sqrt((1.6**2 + 4.4**2 + 2.8**2) * 3 / 2) / 5
    assert ranker._standard_error(values, requests) == pytest.approx(expected)
    assert ranker._standard_error(values, np.zeros(5, int)) == pytest.approx(2.8)


@pytest.mark.parametrize(
    ("use", "lead", "searches"),
    [
        ("auto", 0.02, True),
        ("auto", 0.019, False),
        ("auto", -0.1, False),
        ("auto", float("nan"), False),
        ("always", -0.1, True),
        ("never", 0.2, False),
    ],
)
def test_search_is_on_where_the_evaluator_surely_is_the_better_network(
    use, lead, searches
):
    fitted = ranker.Calibration({}, {}, {}, lead, 0.01)
    config = Config(search=SearchConfig(use=use))
    assert fitted.searches(config) is searches
