import dataclasses
import types

import jax
import numpy as np
import pytest

from common import pretrained
from common.config import configs
from common.data.halves import halve
from common.errors import UserError
from common.layers import resnet
from common.training import checkpointing, metric_writer, tree_paths
from ican import data, evaluation, saved_model, step, train
from ican.config import Config
from ican.generated import catalogue
from ican.run import prepare
from ican.verbs.predict import Model
from tests.ican.conftest import random_backbone


def test_the_best_step_on_validation_is_judged_on_test(cached_run):
    steps, losses = metric_writer.read_curves(cached_run.workdir, "train")[
        "validation/loss"
    ]
    assert steps == [2, 4]
    assert cached_run.values["best_step"] == steps[int(np.argmin(losses))]
    assert cached_run.values["train/n"] == 37
    assert cached_run.values["validation/n"] == 23
    assert cached_run.values["test/n"] == 13


def test_the_curve_measures_the_half_that_chooses(attributes_run):
    """Once on the device over padded batches, once on the host over these rows."""
    curves = metric_writer.read_curves(attributes_run.workdir, "train")
    place = [2, 4].index(attributes_run.values["best_step"])
    model = Model(attributes_run.workdir)
    listings = data.load_listings(attributes_run.config)
    first, second = halve(listings)
    assert (len(first), len(second)) == (12, 11)
    assert model.trained.calibration.rows == 11
    rows = listings.indices("validation")[first]
    outputs = model.outputs_of(listings.frame, listings.source, rows)
    labels = model.trained.ensemble.zones.label(data.prices_of(listings)[rows])
    ranks = evaluation.rank_of(labels, outputs.scores)
    for k in (1, 3, 5, 7):
        found = curves[f"validation/top{k}"][1][place]
        assert found == pytest.approx(np.mean(ranks < k), abs=1e-6), k
    distance = np.abs(outputs.scores.argmax(1) - labels).mean()
    found = curves["validation/zone_distance"][1][place]
    assert found == pytest.approx(distance, abs=1e-6)


def test_the_majority_baseline_is_counted_on_training_rows(attributes_run, shop):
    edges = saved_model.load(attributes_run.workdir, attributes_run.config)
    zones = edges.ensemble.zones
    prices = {
        split: np.array([shop.rows[row]["price"] for row in shop.positions(split)])
        for split in ("train", "test")
    }
    counts = np.bincount(zones.label(prices["train"]), minlength=9)
    best = np.argsort(-counts, kind="stable")[:3]
    share = np.isin(zones.label(prices["test"]), best).mean()
    assert attributes_run.values["test/majority/top3"] == pytest.approx(share)
    errors = np.abs(np.log(prices["test"]) - np.median(np.log(prices["train"])))
    assert attributes_run.values["test/majority/male"] == pytest.approx(errors.mean())


def test_a_finished_run_is_not_trained_again(attributes_run, monkeypatch):
    before = (attributes_run.workdir / "metrics.jsonl").read_bytes()

    def refuse(self, state, batch, key):
        raise AssertionError("a step was traced")

    monkeypatch.setattr(step.Learner, "step", refuse)
    again = train.train_and_evaluate(attributes_run.config, attributes_run.workdir)
    assert again == attributes_run.values
    assert (attributes_run.workdir / "metrics.jsonl").read_bytes() == before


def test_only_free_settings_may_change(attributes_run):
    config = configs.replace(attributes_run.config, {"loss.normalise": True})
    with pytest.raises(UserError, match="loss.normalise is False there and True now"):
        train.train_and_evaluate(config, attributes_run.workdir)


def test_a_run_takes_all_weights_of_another(photo_run, shop, tmp_path):
    start = prepare(shop.config(), tmp_path, photo_run.workdir).start
    arrays = checkpointing.load_arrays(photo_run.workdir)
    found = tree_paths.flatten(start)
    assert {name.split("/")[1] for name in found if name.startswith("params")} == {
        "backbone",
        "head",
        "missing_photo",
    }
    for name, leaf in found.items():
        np.testing.assert_array_equal(leaf, arrays[name])


def test_weights_of_a_run_on_cached_features_have_their_backbone(
    cached_run, shop, tmp_path
):
    """Fine-tuning end to end must not begin with a random backbone."""
    run = prepare(shop.config(), tmp_path, cached_run.workdir)
    backbone = {name: modules["backbone"] for name, modules in run.start.items()}
    jax.tree.map(np.testing.assert_array_equal, backbone, random_backbone())
    config = shop.cached_config(backbone__weights="")
    run = prepare(config, tmp_path, cached_run.workdir)
    assert set(run.start["params"]) == {"head", "missing_photo"}
    assert run.learner.features == (4, 128)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"train__batch_size": 9, "parallel__devices": 2}, "batch size 9 can't"),
        ({"backbone__frozen": True}, "keeps random weights for ever"),
        ({"backbone__weights": "no.safetensors"}, "no.safetensors"),
        ({"backbone__pool": 3}, "pool=3 does not divide the map of 2 x 2"),
        ({"zones__count": 40}, "40 quantile zones need as many distinct"),
        ({"ensemble__band": 0.7}, "choose ensemble.band and ensemble.classifiers"),
    ],
)
def test_what_can_not_work_is_refused_before_the_first_step(
    changes, message, shop, tmp_path
):
    with pytest.raises(UserError, match=message):
        prepare(shop.config(**changes), tmp_path)


def test_weights_of_another_depth_are_refused(shop, tmp_path):
    config = shop.config(backbone__weights=str(shop.backbone), backbone__depth="18")
    with pytest.raises(
        UserError, match="holds weights of ResNet tiny, the config asks for ResNet 18"
    ):
        prepare(config, tmp_path)


def test_weights_with_too_few_stages_are_refused(shop, tmp_path):
    _, first = pretrained.backbone_from_torch(shop.backbone, stages=2)
    path = tmp_path / "part.safetensors"
    pretrained.save_backbone(path, resnet.SIZES["tiny"].up_to(2), first)
    with pytest.raises(UserError, match="part.safetensors: backbone/stage3_block0"):
        prepare(shop.config(backbone__weights=str(path)), tmp_path)


def test_weights_of_another_kind_are_refused(photo_run, shop, tmp_path):
    with pytest.raises(UserError, match="network has no 'backbone'"):
        prepare(shop.config(model__kind="attributes"), tmp_path, photo_run.workdir)
    with pytest.raises(UserError, match="head/.* has shape"):
        prepare(shop.config(model__kind="block"), tmp_path, photo_run.workdir)


def test_features_are_cached_of_frozen_backbones_alone():
    with pytest.raises(UserError, match="backbone.cache needs --backbone.frozen"):
        configs.replace(Config(), {"backbone.cache": "somewhere"})


def test_free_settings_are_settings():
    names = {name for name, *_ in configs.leaves(Config())}
    for entry in train.FREE:
        assert entry in names or any(name.startswith(entry) for name in names)
    assert dataclasses.is_dataclass(Config().loss)


@pytest.fixture(scope="module")
def titled(tmp_path_factory):
    """Rings with titles, without photos worth the name."""
    changes = {
        "data.cache": str(tmp_path_factory.mktemp("titled")),
        "rings.titles": True,
        **{f"rings.{split}_count": 90 for split in ("train", "validation", "test")},
        "rings.pixels": 16,
        "photos.resize": 16,
        "photos.crop": 16,
    }
    return configs.replace(Config(), changes)


def test_the_telling_word_is_looked_for_among_the_words(titled):
    examples = data.make_examples(titled, data.load_listings(titled))
    rows = examples.listings.indices("test")
    titles = examples.listings.frame["title"]
    encoder = examples.encoders.attributes[-1].encoder
    names = [encoder.name_entries(titles.iloc[row]) for row in rows]
    telling = set(catalogue.TELLING.names)
    attention = np.zeros((len(rows), 2, 13 + encoder.length))
    attention[:, :, 0] = 0.9  # attention to an attribute is none to a word
    for row, words in enumerate(names):
        place = next(i for i, word in enumerate(words) if telling & {*word.split()})
        attention[row, :, 13 + (place if row % 3 else (place + 5) % len(words))] = 0.1
    visual = np.ones((len(rows), 2, 1))
    outputs = step.Outputs(None, None, visual, attention)
    found = train._point(
        types.SimpleNamespace(examples=examples, config=titled), outputs
    )
    assert found["word_pointing"] == pytest.approx(2 / 3)
    assert 0 < found["word_pointing_prior"] < 0.5
    assert found["pointing"] == found["pointing_prior"]


def test_texts_can_be_left_out(titled):
    without = configs.replace(titled, {"model.texts": False})
    listings = data.load_listings(without)
    assert len(listings.schema.attributes) == 13
    assert listings.fingerprint == data.load_listings(titled).fingerprint
    examples = data.make_examples(without, listings)
    assert not examples.encoders.spec().texts()
    assert "word_ids" not in examples.loader.arrays
