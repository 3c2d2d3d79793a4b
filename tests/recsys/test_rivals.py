import importlib
import sys

import numpy as np
import pytest

from common.config import configs
from common.errors import UserError
from recsys import data, rivals
from recsys.models import neighbours
from recsys.run import prepare
from tests.recsys import saved_models


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return saved_models.open_shop(tmp_path_factory.mktemp("shop"))


def load(shop, name, **changes):
    config = shop.config(model__name=name, als__iterations=3, **changes)
    return config, data.load(config)


def weigh(shop, folder):
    """The same shop with a column of weights."""
    table = shop.folder / "interactions.csv"
    lines = table.read_text().splitlines()
    rows = [f"{line},{1 + number % 4}" for number, line in enumerate(lines[1:])]
    path = folder / "weighed.csv"
    path.write_text("\n".join([f"{lines[0]},count", *rows]))
    return {"data__interactions": str(path), "data__weight": "count"}


@pytest.mark.parametrize("name", ["als", "bpr"])
def test_scores_are_those_of_implicit(shop, name):
    pytest.importorskip("implicit")
    config, corpus = load(shop, name, data__split_fractions=(0.4, 0.3, 0.3))
    params = rivals.fit(config, corpus)
    run = prepare(config, corpus)
    users = np.arange(corpus.user_count)
    vectors = run.ranker.user_vectors(run.put_params(params), users)
    best = run.ranker.rank(
        run.ranker.index_items(run.put_params(params)), vectors, 5, None
    )
    shape = corpus.user_count, corpus.catalogue.item_count
    taken = neighbours.matrix_of(corpus.splits["train"], shape)
    model = rivals._fit_library(config, taken)
    seen, items = corpus.seen, np.array(model.item_factors)
    assert not seen.all()
    items[~seen] = 0
    if name == "bpr":  # whose last column is the bias
        items[~seen, -1] = items[seen, -1].min()
    scores = model.user_factors @ items.T
    np.testing.assert_allclose(best.scores, -np.sort(-scores)[:, :5], atol=2e-5)
    assert params["item_factor"].shape == (shape[1], config.model.width)


def test_als_gives_an_unknown_user_what_most_have_taken(shop):
    pytest.importorskip("implicit")
    config, corpus = load(shop, "als")
    run, params = prepare(config, corpus), rivals.fit(config, corpus)
    device = run.put_params(params)
    nobody = run.ranker.user_vectors(device, np.array([-1]))
    best = run.ranker.rank(run.ranker.index_items(device), nobody, 6, None).items[0]
    counts = np.bincount(corpus.splits["train"].items, minlength=30)
    assert best.tolist() == np.argsort(-counts, kind="stable")[:6].tolist()
    assert np.abs(params["item_bias"]).max() < 1.1e-5


def test_weights_are_the_confidence_of_als(shop, tmp_path):
    implicit = pytest.importorskip("implicit.als")
    config, corpus = load(shop, "als", **weigh(shop, tmp_path))
    params = rivals.fit(config, corpus)
    train = corpus.splits["train"]
    assert len(set(train.weights.tolist())) == 4
    shape = corpus.user_count, corpus.catalogue.item_count
    taken = neighbours.matrix_of(train, shape)
    with importlib.import_module("threadpoolctl").threadpool_limits(1, "blas"):
        model = implicit.AlternatingLeastSquares(
            config.model.width,
            regularization=10.0,
            alpha=10.0,
            iterations=3,
            random_state=0,
            num_threads=1,
        )
        model.fit(taken, show_progress=False)
    np.testing.assert_allclose(params["user_factor"], model.user_factors, rtol=1e-5)


def test_bpr_has_no_use_for_weights(shop, tmp_path):
    config, corpus = load(shop, "bpr", **weigh(shop, tmp_path))
    with pytest.raises(UserError, match="no use for --data.weight"):
        rivals.fit(config, corpus)


@pytest.mark.parametrize("name", ["als", "bpr"])
def test_without_implicit_the_extra_is_named(shop, name, monkeypatch):
    config, corpus = load(shop, name)
    monkeypatch.setitem(sys.modules, "implicit", None)
    monkeypatch.setitem(sys.modules, f"implicit.{name}", None)
    with pytest.raises(UserError, match=r"resale-jax\[rivals\]"):
        rivals.fit(config, corpus)


def test_item_knn_needs_no_library_and_no_seed(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "implicit", None)
    config, corpus = load(shop, "item-knn")
    one = rivals.fit(config, corpus)
    two = rivals.fit(configs.replace(config, {"train.seed": 3}), corpus)
    assert all((one[name] == two[name]).all() for name in one)
    assert one["near_values"].any()
