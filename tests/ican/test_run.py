"""What is said of the data before the first step."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from common.pretrained import word_vectors
from common.tables import schema as schemas
from common.text import linear_models
from ican import train
from ican.run import prepare, start_from_words
from ican.verbs.predict import Model


def test_columns_of_photos_that_stay_unused_are_told(shop, tmp_path, capsys):
    table = pd.read_csv(shop.folder / "table.csv", dtype=str)
    table["back"] = table["photo"]
    table.to_csv(tmp_path / "table.csv", index=False)
    schema = schemas.load(shop.folder / "schema.json")
    images = schemas.Images(("photo", "back"))
    schemas.save(dataclasses.replace(schema, images=images), tmp_path / "schema.json")
    files = {
        "data__path": str(tmp_path / "table.csv"),
        "data__schema": str(tmp_path / "schema.json"),
        "data__cache": str(tmp_path / "cache"),
    }
    line = "1 of 2 photo columns unused; --photos.count=2 uses them\n"
    for changes, said in (
        ({}, True),
        ({"photos__count": 2}, False),
        ({"model__kind": "attributes"}, False),
    ):
        prepare(shop.config(**files, **changes), tmp_path)
        assert (line in capsys.readouterr().err) == said


def wordy_config(shop, folder, title, **changes):
    """Attributes alone, with a text beside them."""
    table = pd.read_csv(shop.folder / "table.csv", dtype=str)
    table["title"] = [title(i, float(p)) for i, p in enumerate(table["price"])]
    table.to_csv(folder / "table.csv", index=False)
    schema = schemas.load(shop.folder / "schema.json")
    text = schemas.Attribute("title", "text", ("title",))
    schema = dataclasses.replace(
        schema, attributes=(text, *schema.attributes), images=None
    )
    schemas.save(schema, folder / "schema.json")
    files = {
        "data__path": str(folder / "table.csv"),
        "data__schema": str(folder / "schema.json"),
        "data__cache": str(folder / "cache"),
        "data__images": "",
        "model__kind": "attributes",
    }
    return shop.config(**files, **changes)


def telling(i, price):
    return f"a ring of class {'abcdefgh'[int(price // 60)]} {i % 3}"


def logits_of(run, state):
    batch = {
        name: jnp.asarray(array) for name, array in run.examples.loader.arrays.items()
    }
    variables = {"params": state.params}
    return np.asarray(run.learner.network.apply(variables, batch).logits)


def test_a_network_starts_as_the_linear_model_on_words(shop, tmp_path):
    config = wordy_config(shop, tmp_path, telling, loss__weighting="none")
    run = prepare(config, tmp_path)
    said = []
    start = start_from_words(run, tmp_path / "none", said.append)
    head = start["params"]["head"]
    found = logits_of(run, run.learner.init(start))
    arrays, spec = run.examples.loader.arrays, run.examples.encoders.spec()
    every = np.arange(len(run.examples.prices))
    rows = linear_models.word_rows(arrays, spec, every)
    kernel = head["wide_classifiers_0"]["kernel"]
    wanted = rows @ kernel + head["classifiers"]["bias"]
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, atol=1e-5)
    line, price_line = said
    assert line.endswith("the network starts from it")
    assert price_line.startswith("a linear model of the log price")
    assert price_line.endswith("the network starts from it")
    # The loss that is said is that of the first state on validation rows.
    rows = run.examples.listings.indices("validation")[run.examples.halves[0]]
    targets = arrays["targets"][rows]
    present = run.learner.class_counts > 0
    weights = np.take_along_axis(
        np.broadcast_to(present, (len(rows), *present.shape)), targets[..., None], 2
    )[..., 0]
    logits = np.where(present, found[rows], -np.inf)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    right = np.take_along_axis(logs, targets[..., None], -1)[..., 0]
    loss = -right[weights].mean()
    assert f"has a loss of {loss:.3f} on validation" in line
    again = start_from_words(run, tmp_path / "none", said.append)
    jax.tree.map(np.testing.assert_array_equal, again, start)


def test_words_that_mislead_leave_the_start_at_random(shop, tmp_path):
    """Dear words stand with dear rows in training, with cheap ones in validation."""

    def title(i, price):
        right = shop.rows[i]["split"] == "train"
        return telling(i, price if right else 480 - price)

    run = prepare(wordy_config(shop, tmp_path, title), tmp_path)
    said = []
    assert start_from_words(run, tmp_path / "none", said.append) is run.start
    assert all(line.endswith("the network starts at random") for line in said)
    state = run.learner.init(run.start)
    assert not np.asarray(state.params["head"]["wide_classifiers_0"]["kernel"]).any()


def test_given_weights_and_runs_that_have_begun_are_kept(shop, tmp_path):
    config = wordy_config(shop, tmp_path, telling, loss__weighting="none")
    said = []
    values = train.train_and_evaluate(config, tmp_path / "run", say=said.append)
    assert sum("starts from it" in line for line in said) == 2
    assert values["test/n"] == 13
    run = prepare(config, tmp_path / "run")
    assert start_from_words(run, tmp_path / "run", said.append) is run.start
    other = prepare(config, tmp_path / "new", tmp_path / "run")
    assert start_from_words(other, tmp_path / "new", said.append) is other.start
    assert sum("linear model" in line for line in said) == 2
    # New rows: words known and not, none, and a column that is lacking.
    model = Model(tmp_path / "run")
    rows = [
        {"id": n, "metal": "gold", "grams": 2, "carats": 1, "stones": "", "title": t}
        for n, t in (("a", "a ring of class b"), ("b", "unheard of"), ("c", None))
    ]
    found = model.predict(rows)
    assert (found["error"] == "").all() and found["price"].gt(0).all()
    assert found["price"].nunique() == 3
    with pytest.warns(UserWarning, match="no 'title': missing in all rows"):
        bare = model.predict(
            [{k: v for k, v in row.items() if k != "title"} for row in rows]
        )
    np.testing.assert_allclose(bare["price"], found["price"][2], rtol=1e-6)


def test_tables_of_words_start_from_trained_vectors(shop, tmp_path, monkeypatch):
    def vectors_of(terms):
        return np.random.default_rng(0).normal(size=(len(terms), 256))

    monkeypatch.setattr(word_vectors, "vectors_of", vectors_of)
    changes = {"attributes__word_vectors": "wordllama"}
    run = prepare(wordy_config(shop, tmp_path, telling, **changes), tmp_path)
    start = start_from_words(run, tmp_path / "none", lambda line: None)
    state = run.learner.init(start)
    found = state.params["head"]["embedding"]["words_0"]["kernel"]
    encoder = run.examples.encoders.attributes[0].encoder
    wanted = word_vectors.start_table(encoder, found.shape[1], run.config.train.seed)
    np.testing.assert_array_equal(found, wanted)
