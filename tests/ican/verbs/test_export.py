import dataclasses
import json
import runpy

import jax
import jax.export
import numpy as np
import pandas as pd
from PIL import Image

from common.data.crops import cut_photos
from common.serving.standalone import Predictor
from common.tables import schema as schemas
from ican import data, saved_model
from ican.run import prepare
from ican.verbs import export
from ican.verbs.predict import Model
from tests.common.serving.test_export import serve
from tests.ican.conftest import run_of


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
        np.testing.assert_allclose(found[name], table[name], rtol=1e-5)
    zones = program.metadata["about"]["zones"]
    order = np.argsort(-found["probabilities"], axis=1)
    for place in range(3):
        best = np.take_along_axis(found["probabilities"], order, 1)[:, place]
        np.testing.assert_allclose(best, table[f"probability_{place + 1}"], rtol=1e-5)
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
    np.testing.assert_allclose(found["price"], table["price"], rtol=1e-5)
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


def served(run, directory):
    """The loader that is exported, which takes files too."""
    export.write(saved_model.load(run.workdir, run.config), directory)
    return runpy.run_path(str(directory / "serve.py"))["Predictor"](directory)


def test_a_photo_that_is_served_is_prepared_as_in_training(photo_run, shop, tmp_path):
    """Turned by EXIF, larger than the crop, CMYK: all that changes pixels."""
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    rows = [{**row, "photo": f"{n}.jpg"} for n, row in enumerate(shop.rows[:4])]
    turned = Image.Exif()
    turned[0x0112] = 6
    for number, (mode, size) in enumerate(
        [("RGB", (90, 330)), ("RGB", (44, 40)), ("CMYK", (61, 50)), ("L", (700, 300))]
    ):
        pixels = rng.integers(0, 256, (*size, 4), np.uint8)
        image = Image.fromarray(pixels, "RGBA").convert("RGB").convert(mode)
        image.save(photos / f"{number}.jpg", exif=turned, quality=80)
    program = served(photo_run, tmp_path / "export")
    records = [
        {**cells, "photo": row["photo"]}
        for cells, row in zip(raw(rows), rows, strict=True)
    ]
    found = program.predict(records, images=photos)
    table = Model(photo_run.workdir).predict(rows, photos)
    assert (table["error"] == "").all()
    for name in ("price", "price_low", "price_high"):
        np.testing.assert_allclose(found[name], table[name], rtol=1e-5)
    data_of = [(photos / row["photo"]).read_bytes() for row in rows]
    one = program.predict_one({**raw(rows)[1], "photo": data_of[1]})
    np.testing.assert_allclose(one["price"], table["price"][1], rtol=1e-5)
    about = program.metadata["photos"]
    cut = {"fit": "crop", "resize": 40, "crop": 36, "count": 1}
    assert about == {"columns": ["photo"], "separator": "", "cut": cut}


def test_a_network_without_photos_takes_no_files(attributes_run, tmp_path):
    program = served(attributes_run, tmp_path)
    assert program.metadata["photos"] is None
    assert not (tmp_path / "photo_files.py").exists()


def worded_config(shop, folder, **changes):
    """The shop with titles, prepared in a folder."""
    frame = pd.read_csv(shop.folder / "table.csv", dtype=str)
    metals = enumerate(frame["metal"])
    frame["title"] = [f"a {metal} ring no {n % 4}" for n, metal in metals]
    frame.to_csv(folder / "table.csv", index=False)
    schema = schemas.load(shop.folder / "schema.json")
    title = schemas.Attribute("title", "text", ("title",))
    schema = dataclasses.replace(schema, attributes=(*schema.attributes, title))
    if changes.get("data__images") == "":
        schema = dataclasses.replace(schema, images=None)
    schemas.save(schema, folder / "schema.json")
    files = {
        "data__path": str(folder / "table.csv"),
        "data__schema": str(folder / "schema.json"),
        "data__cache": str(folder / "cache"),
    }
    return shop.config(**files, **changes)


def test_a_network_of_words_serves_what_it_predicts(shop, tmp_path):
    """With jax, numpy and flatbuffers alone: titles known and not, none, no key."""
    config = worded_config(shop, tmp_path, model__kind="attributes", data__images="")
    run = run_of(config, tmp_path / "run")
    titles = ["a gold ring no 2", "Unheard of 💍", "", None, "金", 18, 2.0]
    rows = [
        {**row, "title": text} for row, text in zip(shop.rows[:7], titles, strict=True)
    ]
    rows[1] = {**rows[0], "title": titles[1]}  # only the title differs
    export.write(saved_model.load(run.workdir, config), tmp_path / "export")
    records = [
        {**cells, "title": row["title"]}
        for cells, row in zip(raw(rows), rows, strict=True)
    ]
    del records[2]["title"]
    lines = [json.dumps(record) + "\n" for record in records]
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    done = serve(tmp_path / "export", "--records", tmp_path / "rows.jsonl")
    assert done.returncode == 0, done.stderr
    found = pd.DataFrame(map(json.loads, done.stdout.splitlines()))
    table = Model(run.workdir).predict(rows)
    assert (table["error"] == "").all()
    for name in ("price", "price_low", "price_high"):
        np.testing.assert_allclose(found[name], table[name].astype(float), rtol=1e-5)
    assert abs(found["price"][0] / found["price"][1] - 1) > 1e-4


def test_co_attention_on_words_takes_any_number_of_rows(shop, tmp_path):
    config = worded_config(shop, tmp_path)
    learner = prepare(config, tmp_path).learner
    state = jax.eval_shape(learner.init, {})
    (rows,) = jax.export.symbolic_shape("b")
    side, count = config.photos.crop, config.photos.count
    shapes = {name: ((w,), dtype) for name, (w, dtype) in learner.spec.arrays().items()}
    assert "word_ids" in shapes
    shapes["photos"] = (count, side, side, 3), np.uint8
    shapes["photo_mask"] = (count,), np.float32
    batch = {
        name: jax.ShapeDtypeStruct((rows, *shape), dtype)
        for name, (shape, dtype) in shapes.items()
    }
    outputs = jax.eval_shape(learner.predict, state, batch)
    assert all(leaf.shape[0] == rows for leaf in jax.tree.leaves(outputs))
