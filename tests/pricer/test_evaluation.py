import numpy as np
import pytest

from pricer import evaluation
from pricer.evaluation import Calibration
from pricer.gate import Threshold
from pricer.model import Suggestion


def test_errors_at_equal_coverage_are_of_the_surest_items():
    """Ten items whose error is their rank: the surest 30 % err by 0.1, 0.2 and 0.3."""
    errors = np.arange(1, 11) / 10
    suggestion = Suggestion(np.zeros(10), -np.arange(10.0))
    fitted = Calibration(Threshold(-3.5), 0.25, 0.9)
    values = evaluation.measure(suggestion, errors, fitted, band=0.15)
    assert values["male_at_30"] == pytest.approx(0.2)
    assert values["male_at_50"] == pytest.approx(0.3)
    assert values["male_at_70"] == pytest.approx(0.4)
    # Accepted are the first four; the paper's threshold accepts the first alone.
    assert values["male"] == pytest.approx(0.25) and values["acceptance"] == 0.4
    assert values["acceptance_at_half"] == pytest.approx(0.1)
    assert values["male_all"] == pytest.approx(0.55)
    assert values["coverage"] == pytest.approx(0.5)  # 0.1 and 0.2 of four
    assert values["in_band"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    "acceptance, words", [(0.0, "warmup_steps"), (0.3, "gate.beta"), (0.49, "")]
)
def test_a_gate_that_accepts_too_little_is_told(acceptance, words):
    line = evaluation.warning(0.5, acceptance)
    assert (words in line) if words else line == ""
