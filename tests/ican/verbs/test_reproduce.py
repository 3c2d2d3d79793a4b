import json

import numpy as np
import pytest

from common.errors import UserError
from common.reports import paper_rows
from common.training import workdirs
from ican import train
from ican.paper import tables
from ican.verbs import reproduce

ROWS = ("visual", "attributes")


@pytest.fixture
def config(shop):
    return shop.cached_config(reproduce__rows=ROWS, reproduce__seeds=3)


TOP3 = {"visual": (0.3, 0.4, 0.5), "attributes": (0.5, 0.62, 0.68)}

PRICES = (
    "coverage_constant",
    "width",
    "width_constant",
    "price_in_best",
    "price_in_best3",
)


class Trainer:
    """Stands in for training: top-3 by row and seed, everything else 0.5."""

    def __init__(self):
        self.runs = []

    def __call__(self, config, record, say):
        kind, seed = config.model.kind, config.train.seed
        self.runs.append((kind, seed))
        values = {"test/n": 13, "validation/n": 11, "train/n": 37, "rejected": 2}
        for name in ("top1", "top3", "top5", "top7", "male"):
            values[f"test/{name}"] = values[f"test/majority/{name}"] = 0.5
        for name in PRICES:
            values[f"test/{name}"] = 0.25
        values["test/coverage"] = (0.9, 0.88, 0.86)[seed]
        values["test/coverage_error"] = (0.01, 0.01, 0.01)[seed]
        values["test/top3"] = TOP3[kind][seed]
        return values


@pytest.fixture
def trainer(monkeypatch):
    stand_in = Trainer()
    monkeypatch.setattr(train, "train_prepared", stand_in)
    monkeypatch.setattr(reproduce, "prepare", lambda config, workdir: config)
    return stand_in


def test_tables_hold_means_errors_and_the_papers_figures(config, trainer, tmp_path):
    reproduce.reproduce(config, tmp_path, lambda text: None)
    text = (tmp_path / "tables" / "results.md").read_text()
    # Standard deviation of 0.3, 0.4, 0.5 is 0.1; over sqrt(3) it is 0.058.
    (visual,) = (line for line in text.splitlines() if "visual-alone" in line)
    cells = [cell.strip() for cell in visual.split("|")[1:-1]]
    assert cells == [
        "visual-alone",
        "0.500 ± 0.000",
        "0.400 ± 0.058",
        "0.500 ± 0.000",
        "0.500 ± 0.000",
        "0.500 ± 0.000",
        "0.416",
        "0.599",
        "0.736",
    ]
    error = np.std(TOP3["attributes"], ddof=1) / np.sqrt(3)
    assert f"0.600 ± {error:.3f}" in text
    assert "| majority |" in text
    assert "37 training, 11 validation and 13 test rows, 2 rejected" in text
    assert "over 3 seeds" in text and "ResNet tiny" in text


def test_intervals_are_held_against_the_band_of_their_groups(config, trainer, tmp_path):
    reproduce.reproduce(config, tmp_path, lambda text: None)
    text = (tmp_path / "tables" / "prices.md").read_text()
    (line,) = (line for line in text.splitlines() if "visual-alone" in line)
    # 0.86 is 0.04 off, more than 2.576 errors of 0.01; 0.88 is 0.02 off.
    assert "| 0.880 ± 0.012 | 2 of 3 |" in line
    assert "meant to hold 90%" in text


def test_claims_are_judged_over_paired_seeds(config, trainer, tmp_path):
    reproduce.reproduce(config, tmp_path, lambda text: None)
    text = (tmp_path / "tables" / "claims.md").read_text()
    (line,) = (x for x in text.splitlines() if "attributes alone beat" in x)
    # Differences 0.2, 0.22, 0.18: mean 0.2, half width 4.303 * 0.02 / sqrt(3).
    assert "+0.200" in line and "+0.150 to +0.250" in line and "| held |" in line
    assert "iterating helps" not in text


def test_seeds_are_paired_and_nothing_runs_twice(config, trainer, tmp_path):
    said = []
    reproduce.reproduce(config, tmp_path, said.append)
    pairs = [(kind, seed) for seed in range(3) for kind in ROWS]
    assert trainer.runs == pairs
    assert said == [f"{kind}, seed {seed}" for kind, seed in pairs]
    before = (tmp_path / "tables" / "results.csv").read_text()
    (tmp_path / "runs" / "visual" / "seed1" / "metrics.json").unlink()
    trainer.runs.clear()
    reproduce.reproduce(config, tmp_path, said.append)
    assert trainer.runs == [("visual", 1)]
    assert (tmp_path / "tables" / "results.csv").read_text() == before


def test_runs_under_other_settings_are_refused(config, shop, trainer, tmp_path):
    reproduce.reproduce(config, tmp_path, lambda text: None)
    other = shop.cached_config(
        reproduce__rows=ROWS, reproduce__seeds=3, optimizer__learning_rate=0.01
    )
    with pytest.raises(UserError, match="optimizer.learning_rate is 0.05 there"):
        reproduce.reproduce(other, tmp_path, lambda text: None)
    more = shop.cached_config(reproduce__rows=ROWS, reproduce__seeds=2)
    reproduce.reproduce(more, tmp_path, lambda text: None)


def test_an_unknown_row_is_refused_before_anything_runs(shop, trainer, tmp_path):
    config = shop.cached_config(reproduce__rows=("ican9",))
    with pytest.raises(UserError, match="no row 'ican9'"):
        reproduce.reproduce(config, tmp_path, lambda text: None)
    assert not trainer.runs


def test_pointing_is_compared_with_its_prior():
    runs = [
        {"test/pointing": hit, "test/pointing_prior": 0.25} for hit in (0.5, 0.52, 0.54)
    ]
    (verdict,) = paper_rows.verdicts(tables.CLAIMS, {"ican3": runs, "block": [{}]})
    assert verdict.claim.endswith("(ican3)")
    assert verdict.difference == pytest.approx(0.27)
    assert verdict.held


def test_real_runs_are_resumed_and_tell_their_own_numbers(shop, tmp_path, monkeypatch):
    config = shop.config(
        reproduce__rows=("attributes",), reproduce__seeds=2, train__steps=2
    )
    reproduce.reproduce(config, tmp_path, lambda text: None)
    shares = []
    for seed in range(2):
        run = tmp_path / "runs" / "attributes" / f"seed{seed}"
        values = json.loads((run / "metrics.json").read_text())
        assert workdirs.read_record(run)["config"]["train"]["seed"] == seed
        shares.append(values["test/top3"])
    table = (tmp_path / "tables" / "results.md").read_text()
    error = abs(shares[0] - shares[1]) / 2
    assert f"{np.mean(shares):.3f} ± {error:.3f}" in table

    def refuse(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(train, "train_prepared", refuse)
    reproduce.reproduce(config, tmp_path, lambda text: None)
    assert (tmp_path / "tables" / "results.md").read_text() == table
    assert tables.choose_rows(("attributes",))[0].title in table
