import json

import numpy as np
import pytest

from common.errors import UserError
from pricer import reproduce, train
from tests.quick_compilation import compiling_quickly

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def finished(run, shop, tmp_path_factory):
    """Two rows with two seeds, on the networks of the run."""
    workdir = tmp_path_factory.mktemp("reproduce")
    (workdir / "networks").symlink_to(run.workdir / "networks")
    config = shop.config(reproduce__rows=("p50", "e50"), reproduce__seeds=2)
    with compiling_quickly():
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
    names = sorted(path.name for path in (workdir / "tables").glob("*.md"))
    assert names == ["claims.md", *(f"table{number}.md" for number in (2, 3, 4, 5))]
    claims = (workdir / "tables" / "claims.md").read_text()
    assert "accepted items have a lower error than all (p50)" in claims


def test_a_seed_of_a_row_is_the_run_of_these_settings(finished, run):
    """The heads of seed 0 at 50 % are those of the default settings."""
    _, workdir = finished
    assert figures(workdir, "p50", "test/male")[0] == run.values["test/male"]


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
