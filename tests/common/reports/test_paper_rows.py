import dataclasses

import numpy as np
import pytest

from common.config.configs import check_bounds, knob
from common.errors import UserError
from common.reports import paper_rows
from common.reports.paper_rows import Claim, Row
from common.training import workdirs
from common.training.sections import ReproduceConfig


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    seed: int = knob(0, "seed")
    steps: int = knob(10, "steps")


@dataclasses.dataclass(frozen=True)
class Config:
    width: int = knob(1, "width", high=8)
    reproduce: ReproduceConfig = dataclasses.field(default_factory=ReproduceConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)

    def __post_init__(self):
        check_bounds(self)


ROWS = (
    Row("narrow", "Narrow"),
    Row("wide", "Wide", {"width": 8, "train.steps": 20}),
    Row("forest", "Forest", rival="forest"),
)


def choose(*names):
    chosen = paper_rows.choose_rows(ROWS, names, lambda row: not row.rival)
    return [row.name for row in chosen]


def test_a_row_changes_its_knobs_and_the_seed_alone():
    config = ROWS[1].apply(Config(), seed=3)
    assert config == Config(8, train=TrainConfig(3, 20))
    assert ROWS[0].apply(Config(width=5), seed=0) == Config(width=5)


def test_rows_come_in_the_order_of_the_tables():
    assert choose() == ["narrow", "wide"]
    assert choose("forest", "narrow") == ["narrow", "forest"]
    with pytest.raises(UserError, match="no row 'wyde'; there are narrow, .*mean wide"):
        choose("narrow", "wyde")
    with pytest.raises(UserError, match="name a row to hold the rivals against"):
        choose("forest")


def reproduce(workdir, seeds, say=lambda text: None, width=1):
    """Runs the rows; metrics are seed and width."""
    ran = []

    def run(row, config, record):
        seed = config.train.seed
        ran.append((row.name, seed))
        record.add_data("f00d")
        loss = np.inf if row.name == "wide" else float(seed)
        return {"seed": seed, "loss": loss}

    config = Config(width, ReproduceConfig(seeds=seeds))
    results = paper_rows.run_rows(
        ROWS[:2],
        config,
        workdir,
        system="toy",
        free=("train.steps", "reproduce."),
        run=run,
        say=say,
    )
    return results, ran


def test_each_row_runs_with_each_seed_once(tmp_path):
    lines = []
    results, ran = reproduce(tmp_path, 2, lines.append)
    assert ran == [("narrow", 0), ("wide", 0), ("narrow", 1), ("wide", 1)]
    assert lines == [f"{name}, seed {seed}" for name, seed in ran]
    assert results == {
        "narrow": [{"seed": 0, "loss": 0.0}, {"seed": 1, "loss": 1.0}],
        "wide": [{"seed": 0, "loss": None}, {"seed": 1, "loss": None}],
    }
    record = workdirs.read_record(tmp_path / "runs" / "wide" / "seed1")
    assert record["facts"] == {"data": "f00d"}
    assert record["config"]["train"] == {"seed": 1, "steps": 20}
    more, ran = reproduce(tmp_path, 3)
    assert ran == [("narrow", 2), ("wide", 2)]
    assert more["narrow"][:2] == results["narrow"]


def test_runs_under_other_settings_are_refused(tmp_path):
    reproduce(tmp_path, 1)
    with pytest.raises(UserError, match="width is 1 there and 2 now"):
        reproduce(tmp_path, 1, width=2)


def runs(*values, name="m"):
    return [{name: value} for value in values]


def difference(results, *claim, **options):
    verdict = Claim("said", *claim, **options).verdict(results)
    return verdict.difference if verdict else None


def test_a_claim_compares_means_of_rows_seed_by_seed():
    results = {"a": runs(0.5, 0.7), "b": runs(0.7, 0.7), "c": runs(0.1, 0.3)}
    # (0.6 - 0.1, 0.7 - 0.3): mean 0.45.
    assert difference(results, ("a", "b"), ("c",), "m") == pytest.approx(0.45)
    assert difference(results, ("c",), ("a", "b"), "m", lower=True) == pytest.approx(
        0.45
    )


def test_the_best_of_several_is_the_one_with_the_best_mean():
    results = {"a": runs(0.5, 0.6), "b": runs(0.45, 0.57), "c": runs(0.55, 0.40)}
    found = difference(results, ("a",), ("b", "c"), "m", than_any=True)
    assert found == pytest.approx((0.05 + 0.03) / 2)
    # Where low is good, the best of the others is the lowest: c, 0.475 on average.
    found = difference(results, ("a",), ("b", "c"), "m", lower=True, than_any=True)
    assert found == pytest.approx(0.475 - 0.55)


def test_a_claim_may_be_about_two_metrics_or_a_bar():
    results = {"a": [{"hit": 0.5, "prior": 0.2}, {"hit": 0.7, "prior": 0.2}]}
    found = difference(results, ("a",), ("a",), "hit", of_worse="prior")
    assert found == pytest.approx(0.4)
    assert difference(results, ("a",), (), "hit", bar=0.9) == pytest.approx(-0.3)


def test_what_is_not_there_is_not_claimed():
    results = {"a": runs(0.5), "b": runs(0.5, name="other"), "c": []}
    for worse in ("b", "c", "d"):
        assert difference(results, ("a",), (worse,), "m") is None
    claimed = [Claim("x", ("a",), (w,), "m") for w in ("b", "a")]
    assert [v.claim for v in paper_rows.verdicts(claimed, results)] == ["x"]


def test_cells_hold_mean_and_error_or_nothing():
    # Standard deviation of 0.3, 0.4, 0.5 is 0.1; over sqrt(3) it is 0.058.
    assert paper_rows.mean_cell(runs(0.3, 0.4, 0.5), "m") == "0.400 ± 0.058"
    assert paper_rows.mean_cell(runs(0.3), "m") == "0.300"
    assert paper_rows.mean_cell(runs(0.3, None), "m") == ""
    assert paper_rows.mean_cell(runs(0.3), "other") == ""


def test_one_seed_has_no_standard_error(tmp_path):
    assert paper_rows.describe_mean(5) == "Mean ± standard error over 5 seeds"
    words = "One seed: figures have no standard error, and claims over seeds stay open"
    assert paper_rows.describe_mean(1) == words
    claim = Claim("wide is better", ("a",), ("b",), "m")
    found = paper_rows.verdicts([claim], {"a": runs(0.5), "b": runs(0.4)})
    paper_rows.write_claims(tmp_path, found, "Claims", "accuracy", "Notes.")
    row = "| wide is better | +0.100 | none: a single run | open |"
    assert row in (tmp_path / "claims.md").read_text()


def test_claims_are_written_with_what_they_are_in(tmp_path):
    claim = Claim("wide is better", ("a",), ("b",), "m")
    results = {"a": runs(0.5, 0.6, 0.7), "b": runs(0.4, 0.5, 0.6)}
    paper_rows.write_claims(
        tmp_path, paper_rows.verdicts([claim], results), "Claims", "accuracy", "Notes."
    )
    text = (tmp_path / "claims.md").read_text()
    assert "| wide is better | +0.100 | +0.100 to +0.100 | held |" in text
    assert "Differences in accuracy." in text and text.rstrip().endswith("Notes.")
