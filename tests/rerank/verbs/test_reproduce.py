"""Rows, rivals and claims, on runs of a few steps."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import ndcg_score, roc_auc_score

from common.config import configs
from rerank import train
from rerank.metrics import Column
from rerank.paper import rivals, tables
from rerank.run import prepare
from rerank.verbs import reproduce


@pytest.fixture(scope="module")
def config(small_config):
    changes = {
        "reproduce.rows": ("armmt", "no_image", "pointwise"),
        "reproduce.seeds": 2,
    }
    return configs.replace(small_config, changes)


GAUC = {"armmt": 0.7, "no_image": 0.6}
NDCG = {"armmt": 0.9, "no_image": 0.8}  # of answers; 0.5 by chance, 0.6 as shown


@pytest.fixture
def stand_in(monkeypatch):
    """Stands in for training: GAUC by row, every request a little different."""
    seen = []

    def train_prepared(run, record, say):
        row = record.workdir.parent.name
        seen.append((row, run.config.train.seed, run.config.model.modalities))
        wobble = np.linspace(-0.05, 0.05, 24) + 0.001 * run.config.train.seed
        values = {"gauc": GAUC[row] + wobble, "pointwise/gauc": 0.5 + 3 * wobble}
        columns = {name: Column(v, np.ones(24)) for name, v in values.items()}
        for k in (1, 3, 5, 10):
            for name, value in {
                "": NDCG[row],
                "sort/": 0.7,
                "logged/": 0.6,
                "chance/": 0.5,
            }.items():
                columns[f"{name}ndcg@{k}"] = Column(np.full(24, value), np.ones(24))
        if row == "armmt":
            shares = zip((0.25, 0.5, 0.75, 1), (0.68, 0.66, 0.64, 0.62), strict=True)
            for share, value in shares:
                name = f"hidden/image/{share:g}"
                columns[name] = Column(np.full(24, value), np.ones(24))
        reproduce.evaluation.write_requests(record.workdir, columns)
        counts = {"train/n": 96, "validation/n": 40, "test/n": 24}
        return {**counts, **{f"test/{n}": c.mean for n, c in columns.items()}}

    monkeypatch.setattr(train, "train_prepared", train_prepared)
    return seen


def test_rows_are_run_and_claims_paired_over_requests(config, stand_in, tmp_path):
    names = reproduce.reproduce(config, tmp_path, lambda text: None)
    assert names == ["results", "orders", "hidden", "claims"]
    # The pointwise network is that of the same run.
    assert [(row, seed) for row, seed, _ in stand_in] == [
        (row, seed) for seed in range(2) for row in ("armmt", "no_image")
    ]
    assert stand_in[1][2] == ("text",)
    results = (tmp_path / "tables" / "results.md").read_text()
    (line,) = (x for x in results.splitlines() if "(vii)" in x)
    assert "| 0.50" in line
    text = (tmp_path / "tables" / "claims.md").read_text()
    (line,) = (x for x in text.splitlines() if "(iv) images help" in x)
    # The wobble is the same in both rows, so the difference is exactly 0.1.
    assert "+0.100 | +0.100 to +0.100 | held" in line
    (line,) = (x for x in text.splitlines() if "(vii)" in x)
    assert "+0.199" in line and "| held |" in line
    assert "CAFU" not in text
    (line,) = (x for x in text.splitlines() if "order shown (NDCG@3)" in x)
    assert "+0.300 | +0.300 to +0.300 | held" in line
    orders = (tmp_path / "tables" / "orders.csv").read_text().splitlines()
    shares = {line.split(",")[0]: line.split(",")[2] for line in orders}
    assert shares == {
        "order": "share @1",
        "chance": "0%",
        "as shown": "25%",
        "ARMMT": "100%",
        "(iv) without images": "75%",
        "(vii) without attention over the list": "50%",
    }
    hidden = (tmp_path / "tables" / "hidden.csv").read_text().splitlines()
    assert [cell[:5] for cell in hidden[1].split(",")] == [
        *("ARMMT", "0.700", "0.680", "0.660", "0.640", "0.620")
    ]
    assert len(hidden) == 2


def test_every_claim_names_rows_and_their_metrics():
    names = {row.name for row in tables.ROWS}
    for claim in tables.CLAIMS:
        assert {claim.better[0], claim.worse[0]} <= names


@pytest.mark.parametrize("name", ["trees", "lambdamart", "unbiased"])
def test_trees_find_what_the_lists_are_made_of(name, small_config):
    pytest.importorskip("lightgbm")
    changes = {
        "serp.train_count": 600,
        "serp.validation_count": 200,
        "serp.test_count": 300,
    }
    config = configs.replace(small_config, changes)
    run = prepare(config, reproduce.data.load(config))
    settings = {"learning_rate": 0.1, "num_leaves": 8, "min_data_in_leaf": 20}
    columns = rivals.evaluate(run, name, settings, seed=0)
    # Chance is .5, all that is planted gives .85.
    assert 0.6 < columns["gauc"].mean < 0.85
    shown = reproduce.evaluation.true_utility(
        run, "test", np.tile(np.arange(8), (300, 1))
    )
    assert columns["utility"].mean > shown.mean()


def test_past_vectors_are_means_of_the_same_category(small_config):
    run = prepare(small_config, reproduce.data.load(small_config))
    requests, items = run.corpus.splits["test"], run.corpus.items
    found = rivals.features(run, requests)
    vectors, there = items.vectors["image"], items.present["image"]
    width = vectors.shape[1]
    start, end = requests.history_starts[5:7]
    past = requests.history[start:end]
    for place in range(8):
        item = requests.items[5 * 8 + place]
        same = past[(items.categories[past] == items.categories[item]) & there[past]]
        wanted = vectors[same].mean(0) if len(same) else np.full(width, np.nan)
        np.testing.assert_allclose(found[5 * 8 + place, -width:], wanted, rtol=1e-5)


@pytest.mark.parametrize("graded", [False, True])
def test_rivals_are_chosen_by_what_the_claims_are_about(
    graded, small_config, monkeypatch
):
    config = configs.replace(small_config, {"loss.target": "purchase"})
    corpus = reproduce.data.load(config)
    if graded:
        splits = {
            name: dataclasses.replace(
                part, purchases=np.maximum(part.purchases, part.clicks / 2)
            )
            for name, part in corpus.splits.items()
        }
        corpus = dataclasses.replace(corpus, splits=splits)
    run = prepare(config, corpus)
    # A booster that says the first number of a candidate, its price.
    monkeypatch.setattr(rivals, "fit", lambda *_, **__: FirstNumber())
    found = []
    monkeypatch.setattr(
        rivals.boosting, "search", lambda loss_of, *_, **__: found.append(loss_of({}))
    )
    rivals.search(run, "trees")
    part = corpus.splits["validation"]
    prices, gains = (
        np.split(values, part.starts[1:-1])
        for values in (corpus.items.fields[part.items, 0], part.purchases)
    )
    values = []
    for price, gain in zip(prices, gains, strict=True):
        if graded and gain.any():
            values.append(ndcg_score([gain], [price], k=10))
        elif not graded and 0 < gain.sum() < len(gain):
            values.append(roc_auc_score(gain, price))
    assert found == [pytest.approx(-np.mean(values))]


class FirstNumber:
    """Stands in for a booster."""

    def predict(self, values):
        return values[:, 0]
