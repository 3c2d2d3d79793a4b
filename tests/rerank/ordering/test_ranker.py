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
        {POINTWISE: logits, LISTWISE: 2 * logits + 1}, labels
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
    found = ranker.fit_calibration({POINTWISE: logits}, logits < 0)
    assert found.slopes[POINTWISE] > 0


@pytest.mark.parametrize(
    ("use", "listwise", "searches"),
    [
        ("auto", 0.2, True),
        ("auto", 0.3, False),
        ("auto", float("nan"), False),
        ("always", 0.4, True),
        ("never", 0.1, False),
    ],
)
def test_search_is_on_where_the_evaluator_is_the_better_network(
    use, listwise, searches
):
    losses = {LISTWISE: listwise, POINTWISE: 0.3}
    fitted = ranker.Calibration({}, {}, losses)
    config = Config(search=SearchConfig(use=use))
    assert fitted.searches(config) is searches
