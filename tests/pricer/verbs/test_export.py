import runpy

import numpy as np

from common.data.crops import cut_photos
from common.serving.standalone import Predictor
from pricer import data, saved_model
from pricer.verbs import export
from pricer.verbs.predict import Model


def test_the_program_says_what_the_model_says(run, shop, tmp_path):
    rows = shop.table.iloc[[0, 20, 40, 120, 140, 148]]
    listings = data.load_listings(run.config)
    photos = np.stack(
        [
            cut_photos(listings.source[row]["images"], run.config.photos, None)[0][0]
            for row in rows.index
        ]
    )
    export.write(saved_model.load(run.workdir, run.config), tmp_path)
    program = Predictor(tmp_path)
    keys = rows[["category", "seller"]].astype(object).where(rows.notna(), None)
    found = program.predict(keys.to_dict("records"), photo=photos)
    table = Model(run.workdir).predict(rows, shop.folder / "photos")
    np.testing.assert_allclose(found["gate"], table["gate"], rtol=1e-4)
    accepted = table["accepted"].to_numpy(bool)
    np.testing.assert_array_equal(found["accepted"], accepted)
    for name in ("price", "price_low", "price_high"):
        np.testing.assert_allclose(
            found[name][accepted], table[name][accepted], rtol=1e-3
        )
    about = program.metadata["about"]
    assert about["currency"] == "CNY" and about["interval"] == 0.9


def test_unknown_keys_have_the_overall_statistics(run):
    found = saved_model.load(run.workdir, run.config)
    encoders = export.encoders_of(found)
    tables = export.statistics_tables(found, encoders)
    (base,) = found.history.features(["no such"], ["nobody"])
    np.testing.assert_allclose(tables["base"], base, atol=1e-6)
    for key in ("category", "seller"):
        assert not tables[key][:2].any() and tables[key][2:].any(axis=1).all()
    category, seller = (v.categories for v in encoders.attributes)
    (expected,) = found.history.features([category[3]], [seller[1]])
    sum_ = tables["base"] + tables["category"][2 + 3] + tables["seller"][2 + 1]
    np.testing.assert_allclose(sum_, expected, atol=1e-5)


def test_a_photo_file_is_served_as_the_model_sees_it(run, shop, tmp_path):
    rows = shop.table.iloc[[0, 40, 148]]
    export.write(saved_model.load(run.workdir, run.config), tmp_path)
    program = runpy.run_path(str(tmp_path / "serve.py"))["Predictor"](tmp_path)
    cells = rows[["category", "seller", "photo"]].astype(object)
    records = cells.where(cells.notna(), None).to_dict("records")
    found = program.predict(records, images=shop.folder / "photos")
    table = Model(run.workdir).predict(rows, shop.folder / "photos")
    np.testing.assert_allclose(found["gate"], table["gate"], rtol=1e-5)
    accepted = table["accepted"].to_numpy(bool)
    np.testing.assert_array_equal(found["accepted"], accepted)
    for name in ("price", "price_low", "price_high"):
        np.testing.assert_allclose(
            found[name][accepted], table[name][accepted], rtol=1e-3
        )
