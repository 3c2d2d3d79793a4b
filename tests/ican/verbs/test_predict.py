import copy
import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest

import ican
from common.config import configs
from common.errors import UserError
from common.reports.price_distribution import Pooling
from ican import train
from ican.step import Outputs
from ican.verbs.predict import Model
from tests.docs.pages import columns_of

NUMBERS = ["price", "price_low", "price_high"]
NUMBERS += [f"probability_{place}" for place in (1, 2, 3)]
WORDS = [f"zone_{place}" for place in (1, 2, 3)]


@pytest.fixture(scope="module")
def model(photo_run):
    return ican.load(photo_run.workdir)


@pytest.fixture(scope="module")
def table(model, shop):
    """Predictions for the whole table of the shop."""
    return model.predict(shop.folder / "table.csv", shop.folder / "photos")


def assert_same(found, wanted):
    assert list(found.columns) == list(wanted.columns)
    for column in ["id", *WORDS, "error"]:
        assert found[column].tolist() == wanted[column].tolist()
    for column in NUMBERS:
        np.testing.assert_allclose(found[column], wanted[column], rtol=1e-5)


def test_every_way_in_gives_the_same(model, table, shop):
    photos = shop.folder / "photos"
    frame = pd.read_csv(shop.folder / "table.csv", dtype=str, keep_default_na=False)
    assert_same(model.predict(frame, photos), table)
    assert_same(model.predict(shop.rows, str(photos)), table)
    unpriced = [
        {name: cell for name, cell in row.items() if name not in ("price", "split")}
        for row in shop.rows
    ]
    assert_same(model.predict(unpriced, photos), table)


def test_rows_keep_their_order(model, table, shop):
    assert table["id"].tolist() == [row["id"] for row in shop.rows]
    assert [*table][1:] == columns_of("ican", "predict", "--output")[1:]
    turned = model.predict(shop.rows[::-1], shop.folder / "photos")
    assert_same(turned[::-1], table)


def test_the_numbers_are_those_of_the_evaluation(photo_run, table, shop):
    judged = pd.read_csv(photo_run.workdir / train.PREDICTIONS)
    assert [*judged][1:] == columns_of("ican", "train", train.PREDICTIONS)
    rows = shop.positions("test")
    assert judged["row"].tolist() == rows
    np.testing.assert_allclose(
        table["price"][rows], judged["predicted_price"], rtol=1e-5
    )
    assert table["zone_1"][rows].tolist() == judged["predicted_zone"].tolist()
    prices = np.array([shop.rows[row]["price"] for row in rows])
    errors = np.abs(np.log(table["price"][rows]) - np.log(prices))
    assert errors.mean() == pytest.approx(photo_run.values["test/male"], rel=1e-5)
    named = (table["zone_1"][rows].to_numpy() == judged["zone"].to_numpy()).mean()
    assert named == pytest.approx(photo_run.values["test/top1"])
    inside = (table["price_low"][rows] <= prices) & (
        prices <= table["price_high"][rows]
    )
    assert inside.mean() == pytest.approx(photo_run.values["test/coverage"])


def test_columns_follow_from_scores_by_hand(model):
    zones = model.trained.ensemble.zones
    pooling = Pooling(0.5, 0.0, 50.0)  # no named price, and flat inside a zone
    told_by = dataclasses.replace(
        model.trained.calibration, pooling=pooling, radius=0.25
    )
    model = copy.copy(model)
    model.trained = dataclasses.replace(model.trained, calibration=told_by)
    scores = np.zeros((1, 9))
    scores[0, [4, 2, 7]] = 3.0, 2.0, 1.0
    told = model.describe(Outputs(scores, np.array([5.0])))
    names = [zones.names()[j] for j in (4, 2, 7)]
    assert [told[f"zone_{place}"][0] for place in (1, 2, 3)] == names
    shares = np.exp(scores[0] / 2)
    shares /= shares.sum()
    for place, j in enumerate((4, 2, 7), start=1):
        assert told[f"probability_{place}"][0] == pytest.approx(shares[j])
    for name, share in (("price", 0.5), ("price_low", 0.25), ("price_high", 0.75)):
        before = shares.cumsum() - shares
        zone = int((shares.cumsum() <= share).sum())
        assert 0 < zone < 8  # the end zones are wider than flat
        low, high = np.log(zones.edges[zone - 1 : zone + 1])
        point = low + (high - low) * (share - before[zone]) / shares[zone]
        assert np.log(told[name][0]) == pytest.approx(point, abs=1e-3)


def test_every_zone_is_told_where_that_is_asked_for(photo_run, model, table, shop):
    config = configs.replace(photo_run.config, {"predict.zones": "all"})
    rows = [*shop.rows[:5], {**shop.rows[0], "photo": "nowhere.png"}]
    found = Model(photo_run.workdir, config).predict(rows, shop.folder / "photos")
    names = model.trained.ensemble.zones.names()
    columns = [column for column in found if column.startswith("zone ")]
    assert columns == [f"zone {name}" for name in names]
    each = found[columns].to_numpy()
    assert np.isnan(each[5]).all()
    np.testing.assert_allclose(each[:5].sum(1), 1)
    for row in range(5):
        assert names[each[row].argmax()] == found["zone_1"][row]
        assert each[row].max() == found["probability_1"][row]
        # The price lies where the probabilities, added up, pass one half.
        zone = int((each[row].cumsum() <= 0.5).sum())
        label = model.trained.ensemble.zones.label(found["price"][row])
        assert label == zone
    assert_same(found.drop(columns=columns)[:5], table[:5])


def test_a_row_that_cannot_be_read_says_why(model, table, shop, tmp_path):
    rows = [dict(row) for row in shop.rows[:6]]
    rows[1]["photo"] = "nowhere.png"
    rows[2]["photo"] = ""
    rows[4]["grams"] = "heavy"
    found = model.predict(rows, shop.folder / "photos")
    assert found["id"].tolist() == [row["id"] for row in rows]
    assert [bool(error) for error in found["error"]] == [0, 1, 1, 0, 1, 0]
    assert "nowhere.png" in found["error"][1]
    assert found["error"][4].startswith("grams: ")
    bad, good = [1, 2, 4], [0, 3, 5]
    assert found.loc[bad, [*NUMBERS, *WORDS]].isna().all(axis=None)
    np.testing.assert_allclose(found["price"][good], table["price"][good], rtol=1e-5)


def test_where_no_row_can_be_read_all_columns_are_there_and_empty(model, table, shop):
    rows = [{**shop.rows[0], "photo": "nowhere.png"}] * 2
    found = model.predict(rows, shop.folder / "photos")
    assert list(found.columns) == list(table.columns)
    assert found[[*NUMBERS, *WORDS]].isna().all(axis=None)
    assert (found["error"] != "").all()


def test_unseen_categories_and_empty_cells_are_normal(model, shop):
    rows = [
        {**shop.rows[0], "metal": "unobtainium", "stones": "kryptonite"},
        {**shop.rows[0], "metal": "", "grams": "", "carats": "", "stones": ""},
    ]
    found = model.predict(rows, shop.folder / "photos")
    assert found["error"].tolist() == ["", ""]
    assert found["price"][0] != found["price"][1]


def test_without_an_id_rows_are_named_by_their_line(photo_run, shop, tmp_path):
    model = Model(photo_run.workdir)
    schema = dataclasses.replace(model.trained.schema, id=None)
    model.trained = dataclasses.replace(model.trained, schema=schema)
    frame = pd.DataFrame(shop.rows[:3]).drop(columns="id")
    frame.to_csv(tmp_path / "new.csv", index=False)
    found = model.predict(tmp_path / "new.csv", shop.folder / "photos")
    assert found.columns[0] == "line"
    assert found["line"].tolist() == [2, 3, 4]


def test_attributes_alone_need_no_photos(attributes_run, shop):
    model = Model(attributes_run.workdir)
    bare = [{k: v for k, v in row.items() if k != "photo"} for row in shop.rows]
    found = model.predict(bare)
    assert (found["error"] == "").all()
    judged = pd.read_csv(attributes_run.workdir / train.PREDICTIONS)
    np.testing.assert_allclose(
        found["price"][judged["row"]], judged["predicted_price"], rtol=1e-5
    )


def test_photos_are_needed_where_the_network_sees_them(model, shop):
    with pytest.raises(UserError, match="names photos .* but no image folder"):
        model.predict(shop.rows)
    with pytest.raises(UserError, match="no.csv"):
        model.predict(shop.folder / "no.csv", shop.folder / "photos")


def test_another_batch_size_gives_the_same(photo_run, table, shop):
    train_config = dataclasses.replace(photo_run.config.train, batch_size=5)
    config = dataclasses.replace(photo_run.config, train=train_config)
    model = Model(photo_run.workdir, config)
    assert_same(model.predict(shop.rows[:7], shop.folder / "photos"), table[:7])


def test_model_is_one_folder_that_can_be_moved(cached_run, shop, tmp_path):
    before = Model(cached_run.workdir)
    shutil.copytree(cached_run.workdir, tmp_path / "moved")
    after = Model(tmp_path / "moved")
    photos = shop.folder / "photos"
    assert_same(
        after.predict(shop.rows[:3], photos), before.predict(shop.rows[:3], photos)
    )
    assert before.trained.learner.spec.names == ("metal", "weight", "stones")
