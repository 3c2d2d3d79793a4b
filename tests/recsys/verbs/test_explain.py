"""The table and the pictures of `--mode=explain`."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from recsys.verbs import explain
from recsys.verbs.explain import Photos
from recsys.verbs.predict import Model
from tests.recsys import saved_models
from tests.recsys.saved_models import plain_scores

NAMES = (
    "coarse-fine",
    "vbpr",
    "vbpr-i",
    "sherlock",
    "sherlock-i",
    "deepstyle",
    "deepstyle-i",
)
IDS = ["user", "rank", "item", "category", "score"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return saved_models.open_shop(tmp_path_factory.mktemp("shop"))


@pytest.mark.parametrize("name", NAMES)
def test_parts_keep_apart_from_the_ids_and_add_up_to_the_score(
    shop, name, tmp_path, monkeypatch
):
    """In parts.csv, by the formulas of the papers in NumPy."""
    pages = {}
    monkeypatch.setattr(explain, "draw", lambda model, found, photos: found)
    monkeypatch.setattr(
        explain.figures, "save", lambda found, path: pages.update({path.name: found})
    )
    # Each of the baselines has a part of the user too.
    changes = {} if name == "coarse-fine" else {"model__user_bias": True}
    model = Model(shop.save(tmp_path / "run", name, **changes))
    explain.write(model, ["owl", "wren"], tmp_path)
    table = pd.read_csv(tmp_path / "parts.csv")
    assert table["user"].tolist() == ["owl"] * 5 + ["wren"] * 5
    lists = model.recommend(["owl", "wren"], 5)
    assert table["item"].tolist() == lists["item"].tolist()
    users = [sorted({user for user, _ in shop.pairs}).index(u) for u in ("owl", "wren")]
    scores = plain_scores(model.network, model.trained.params, shop, users)
    parts = [c.removesuffix(", mean item") for c in table if c.endswith(", mean item")]
    assert not {"user", "item", *IDS} & set(parts) and "user bias" in parts
    given = [*(f"{p}, {what}" for p in parts for what in ("mean item", "difference"))]
    assert table.columns.tolist() == [*IDS, *parts, *given, "near"]
    total = table[parts].sum(axis=1)
    np.testing.assert_allclose(total, table["score"], rtol=1e-5, atol=1e-5)
    for place, row in enumerate(table.itertuples()):
        own = scores.iloc[place // 5]
        np.testing.assert_allclose(row.score, own[row.item], rtol=1e-4, atol=1e-4)
    means = table[[f"{p}, mean item" for p in parts]]
    usual = np.repeat(scores.mean(axis=1), 5)  # of all 30 items
    np.testing.assert_allclose(means.sum(axis=1), usual, rtol=1e-4, atol=1e-4)
    for part in parts:
        apart = table[part] - table[f"{part}, mean item"]
        np.testing.assert_allclose(table[f"{part}, difference"], apart, atol=1e-5)
        drawn = pages["user_001.png"].differences[part]
        np.testing.assert_allclose(drawn, apart[5:], rtol=1e-4, atol=1e-5)


def test_what_was_taken_is_explained_too_where_nothing_is_hidden(shop, tmp_path):
    model = Model(shop.save(tmp_path / "run", "vbpr-i", ranking__hide_training=False))
    found = explain.explain(model, saved_models.EVERYTHING)
    lists = model.recommend([saved_models.EVERYTHING], explain.LISTED)
    assert model.item_ids[found.items].tolist() == lists["item"].tolist()
    assert (found.near >= 0).all()  # itself among them
    np.testing.assert_array_equal(found.near[:, 0], found.items)


@pytest.fixture
def folder(tmp_path):
    for name, width in {"a.png": 20, "b.png": 40, "c.png": 30}.items():
        Image.new("RGB", (width, 20), (width, 0, 0)).save(tmp_path / name)
    (tmp_path / "page.png").write_bytes(b"<html></html>")
    return tmp_path


def open_photos(folder, *cells):
    names = np.array(cells, object)
    return Photos(names, folder)


@pytest.mark.parametrize(
    "cell",
    ["a.png, b.png", "a.png,b.png", "A.PNG|B.png", "a.png b.png", "['a.png', 'b.png']"],
)
def test_all_photos_of_an_item_are_shown(folder, cell):
    """Side by side, brought to one height; 20 and 40 pixels wide at a height of 20."""
    photos = open_photos(folder, "", "c.png|a.png" if "|" in cell else "c.png", cell)
    shown = photos.find(2)
    assert shown.shape == (256, 256 + 512, 3)
    assert (shown[:, :256, 0] == 20).all() and (shown[:, 256:, 0] == 40).all()
    assert photos.find(0) is None and photos.unread == {}
    photos.close()


def test_one_photo_is_shown_as_it_is(folder):
    photos = open_photos(folder, "c.png")
    assert photos.find(0).shape == (20, 30, 3)


def test_what_can_not_be_shown_is_told(folder):
    photos = open_photos(folder, "page.png", "none.png", "c.png", "[oops")
    assert [photos.find(i) is None for i in range(4)] == [True, True, False, True]
    assert photos.unread == {
        "page.png": "a web page (HTML), not a photo; download the photo again",
        "none.png": "no such file",
        "[oops": "no such file",
    }
