import copy
import dataclasses
import io
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.errors import UserError
from pricer import data
from pricer.comparables import NO_GROUP
from pricer.gate import Threshold
from pricer.inputs import photo_quality
from pricer.run import prepare
from pricer.verbs.predict import TOO_LITTLE, Model
from tests.docs.pages import columns_of


@pytest.fixture(scope="module")
def model(run):
    return Model(run.workdir)


@pytest.fixture(scope="module")
def table(model, shop):
    return model.predict(shop.folder / "table.csv", shop.folder / "photos")


def test_from_photos_it_says_what_it_said_of_stored_features(table, run, shop):
    stored = pd.read_csv(run.workdir / "predictions_test.csv")
    found = table.iloc[stored["row"]]
    assert [*table][1:] == columns_of("pricer", "predict", "--output")[1:]
    accepted = found["accepted"].to_numpy(bool)
    np.testing.assert_array_equal(accepted, stored["accepted"])
    assert 0 < accepted.sum() < len(accepted)
    np.testing.assert_allclose(
        found["gate"], 1 / (1 + np.exp(-stored["gate"])), atol=2e-3
    )
    np.testing.assert_allclose(
        np.log(found["price"][accepted]),
        np.log(stored["suggested_price"][accepted]),
        atol=5e-3,
    )


def test_stored_predictions_name_the_rows_of_the_table(run, shop):
    stored = pd.read_csv(run.workdir / "predictions_test.csv")
    assert [*stored][1:] == columns_of("pricer", "train", "predictions_test.csv")
    rows = shop.table.iloc[stored["row"]]
    assert stored["item"].tolist() == rows["item"].astype(int).tolist()
    assert stored["line"].tolist() == (stored["row"] + 2).tolist()
    np.testing.assert_allclose(stored["price"], rows["price"])


def test_training_rows_are_compared_with_others_only(model, run):
    """Seen again from their photos, as `evaluate --split=train` does."""
    stored = prepare(run.config, run.workdir / "networks", lambda text: None)
    examples, heads = stored.examples, stored.heads
    rows = examples.rows("train")[:20]
    expected = heads.predict(stored.execution.replicate(model.trained.state), rows)
    listings, known = examples.listings, examples.context.rows(rows)
    outputs = model.outputs_of(listings.frame, listings.source, rows, known)
    np.testing.assert_allclose(
        outputs.suggestion.log_price, expected.log_price, atol=5e-3
    )
    alone = known._replace(groups=np.full(20, NO_GROUP, np.int32))
    outputs = model.outputs_of(listings.frame, listings.source, rows, alone)
    # Else each is nearest to itself.
    np.testing.assert_array_equal(outputs.alike[:, 0], np.arange(20))
    assert abs(outputs.suggestion.log_price - expected.log_price).max() > 0.02


def test_the_items_compared_with_are_named(table, run, shop):
    """A kept training item, come back as a new row, is most like itself."""
    examples = data.make_examples(run.config, data.load_listings(run.config))
    train = examples.rows("train")
    ids = shop.table["item"].astype(str).to_numpy()
    named = table["comparables"].str.split(", ")
    assert (named.str.len() == 3).all()
    assert [named[row][0] for row in train] == ids[train].tolist()
    assert set(named.explode()) <= set(ids[train])


def test_rows_keep_their_order_and_their_ids(table, shop):
    assert table["item"].tolist() == shop.table["item"].astype(str).tolist()
    assert (table["error"] == "").all()


def test_refused_photos_have_a_reason_and_no_price(table, shop):
    refused = ~table["accepted"].astype(bool)
    assert (
        table.loc[refused, ["price", "price_low", "price_high"]].isna().all(axis=None)
    )
    assert (table.loc[refused, "reason"] != "").all()
    train = shop.table.loc[shop.table["split"] == "train", "item"].astype(str)
    assert set(table.loc[refused, "like"]) <= set(train)
    assert (table.loc[~refused, ["reason", "like"]] == "").all(axis=None)
    known = {*photo_quality.TEXTS.values(), TOO_LITTLE}
    given = {part for text in table.loc[refused, "reason"] for part in text.split("; ")}
    assert given <= known


def test_accepted_prices_lie_in_their_interval(table, model):
    kept = table[table["accepted"].astype(bool)]
    radius = model.trained.calibration.radius
    np.testing.assert_allclose(kept["price_high"] / kept["price"], np.exp(radius))
    np.testing.assert_allclose(kept["price"] / kept["price_low"], np.exp(radius))


def test_new_rows_need_no_price_brand_or_date(model, shop, table):
    rows = shop.table.head(3)[["item", "photo", "category", "seller"]]
    found = model.predict(rows, shop.folder / "photos")
    pd.testing.assert_frame_equal(found, table.head(3))


def test_unknown_sellers_and_categories_are_priced(model, shop):
    rows = [
        {
            "item": "x",
            "photo": shop.table["photo"][0],
            "category": "zeppelin",
            "seller": "nobody",
        }
    ]
    found = model.predict(rows, shop.folder / "photos")
    assert found["error"][0] == "" and 0 < found["gate"][0] < 1


def test_a_bad_photo_is_an_error_of_its_row_alone(model, shop, tmp_path):
    first = shop.table.head(3).copy()
    for name in first["photo"]:
        (tmp_path / name).write_bytes((shop.folder / "photos" / name).read_bytes())
    broken = tmp_path / first["photo"][1]
    broken.write_bytes(broken.read_bytes()[:200])
    found = model.predict(first, tmp_path)
    assert found["error"].tolist()[::2] == ["", ""] and found["error"][1]
    assert found["accepted"][1] is None and np.isnan(found["gate"][1])
    assert (found["reason"][1], found["like"][1]) == ("", "")


def test_a_photo_of_one_colour_is_handled(model, shop, tmp_path):
    Image.new("RGB", (50, 40), (200, 10, 10)).save(tmp_path / "red.png")
    row = {"item": "x", "photo": "red.png", "category": None, "seller": None}
    found = model.predict([row], tmp_path)
    assert found["error"][0] == ""
    measured = photo_quality.measure(np.full((40, 50, 3), (200, 10, 10), np.uint8))
    codes = photo_quality.reason_codes(measured, model.trained.quality)
    assert "blank" in codes


def test_what_shows_nothing_is_refused_whatever_the_gate_says(model, shop, tmp_path):
    """Behind a gate that accepts everything."""
    lax = copy.copy(model)
    calibration = dataclasses.replace(
        model.trained.calibration, threshold=Threshold(-np.inf)
    )
    lax.trained = dataclasses.replace(model.trained, calibration=calibration)
    Image.new("RGB", (50, 40), (200, 10, 10)).save(tmp_path / "red.png")
    good = shop.table["photo"][0]
    shutil.copy(shop.folder / "photos" / good, tmp_path)
    keys = {"category": None, "seller": None}
    rows = [{"item": n, "photo": n, **keys} for n in ("red.png", good)]
    found = lax.predict(rows, tmp_path)
    assert list(found["error"]) == ["", ""]
    assert list(found["accepted"]) == [False, True]
    assert np.isnan(found["price"][0]) and found["price"][1] > 0
    assert "one colour" in found["reason"][0] and found["reason"][1] == ""
    assert not lax._shows_something({"images": []})


def test_an_unfinished_run_is_told(tmp_path, run):
    (tmp_path / "config.json").write_bytes((run.workdir / "config.json").read_bytes())
    with pytest.raises(UserError, match="run --mode=train there to its end"):
        Model(tmp_path)


def test_a_damaged_model_is_told(tmp_path, run):
    names = ("config.json", "examples.npz", "model.json", "comparables.npz")
    for name in names[:3]:
        (tmp_path / name).write_bytes((run.workdir / name).read_bytes())
    with pytest.raises(UserError, match="comparables.npz is missing: run --mode=train"):
        Model(tmp_path)
    whole = (run.workdir / names[3]).read_bytes()
    (tmp_path / names[3]).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"is damaged .comparables.npz: .*train again"):
        Model(tmp_path)
    (tmp_path / names[3]).write_bytes(whole)
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"threshold"', '"treshold"'))
    with pytest.raises(UserError, match="is damaged"):
        Model(tmp_path)


def test_reasons_come_from_every_photo_that_is_used(model, shop):
    """A good photo in front does not hide that the second shows nothing."""
    good = (shop.folder / "photos" / shop.table["photo"][0]).read_bytes()
    file = io.BytesIO()
    Image.new("RGB", (50, 40), (200, 10, 10)).save(file, "PNG")
    two = copy.copy(model)
    photos = dataclasses.replace(model.config.photos, count=2)
    two.config = dataclasses.replace(model.config, photos=photos)
    record = {"row": 0, "images": [good, file.getvalue(), good]}
    alone = model._reason(record)
    first, blank = ({"row": 0, "images": [data]} for data in (good, file.getvalue()))
    assert alone == model._reason(first) and "one colour" not in alone
    parts = two._reason(record).split("; ")
    assert "photo 2: " + model._reason(blank).split("; ")[0] in parts
    assert all(part.startswith(("photo 1: ", "photo 2: ")) for part in parts)
