import json

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from pricer import train
from pricer.paper import tables
from pricer.verbs import reproduce


@pytest.fixture(scope="module")
def finished(run, shop, tmp_path_factory):
    """Two rows with two seeds, on the networks of the run."""
    workdir = tmp_path_factory.mktemp("reproduce")
    (workdir / "networks").symlink_to(run.workdir / "networks")
    rows = ("p50", "e50", "p50_no_seller", "p50_no_comparables", "variance")
    rows += ("boosting",)
    config = shop.config(reproduce__rows=rows, reproduce__seeds=2)
    reproduce.reproduce(config, workdir, lambda text: None)
    return config, workdir


def figures(workdir, row, name):
    return [
        json.loads((workdir / "runs" / row / f"seed{k}" / "metrics.json").read_text())[
            name
        ]
        for k in range(2)
    ]


def test_tables_hold_means_and_errors_over_seeds(finished):
    _, workdir = finished
    text = (workdir / "tables" / "table2.md").read_text()
    males = figures(workdir, "p50", "test/male")
    error = np.std(males, ddof=1) / np.sqrt(2)
    assert f"{np.mean(males):.3f} ± {error:.3f}" in text
    assert "0.386" in text and "ResNet tiny from random weights" in text
    assert "attribute, brand, category, specification" in text
    assert "Comparables: 3." in text
    names = sorted(path.name for path in (workdir / "tables").glob("*.md"))
    assert names == sorted(f"{name}.md" for name in [*tables.TITLES, "claims"])
    claims = (workdir / "tables" / "claims.md").read_text()
    assert "accepted items have a lower error than all (p50)" in claims


def test_a_seed_of_a_row_is_the_run_of_these_settings(finished, run):
    """The heads of seed 0 at 50 % are those of the default settings."""
    _, workdir = finished
    assert figures(workdir, "p50", "test/male")[0] == run.values["test/male"]


def test_rivals_stand_side_by_side(finished):
    _, workdir = finished
    table = pd.read_csv(workdir / "tables" / "rivals.csv", index_col="row")
    assert list(table.index) == [
        "percentile 50 %",
        "predicted variance",
        "boosting, predicted error",
        "random choice",
    ]
    everyone = np.mean(figures(workdir, "variance", "test/male_all"))
    assert list(table.loc["random choice"].str[:5]) == [f"{everyone:.3f}"] * 3
    half = np.mean(figures(workdir, "boosting", "test/male_at_50"))
    boosting = table.loc["boosting, predicted error", "MALE at 50 %"]
    assert boosting.startswith(f"{half:.3f} ±")
    found = json.loads((workdir / "runs/boosting/settings.json").read_text())
    assert "num_leaves" in found


def test_without_sellers_their_prices_are_those_of_all(finished):
    """The statistics of the seller are not told apart, so the heads see others."""
    _, workdir = finished
    assert figures(workdir, "p50", "test/male") != figures(
        workdir, "p50_no_seller", "test/male"
    )


def test_without_comparables_the_heads_see_less(finished):
    _, workdir = finished
    assert figures(workdir, "p50", "test/male") != figures(
        workdir, "p50_no_comparables", "test/male"
    )
    claims = (workdir / "tables" / "claims.md").read_text()
    assert "comparables help" in claims


def test_nothing_runs_twice(finished, monkeypatch):
    config, workdir = finished

    def refuse(*args, **kwargs):
        raise AssertionError("something was prepared again")

    monkeypatch.setattr(train, "prepare", refuse)
    reproduce.reproduce(config, workdir, lambda text: None)


def test_runs_under_other_settings_are_refused(finished, shop):
    _, workdir = finished
    other = shop.config(
        reproduce__rows=("p50",), reproduce__seeds=1, model__hidden=(9,)
    )
    with pytest.raises(UserError, match="model.hidden"):
        reproduce.reproduce(other, workdir, lambda text: None)
