import numpy as np
import pytest

from common.errors import UserError
from pricer import tables
from pricer.config import Config


def test_rows_carry_the_papers_figures():
    by_name = {row.name: row for row in tables.ROWS}
    # Counts of accepted items of the 97,580 test items, as the paper has them.
    counts = {"p30": 29468, "e70": 80297, "p50_single": 46583, "e50_cold": 55575}
    for name, count in counts.items():
        assert by_name[name].paper[0] == pytest.approx(100 * count / 97_580, abs=0.01)
    assert by_name["p50"].paper[1:] == (0.3864, 0.5302)
    assert by_name["p50"].tables == (2, 4, 5) and by_name["e50"].tables == (3, 4, 5)


def test_a_row_sets_its_knobs_alone():
    by_name = {row.name: row for row in tables.ROWS}
    config = by_name["e30"].apply(Config(), seed=4)
    assert (config.gate.constraint, config.gate.threshold) == ("threshold", 0.3)
    assert config.train.seed == 4 and config.networks.seed == 0
    assert config.train.steps == Config().train.steps
    single = by_name["p50_single"].apply(Config(), seed=0)
    assert single.model.features == "single" and single.gate.percentile == 0.5
    cold = by_name["p50_cold"].apply(Config(), seed=0)
    assert cold.train.steps == Config().train.steps + Config().warm_up.steps


def test_an_unknown_row_is_refused():
    with pytest.raises(UserError, match="no row 'p20'; there are p30, p40"):
        tables.choose_rows(["p20"])
    assert [row.name for row in tables.choose_rows(["e50", "p30"])] == ["p30", "e50"]


def runs(male, male_all=0.5):
    return [{"test/male": value, "test/male_all": male_all} for value in male]


def test_claims_are_judged_on_the_error_of_accepted_items():
    results = {
        "p30": runs([0.30, 0.31, 0.32]),
        "p40": runs([0.35, 0.36, 0.37]),
        "p50": runs([0.49, 0.53, 0.48]),
        "p50_single": runs([0.59, 0.63, 0.58]),
        "p50_cold": runs([0.48, 0.54, 0.48]),
    }
    judged = {verdict.claim: verdict for verdict in tables.verdicts(results)}
    lower = judged["accepted items have a lower error than all (p30)"]
    assert lower.held and lower.difference == pytest.approx(0.19)
    assert not judged["accepted items have a lower error than all (p50)"].held
    assert judged["a larger share has a larger error (p30 < p40)"].held
    four = judged["four networks give better features than one (p50)"]
    assert four.held and four.difference == pytest.approx(0.1)
    assert not judged["the warm-up helps (p50)"].held
    assert len(judged) == 3 + 2 + 1 + 1


def test_an_error_that_is_not_known_is_not_held():
    results = {"p30": runs([0.3, None]), "p40": runs([0.5, 0.6])}
    judged = {verdict.claim: verdict for verdict in tables.verdicts(results)}
    verdict = judged["a larger share has a larger error (p30 < p40)"]
    assert not verdict.held and np.isnan(verdict.difference)
