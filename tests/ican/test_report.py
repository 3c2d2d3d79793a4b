import dataclasses
import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.config import configs
from common.reports import linear_rival
from common.reports.price_distribution import Pooling
from ican import evaluation, report, train
from ican.config import Config
from ican.evaluation import Calibration
from ican.paper import rivals
from ican.run import prepare
from ican.step import Outputs


def test_shares_carry_their_standard_errors():
    values = {"test/n": 100, "test/male": 0.5, "test/majority/male": 0.75}
    for k, share in zip((1, 3, 5, 7), (0.1, 0.5, 0.8, 1.0), strict=True):
        values[f"test/top{k}"] = share
        values[f"test/majority/top{k}"] = share / 2
    assert report.results_row("ican", values, "test") == {
        "model": "ican",
        "top-1": "0.100 ± 0.030",  # sqrt(0.1 * 0.9 / 100)
        "top-3": "0.500 ± 0.050",
        "top-5": "0.800 ± 0.040",
        "top-7": "1.000 ± 0.000",
        "MALE": 0.5,
    }
    row = report.results_row("majority", values, "test/majority")
    assert row["top-3"] == "0.250 ± 0.043"
    assert row["MALE"] == 0.75


@pytest.fixture(scope="module")
def html(photo_run):
    return (photo_run.workdir / report.FILE).read_text(encoding="utf-8")


def test_the_page_tells_the_numbers_of_the_run(html, photo_run):
    values = photo_run.values
    share = values["test/top3"]
    error = math.sqrt(share * (1 - share) / 13)
    assert f"{share:.3f} ± {error:.3f}" in html
    assert f"{values['test/male']:.3f}" in html
    assert f"{values['test/majority/male']:.3f}" in html
    assert f"error {values['test/ece']:.3f}" in html
    assert f"meant to hold 90% of prices holds {values['test/coverage']:.1%}" in html
    width = values["test/width"]
    assert f"its upper end is {math.exp(width):.2f} x its lower end" in html
    assert f"likeliest zone in {values['test/price_in_best']:.1%} of the test" in html
    assert f"likeliest in {values['test/price_in_best3']:.1%}." in html
    assert "Warning: the price interval is fitted on 11 validation rows, the" in html
    assert "37 training and 13 test rows" in html
    assert f"best of 4 steps: {values['best_step']}" in html
    assert "--model.ican.cells=2" in html
    assert "price zones by ican" in html


def test_the_page_is_one_file_with_all_pictures(html, photo_run):
    figures = photo_run.workdir / "figures"
    names = {path.stem for path in figures.glob("*.png")}
    panels = {name for name in names if name.startswith("attention_")}
    assert names - panels == {
        "curves",
        "prices",
        "confusion",
        "reliability",
        "error_by_zone",
    }
    assert len(panels) == report.PANELS
    assert html.count("data:image/png;base64,") == len(names)
    assert html.count("data:image/jpeg;base64,") == 10  # of the worst rows
    assert 'src="http' not in html
    for path in figures.glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 100


def test_panels_show_test_rows_from_the_cheapest_to_the_dearest(photo_run, shop):
    rows = sorted(shop.positions("test"), key=lambda row: shop.rows[row]["price"])
    drawn = {
        int(path.stem.removeprefix("attention_"))
        for path in (photo_run.workdir / "figures").glob("attention_*.png")
    }
    assert drawn == {rows[0], rows[4], rows[8], rows[12]}


def test_a_network_without_attention_has_no_panels(attributes_run):
    html = (attributes_run.workdir / report.FILE).read_text(encoding="utf-8")
    assert "What it looked at" not in html
    assert not list((attributes_run.workdir / "figures").glob("attention_*"))


def test_the_worst_rows_are_told_with_what_is_known_of_them(html, photo_run, shop):
    table = pd.read_csv(photo_run.workdir / "predictions_test.csv")
    errors = np.abs(np.log(table["price"] / table["predicted_price"])).to_numpy()
    worst = shop.rows[table["row"][int(errors.argmax())]]
    first = html.split('class="card"')[1]
    assert f"metal: {worst['metal']}" in first and worst["id"] in first


def test_the_page_tells_what_each_input_adds(html, photo_run, attributes_run):
    values = photo_run.values
    assert values["test/shuffled/n"] == 13
    for metric in ("top3", "male"):
        same = values[f"test/shuffled/nothing/{metric}"]
        assert same == pytest.approx(values[f"test/{metric}"], rel=1e-4)
    assert not any("words" in name for name in values)
    for name in ("photo", "attributes"):
        assert f'<td class="name">the {name}</td>' in html
    assert not any("shuffled" in name for name in attributes_run.values)


def test_a_coarse_map_comes_with_how_to_have_a_finer_one(html):
    assert "maps of 2 x 2 positions. --backbone.stages=1 --backbone.pool=1 has" in html
    config = Config()
    assert "--backbone.stages=3 --backbone.pool=1 has maps of 28 x 28" in (
        report._how_finer(configs.replace(config, {"backbone.stages": 3}), 6)
    )
    small = configs.replace(config, {"photos.crop": 16, "photos.resize": 16})
    assert "Larger photos" in report._how_finer(small, 1)


def test_the_linear_rival_stands_beside_the_network(attributes_run, html):
    page = (attributes_run.workdir / report.FILE).read_text(encoding="utf-8")
    values = attributes_run.values
    assert "Is the network worth it?" in page
    line = rivals.describe_linear("attributes", values)
    assert f"top-3 {values['test/rival/top3']:.3f}" in line
    assert f"MALE {values['test/rival/male']:.3f}" in line
    assert line[1:] in page
    models = [row["model"] for row in report.short_table("attributes", values, {})]
    assert models == ["attributes", "linear rival", "majority"]
    # Three metals tell most of the price, which a linear model sees.
    assert values["test/rival/male"] < values["test/majority/male"]
    assert "Is the network worth it?" not in html  # a run with --rival=none


def test_without_scikit_learn_the_report_says_how_to_get_it(
    shop, tmp_path, monkeypatch
):
    monkeypatch.setattr(linear_rival, "is_installed", lambda: False)
    config = shop.config(model__kind="attributes", rival="auto", train__steps=2)
    values = train.train_and_evaluate(config, tmp_path)
    assert not any("rival" in name for name in values)
    page = (tmp_path / report.FILE).read_text(encoding="utf-8")
    assert "No linear rival stands beside it: pip install" in page


def test_every_test_row_and_its_rank_is_written_down(photo_run, shop):
    table = pd.read_csv(photo_run.workdir / "predictions_test.csv")
    prices = [shop.rows[row]["price"] for row in table["row"]]
    assert table["price"].tolist() == prices
    for k in (1, 3, 5, 7):
        share = (table["rank_of_zone"] < k).mean()
        assert share == pytest.approx(photo_run.values[f"test/top{k}"])
    saved = json.loads((photo_run.workdir / "metrics.json").read_text())
    assert saved == {
        name: value if math.isfinite(value) else None
        for name, value in photo_run.values.items()
    }


def test_the_page_runs_no_program(photo_run, tmp_path):
    """Only the first process draws it: a program of all processes would hang."""

    def refuse(*args):
        raise AssertionError("a program was run")

    run = prepare(photo_run.config, tmp_path)
    run = dataclasses.replace(run, predict=refuse)
    rng = np.random.default_rng(0)
    outputs = Outputs(
        rng.normal(size=(13, 9)),
        rng.normal(5, 1, 13),
        rng.dirichlet(np.ones(4), size=(13, 2)),
        rng.dirichlet(np.ones(3), size=(13, 2)),
    )
    outcome = evaluation.measure(
        outputs,
        train.split_prices(run.examples, "test"),
        run.examples.ensemble.zones,
        Calibration(Pooling(1.0, 1.0, 0.5), 0.9, 0.4, 0.5, 11),
    )
    shutil.copy(photo_run.workdir / "metrics.jsonl", tmp_path)
    path = report.write(run, tmp_path, outcome, outputs, photo_run.values, {}, 0.0)
    assert "What it looked at" in path.read_text(encoding="utf-8")
