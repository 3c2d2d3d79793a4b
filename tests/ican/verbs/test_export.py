import dataclasses
import json

import numpy as np

from common.data.crops import cut_photos
from common.serving.standalone import Predictor
from ican import data, saved_model
from ican.verbs import export
from ican.verbs.predict import Model


def exported(run, directory):
    export.write(saved_model.load(run.workdir, run.config), directory)
    return Predictor(directory)


def raw(rows):
    """Cells of the attributes, as an application has them."""
    columns = ("metal", "grams", "carats", "stones")
    return [{name: row[name] or None for name in columns} for row in rows]


def test_the_program_predicts_what_the_model_predicts(photo_run, shop, tmp_path):
    rows = shop.rows[:7]
    table = Model(photo_run.workdir).predict(rows, shop.folder / "photos")
    listings = data.load_listings(photo_run.config)
    photos = np.stack(
        [
            cut_photos(listings.source[row]["images"], photo_run.config.photos, None)[
                0
            ][0]
            for row in range(7)
        ]
    )
    program = exported(photo_run, tmp_path)
    found = program.predict(raw(rows), photo=photos)
    for name in ("price", "price_low", "price_high"):
        np.testing.assert_allclose(found[name], table[name], rtol=1e-4)
    zones = program.metadata["about"]["zones"]
    order = np.argsort(-found["probabilities"], axis=1)
    for place in range(3):
        best = np.take_along_axis(found["probabilities"], order, 1)[:, place]
        np.testing.assert_allclose(best, table[f"probability_{place + 1}"], rtol=1e-4)
    np.testing.assert_allclose(found["probabilities"].sum(1), 1, rtol=1e-5)
    assert [zones[j] for j in order[:, 0]] == table["zone_1"].tolist()
    assert program.metadata["about"]["currency"] == "USD"
    assert program.metadata["about"]["interval"] == 0.9
    assert "40 pixels" in program.metadata["inputs"]["photo"]["about"]


def test_attributes_alone_are_exported_without_photos(attributes_run, shop, tmp_path):
    program = exported(attributes_run, tmp_path)
    assert "photo" not in program.metadata["inputs"]
    found = program.predict(raw(shop.rows))
    table = Model(attributes_run.workdir).predict(shop.rows)
    np.testing.assert_allclose(found["price"], table["price"], rtol=1e-4)
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    assert metadata["outputs"]["probabilities"]["shape"] == [9]


def test_inputs_follow_what_the_network_sees(photo_run):
    found = saved_model.load(photo_run.workdir, photo_run.config)
    inputs = export.inputs_of(found)
    assert inputs["photo"].shape == (36, 36, 3)
    assert inputs["photo"].dtype == np.uint8
    assert inputs["categorical"].shape == (1,)
    assert inputs["continuous"].shape == inputs["missing"].shape == (2,)
    assert inputs["sets"].shape == (4,)  # unknown, missing, ruby, opal
    photos = dataclasses.replace(photo_run.config.photos, count=3)
    model = dataclasses.replace(photo_run.config.model, kind="visual")
    config = dataclasses.replace(photo_run.config, photos=photos, model=model)
    several = dataclasses.replace(
        found, learner=dataclasses.replace(found.learner, config=config)
    )
    inputs = export.inputs_of(several)
    assert inputs.keys() == {"photos", "photo_mask"}
    assert inputs["photos"].shape == (3, 36, 36, 3)
    assert inputs["photo_mask"].shape == (3,)
