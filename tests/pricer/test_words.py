"""Words of listings as inputs of regression and gate, from training to serving."""

import dataclasses
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.tables import schema as schemas
from common.tables.cells import TEXT
from common.tables.encoders import Encoders
from common.tables.schema import Attribute, Schema
from common.text import linear_models
from pricer import data, saved_model, timing, train
from pricer.config import Config, ModelConfig, StatisticsConfig
from pricer.inputs import labels, words
from pricer.model import Pricer
from pricer.run import open_examples
from pricer.verbs import check, export
from pricer.verbs.predict import Model
from tests.pricer.conftest import Run
from tests.pricer.test_heads import ROWS, make_heads

TITLE = Attribute("title", "text", ("title",))


def worded(shop, folder, **changes) -> Config:
    """The bazaar with titles, one word of which goes with the price."""
    folder.mkdir(exist_ok=True)
    ranks = pd.qcut(shop.table["price"], 4, labels=["bad", "fair", "good", "fine"])
    numbers = np.arange(len(ranks)) % 3
    title = [f"{a} thing no {n}" for a, n in zip(ranks, numbers, strict=True)]
    shop.table.assign(title=title).to_csv(folder / "table.csv", index=False)
    schema = schemas.load(shop.folder / "schema.json")
    schema = dataclasses.replace(schema, attributes=(*schema.attributes, TITLE))
    schemas.save(schema, folder / "schema.json")
    files = {
        "data__path": str(folder / "table.csv"),
        "data__schema": str(folder / "schema.json"),
        "data__cache": str(folder / "cache"),
    }
    return shop.config(**files, model__texts=True, **changes)


@pytest.fixture(scope="module")
def worded_run(shop, tmp_path_factory) -> tuple[Run, list[str]]:
    """A network for the price and heads that read titles; what the run said."""
    folder = tmp_path_factory.mktemp("worded")
    config = worded(shop, folder / "files", model__features="single")
    said: list[str] = []
    values = train.train_and_evaluate(config, folder / "run", say=said.append)
    return Run(config, folder / "run", values), said


def encoded(titles):
    frame = pd.DataFrame({"title": pd.Series(titles, dtype=TEXT)})
    encoders = Encoders.fit(frame, Schema((TITLE,)))
    return encoders.spec(), words.encode(encoders, frame)


def test_words_reach_price_and_gate_and_lead_straight_to_the_price():
    spec, read = encoded(["a red ring", "a blue ring", "a red hat", None])
    network = Pricer(hidden=(3,), spec=spec)
    inputs = jnp.ones((4, 2))
    params = network.init(jax.random.key(0), inputs, read)["params"]
    size = spec.attributes[0].size
    assert params["wide_price_0"]["kernel"].shape == (size, 1)
    assert params["regression_words_0"]["kernel"].shape == (size, 64)
    assert params["gate_words_0"]["kernel"].shape == (size, 64)
    before = network.apply({"params": params}, inputs, read)
    assert len(np.unique(before.log_price)) == len(np.unique(before.gate_logit)) == 4
    ones = np.ones((size, 1), np.float32)
    changed = {**params, "wide_price_0": {"kernel": ones}}
    after = network.apply({"params": changed}, inputs, read)
    straight = read["word_weights"].sum(1)
    np.testing.assert_allclose(after.log_price - before.log_price, straight, atol=1e-5)
    np.testing.assert_array_equal(after.gate_logit, before.gate_logit)
    # Without texts the parameters are those of ever, bit for bit.
    alone = network.clone(spec=Pricer().spec).init(jax.random.key(0), inputs)
    named = Pricer(hidden=(3,)).init(jax.random.key(0), inputs, {"features": inputs})
    jax.tree.map(np.testing.assert_array_equal, alone, named)
    assert alone["params"].keys() == {"regression", "gate"}


def worded_heads(folder, title):
    """Heads on generated features, with a title for each row by its price."""
    made = make_heads(folder)
    prices = made.rows.log_prices
    ranks = np.searchsorted(np.quantile(prices, [0.25, 0.5, 0.75]), prices)
    titles = [title(row, "abcd"[rank]) for row, rank in enumerate(ranks)]
    spec, read = encoded(titles)
    rows = dataclasses.replace(made.rows, words=read, spec=spec)
    return dataclasses.replace(made, rows=rows)


def test_the_price_starts_as_ridge_regression_on_words(tmp_path):
    made = worded_heads(tmp_path, lambda row, rank: f"of class {rank}{rank}")
    scales, said = made.scales(), []
    start = made.start_from_words(tmp_path / "none", scales, said.append)
    state = made.learner(warm_up=True).init(scales, start)
    every = np.arange(ROWS)
    found = made.predict(state, every).log_price
    rows = linear_models.word_rows(made.rows.words, made.rows.spec, every)
    kernel = start["wide_price_0"]["kernel"]
    bias = start["regression"]["output"]["bias"]
    wanted = scales.price_mean + scales.price_scale * (rows @ kernel + bias)[:, 0]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    errors = (made.rows.log_prices - found)[43:] / scales.price_scale
    (line,) = said
    assert f"has a loss of {np.mean(errors**2):.3f} on validation" in line
    assert line.endswith("the network starts from it")
    # The run itself begins so, and one that has begun goes on.
    made.train(tmp_path / "run", said.append)
    assert said[1:] == [line]
    assert made.start_from_words(tmp_path / "run", scales, said.append) == {}
    assert len(said) == 2


def test_words_that_mislead_leave_the_start_at_random(tmp_path):
    turned = dict(zip("abcd", "dcba", strict=True))
    made = worded_heads(
        tmp_path, lambda row, rank: (rank if row < 43 else turned[rank]) * 2
    )
    said = []
    assert made.start_from_words(tmp_path / "none", made.scales(), said.append) == {}
    assert said[0].endswith("the network starts at random")


def test_predict_evaluate_and_the_export_agree(worded_run, shop, tmp_path):
    (run, said), table = worded_run, shop.table
    assert any("a linear model of the log price on words" in line for line in said)
    trained = saved_model.load(run.workdir, run.config)
    assert [a.attribute.name for a in trained.encoders.attributes] == ["title"]
    listings = data.load_listings(run.config)
    model, examples = Model(run.workdir), data.make_examples(run.config, listings)
    rows = examples.rows("test")
    context = model.context_of(examples, rows)
    direct = model.outputs_of(listings.frame, listings.source, rows, context)
    errors = examples.log_prices[rows] - direct.suggestion.log_price
    male = np.abs(errors).mean()
    np.testing.assert_allclose(male, run.values["test/male_all"], rtol=1e-3)
    # New rows that differ in the title alone: known, unknown, none, no text in the key.
    titles = ["fine thing no 1", "bad thing", "Unheard of 💍", None, 18]
    new = [{**table.iloc[0].to_dict(), "title": title} for title in titles]
    found = model.predict(new, shop.folder / "photos")
    assert (found["error"] == "").all()
    assert found["gate"].nunique() == 5
    export.write(trained, tmp_path)
    program = runpy.run_path(str(tmp_path / "serve.py"))["Predictor"](tmp_path)
    keys = ("category", "seller", "photo", "title")
    records = [
        {k: None if pd.isna(row[k]) else row[k] for k in keys if row[k] is not None}
        for row in new
    ]
    served = program.predict(records, images=shop.folder / "photos")
    np.testing.assert_allclose(served["gate"], found["gate"], rtol=1e-5)
    accepted = found["accepted"].to_numpy(bool)
    for name in ("price", "price_low", "price_high"):
        np.testing.assert_allclose(
            served[name][accepted], found[name][accepted], rtol=1e-5
        )
    assert len(np.unique(served["price"])) == 5
    assert "  title: text" in program.describe().splitlines()


def test_words_of_other_data_are_numbered_as_in_training(worded_run, shop, tmp_path):
    """Evaluating on a table whose own vocabulary is another one."""
    model = Model(worded_run[0].workdir)
    config = worded(shop, tmp_path / "other", model__features="single")
    listings = data.load_listings(config)
    frame = listings.frame.assign(title="good thing")
    other = dataclasses.replace(listings, frame=frame)
    context = model.context_of(data.make_examples(config, other), np.arange(3))
    wanted = words.encode(model.trained.encoders, frame.iloc[:3])
    np.testing.assert_array_equal(context.words["word_ids"], wanted["word_ids"])
    with pytest.raises(UserError, match="no column 'title' of kind text"):
        words.encode(model.trained.encoders, frame[["price"]])


def test_check_reads_the_words(shop, tmp_path):
    config = worded(shop, tmp_path / "files", model__features="single")
    plan = timing.prepare(config)
    _, section = check.describe_statistics(plan)
    assert "Words: of title." in section.blocks[1].text
    sizes = [text.size for text in plan.examples.encoders.spec().attributes]
    silent = dataclasses.replace(plan.examples, encoders=Encoders(()))
    without = timing.measure_heads(dataclasses.replace(plan, examples=silent))
    more = timing.measure_heads(plan).parameters - without.parameters
    # Two bags of 64, each read by 8 hidden units, and the wide path.
    assert more == 2 * 64 * (sizes[0] + 8) + sizes[0]


def test_texts_are_asked_for_by_one_knob_and_must_be_there(shop, tmp_path, capsys):
    config = worded(shop, tmp_path / "files")
    silent = dataclasses.replace(config, model=ModelConfig())
    examples = open_examples(silent)
    line = "--model.texts gives regression and gate the words of texts\n"
    assert line in capsys.readouterr().err
    listings = examples.listings
    assert "title" not in [a.name for a in listings.schema.attributes]
    assert not examples.context.words
    with pytest.raises(UserError, match=r"no attribute of kind text; .*--model.texts"):
        data.make_examples(config, listings)
    read = open_examples(config).listings
    assert line not in capsys.readouterr().err
    assert labels.describe_unused(read.schema, config.labels) == ""
    with pytest.raises(UserError, match="brand=title: must not be a text attribute"):
        labels.find(read.schema, "title", "brand")
    alone = ModelConfig(inputs="statistics", texts=True)
    Config(model=alone, statistics=StatisticsConfig(use=False))
