import dataclasses
import types

import jax
import numpy as np
import pytest

from common.config import configs
from common.data import ingest
from common.errors import UserError
from common.tables.schema import Schema
from common.training.loop_config import LoopConfig
from ican import data
from ican.config import Config

RESERVED = ["", ""]  # unknown, missing


@pytest.fixture(scope="module")
def examples(shop):
    config = shop.config()
    return data.make_examples(config, data.load_listings(config))


def record_of(examples, row):
    return examples.listings.source[row]


def test_items_are_the_encoded_cells(examples, shop):
    """Every attribute, looked up by hand."""
    metal, weight, stones = examples.encoders.attributes
    train = [shop.rows[i] for i in shop.positions("train")]
    grams = np.array([row["grams"] for row in train if row["grams"] != ""])
    carats = np.array([row["carats"] for row in train])
    fill = np.array([grams.mean(), carats.mean()])
    for row, cells in enumerate(shop.rows):
        item = examples.loader.load(record_of(examples, row))
        assert [*RESERVED, *metal.categories][item["categorical"][0]] == cells["metal"]
        lacks = cells["grams"] == ""
        assert item["missing"].tolist() == [float(lacks), 0]
        raw = np.array([fill[0] if lacks else cells["grams"], cells["carats"]])
        centred = (raw - weight.center) / weight.scale
        np.testing.assert_allclose(item["continuous"], centred, rtol=1e-5, atol=1e-6)
        on = {[*RESERVED, *stones.categories][i] for i in item["sets"].nonzero()[0]}
        assert on == set(cells["stones"].split("|"))
        assert item["price"] == np.float32(cells["price"])


def test_labels_count_the_edges_at_or_below_the_price(examples):
    edges = examples.ensemble.zones.edges
    assert len(edges) == 8
    for row in range(len(examples.prices)):
        item = examples.loader.load(record_of(examples, row))
        assert item["label"] == sum(edge <= examples.prices[row] for edge in edges)
        coordinate = examples.ensemble.zones.coordinate(examples.prices[row])
        wanted = (examples.ensemble.boundaries <= coordinate).sum(1)
        np.testing.assert_array_equal(item["targets"], wanted)


def test_all_is_fitted_on_training_rows_alone(examples, shop):
    train = np.array([shop.rows[i]["price"] for i in shop.positions("train")])
    assert set(examples.ensemble.zones.edges) <= set(train)
    np.testing.assert_array_equal(
        examples.ensemble.present, examples.ensemble.class_counts(train) > 0
    )


def test_augmentation_follows_from_the_generator(examples):
    first, second, other = (
        examples.loader.load_augmented(
            record_of(examples, 5), np.random.default_rng(seed)
        )
        for seed in (3, 3, 4)
    )
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
    assert (first["photos"] != other["photos"]).any()


def test_unseen_rows_are_drawn_in_training_alone(examples):
    loader = dataclasses.replace(examples.loader, unseen_rate=1.0)
    for row in range(len(examples.prices)):
        record = record_of(examples, row)
        assert loader.load(record)["categorical"][0] >= 2
        augmented = loader.load_augmented(record, np.random.default_rng(row))
        assert augmented["categorical"][0] == 0


def test_training_draws_every_training_row_once_an_epoch(examples, shop):
    prices = []
    with examples.train_batches(LoopConfig(batch_size=8), start_step=0) as batches:
        for _ in range(5):
            prices.extend(next(batches)["price"])
    wanted = [np.float32(shop.rows[i]["price"]) for i in shop.positions("train")]
    assert sorted(prices[:37]) == sorted(wanted)
    with examples.train_batches(LoopConfig(batch_size=8), start_step=4) as batches:
        assert next(batches)["price"].tolist() == prices[32:]


def test_photos_decoded_in_other_processes_are_the_same(examples):
    def first_batch(workers):
        loop = LoopConfig(batch_size=4, seed=3, workers=workers)
        with examples.train_batches(loop, start_step=2) as batches:
            return next(batches)

    alone, spread = first_batch(0), first_batch(1)
    assert alone["photos"].std() > 0
    jax.tree.map(np.testing.assert_array_equal, dict(spread), dict(alone))


def test_processes_share_every_batch(examples, monkeypatch):
    def first_batches():
        with examples.train_batches(LoopConfig(batch_size=8), start_step=3) as batches:
            drawn = next(batches)
        with examples.eval_batches("validation", 8) as batches:
            return drawn, next(batches)

    whole = first_batches()
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    parts = []
    for process in (0, 1):
        monkeypatch.setattr(jax, "process_index", lambda index=process: index)
        parts.append(first_batches())
    for place, batch in enumerate(whole):
        for name, array in batch.items():
            joined = np.concatenate([part[place][name] for part in parts])
            np.testing.assert_array_equal(joined, array, err_msg=name)


def test_half_of_the_validation_rows_choose(examples, shop):
    first, second = examples.halves
    with examples.choosing_batches(8) as batches:
        prices = np.concatenate([b["price"][b["mask"] > 0] for b in batches])
    rows = np.array(shop.positions("validation"))
    wanted = [shop.rows[row]["price"] for row in rows[first]]
    np.testing.assert_allclose(prices, wanted, rtol=1e-6)
    assert sorted([*first, *second]) == list(range(len(rows)))


def test_evaluation_keeps_the_order_and_pads_the_last_batch(examples, shop):
    with examples.eval_batches("test", 8) as batches:
        both = list(batches)
    mask = np.concatenate([batch["mask"] for batch in both])
    assert mask.tolist() == [1] * 13 + [0] * 3
    prices = np.concatenate([batch["price"] for batch in both])[:13]
    wanted = [np.float32(shop.rows[i]["price"]) for i in shop.positions("test")]
    assert prices.tolist() == wanted


def test_attributes_alone_read_no_photos(shop):
    config = shop.config(model__kind="attributes")
    examples = data.make_examples(config, data.load_listings(config))
    assert examples.source[4] == {"row": 4, "images": []}
    item = examples.loader.load(examples.source[4])
    assert not {"photos", "photo_mask", "features"} & item.keys()


def test_features_stand_in_for_photos(examples):
    class Features:
        """Row i holds i."""

        def rows(self, indices):
            return np.tile(np.asarray(indices)[:, None, None], (1, 4, 8))

    cached = examples.with_features(Features(), count=2)
    item = cached.loader.load(cached.source[6])
    np.testing.assert_array_equal(item["features"], np.full((4, 8), 6))
    assert item["photo_mask"].tolist() == [1, 0]
    assert "photos" not in item


@pytest.mark.parametrize("name", ["photo", "attributes"])
def test_one_input_is_that_of_another_row(examples, shop, name):
    rows = examples.listings.indices("test")
    mixed = examples.shuffled(name, rows, np.random.default_rng(0))
    keys = {"photo": {"photos"}, "attributes": set(data.INPUTS["attributes"])}[name]
    changed = 0
    for row in rows:
        before = examples.loader.load(examples.source[row])
        after = mixed.loader.load(mixed.source[row])
        for key in before.keys() - keys:
            np.testing.assert_array_equal(before[key], after[key])
        changed += any(not np.array_equal(before[key], after[key]) for key in keys)
    # No two photos are equal; attributes of this small shop may be.
    assert changed == len(rows) if name == "photo" else changed > len(rows) / 2
    train = examples.listings.indices("train")[0]
    np.testing.assert_array_equal(
        mixed.loader.load(mixed.source[train])["categorical"],
        examples.loader.load(examples.source[train])["categorical"],
    )


def test_feature_maps_are_those_of_another_row(examples):
    rows = examples.listings.indices("test")
    maps = np.arange(len(examples.prices), dtype=np.float16)[:, None, None]
    stored = types.SimpleNamespace(rows=lambda indices: maps[indices])
    cached = examples.with_features(stored, 1)
    mixed = cached.shuffled("photo", rows, np.random.default_rng(0))
    found = [
        int(mixed.loader.load({"row": r, "images": []})["features"][0, 0]) for r in rows
    ]
    assert sorted(found) == rows.tolist()
    assert not any(a == b for a, b in zip(found, rows, strict=True))


def test_words_move_with_their_weights(examples):
    count = len(examples.prices)
    numbers = np.arange(count)[:, None]
    words = {"word_ids": numbers, "word_weights": numbers / count}
    arrays = {**examples.loader.arrays, **words}
    loader = dataclasses.replace(examples.loader, arrays=arrays)
    texts = dataclasses.replace(examples, loader=loader)
    assert texts.inputs() == ["photo", "words", "attributes"]
    rows = examples.listings.indices("test")
    mixed = texts.shuffled("words", rows, np.random.default_rng(0)).loader.arrays
    ids = mixed["word_ids"][:, 0]
    np.testing.assert_array_equal(mixed["word_weights"][:, 0], ids / count)
    assert sorted(ids[rows]) == rows.tolist() and not np.any(ids[rows] == rows)
    others = np.setdiff1d(np.arange(count), rows)
    np.testing.assert_array_equal(ids[others], others)
    assert mixed["categorical"] is arrays["categorical"]


def test_the_inputs_are_those_that_have_columns(examples, shop):
    assert examples.inputs() == ["photo", "attributes"]
    config = shop.config(model__kind="attributes")
    alone = data.make_examples(config, data.load_listings(config))
    assert alone.inputs() == ["attributes"]


def test_photo_masks_count_what_is_there():
    source = [{"row": 0, "images": [b""] * n} for n in (0, 1, 3)]
    masks = data.photo_masks(source, 2)
    assert masks.tolist() == [[0, 0], [1, 0], [1, 1]]


def test_without_a_price_there_is_one_clear_line(examples):
    schema = Schema(examples.listings.schema.attributes)
    listings = dataclasses.replace(examples.listings, schema=schema)
    with pytest.raises(UserError, match="names no target; set target.column"):
        data.prices_of(listings)


def test_rings_are_drawn_where_no_table_is_given(tmp_path, monkeypatch):
    config = configs.replace(
        Config(),
        {
            "data.cache": str(tmp_path),
            "rings.train_count": 3,
            "rings.validation_count": 2,
            "rings.test_count": 1,
            "rings.pixels": 32,
        },
    )
    listings = data.load_listings(config)
    counts = [len(listings.indices(s)) for s in ("train", "validation", "test")]
    assert counts == [3, 2, 1]
    assert len(listings.schema.attributes) == 13
    assert (data.prices_of(listings) > 0).all()
    # The same rings are opened again, not drawn.
    monkeypatch.setattr(data.rings, "rows", lambda config: iter(()))
    again = data.load_listings(config)
    assert again.fingerprint == listings.fingerprint
    assert ingest.load_prepared(listings.directory).frame.equals(again.frame)
