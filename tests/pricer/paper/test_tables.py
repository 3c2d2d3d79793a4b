import numpy as np
import pytest

from common.config import configs
from common.errors import UserError
from common.reports import paper_rows
from pricer.config import Config
from pricer.paper import tables


def test_rows_carry_the_papers_figures():
    by_name = {row.name: row for row in tables.ROWS}
    # Counts of accepted items of the 97,580 test items, as the paper has them.
    counts = {"p30": 29468, "e70": 80297, "p50_single": 46583, "e50_cold": 55575}
    for name, count in counts.items():
        assert by_name[name].paper[0] == pytest.approx(100 * count / 97_580, abs=0.01)
    assert by_name["p50"].paper[1:] == (0.3864, 0.5302)
    assert set(by_name["p50"].tables) >= {"table2", "table4", "table5"}
    assert by_name["e50"].tables == ("table3", "table4", "table5")
    for row in tables.ROWS:
        assert bool(row.paper) == bool(set(row.tables) & set(tables.OF_THE_PAPER))


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


def test_rows_without_a_name_are_those_that_make_sense():
    names = [row.name for row in tables.choose_rows((), Config())]
    assert "p50_no_seller" in names and "boosting" not in names
    bare = configs.replace(Config(), {"labels.seller": ""})
    assert set(names) - {row.name for row in tables.choose_rows((), bare)} == {
        "p50_no_seller"
    }
    compared = configs.replace(Config(), {"comparables.count": 9})
    assert {row.name for row in tables.choose_rows((), compared)} - set(names) == {
        "p50_no_comparables"
    }


def test_boosting_alone_is_refused():
    with pytest.raises(UserError, match="name a row to hold the rivals against"):
        tables.choose_rows(["boosting"], Config())


def test_an_unknown_row_is_refused():
    with pytest.raises(UserError, match="no row 'p20'; there are p30, p40"):
        tables.choose_rows(["p20"], Config())
    assert [row.name for row in tables.choose_rows(["e50", "p30"], Config())] == [
        "p30",
        "e50",
    ]


def verdicts(results):
    return {v.claim: v for v in paper_rows.verdicts(tables.CLAIMS, results)}


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
    by_claim = verdicts(results)
    lower = by_claim["accepted items have a lower error than all (p30)"]
    assert lower.held and lower.difference == pytest.approx(0.19)
    assert not by_claim["accepted items have a lower error than all (p50)"].held
    assert by_claim["a larger share has a larger error (p30 < p40)"].held
    four = by_claim["four networks give better features than one (p50)"]
    assert four.held and four.difference == pytest.approx(0.1)
    assert not by_claim["the warm-up helps (p50)"].held
    assert len(by_claim) == 3 + 2 + 1 + 1


def test_the_gate_is_held_against_its_rivals_at_equal_coverage():
    gate = [{"test/male_at_30": m, "test/male": 9.0} for m in (0.20, 0.21, 0.20)]
    variance = [
        {"test/male_at_30": m, "test/male_all": m + 0.2} for m in (0.25, 0.26, 0.26)
    ]
    boosting = [{"test/male_at_30": m} for m in (0.19, 0.20, 0.20)]
    for run in gate:
        run["test/male_all"] = 0.3
    results = {"p30": gate, "variance": variance, "boosting": boosting}
    by_claim = verdicts(results)
    random = by_claim["the gate beats a random choice at 30 %"]
    assert random.held and random.difference == pytest.approx((0.25 + 0.25 + 0.26) / 3)
    rival = by_claim["the gate beats predicted variance at 30 %"]
    assert rival.held and rival.difference == pytest.approx((0.05 + 0.05 + 0.06) / 3)
    assert not by_claim["the gate beats boosting at 30 %"].held


def against_truth(results):
    return [v for claim, v in verdicts(results).items() if "AUC" in claim]


def test_the_gate_is_held_against_the_truth_where_it_is_known():
    known = [{"test/gate_auc": auc, **runs([0.3])[0]} for auc in (0.95, 0.96, 0.97)]
    (verdict,) = against_truth({"p50": known})
    assert verdict.held and verdict.difference == pytest.approx(0.06)
    without = [{**run, "test/gate_auc": None} for run in known]
    (verdict,) = against_truth({"p50": without})
    assert not verdict.held
    assert not against_truth({"p50": runs([0.3])})


def test_an_error_that_is_not_known_is_not_held():
    results = {"p30": runs([0.3, None]), "p40": runs([0.5, 0.6])}
    by_claim = verdicts(results)
    verdict = by_claim["a larger share has a larger error (p30 < p40)"]
    assert not verdict.held and np.isnan(verdict.difference)


def test_every_claim_names_rows_that_exist():
    names = {row.name for row in tables.ROWS}
    for claim in tables.CLAIMS:
        assert set(claim.better + claim.worse) <= names
