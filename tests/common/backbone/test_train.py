import json

import jax
import numpy as np
import pytest

from common import pretrained
from common.backbone import data, train
from common.backbone.step import PhotoLearner
from common.config import configs
from common.errors import UserError
from common.training import checkpointing, tree_paths


def test_it_learns_two_colours(run):
    assert run.values["classes"] == 2
    assert run.values["test/majority_top1"] < 0.8
    assert run.values["test/top1"] >= 0.9
    assert run.values["validation/top1"] >= 0.9


def test_majority_is_counted_on_training_rows(run, tmp_path):
    examples = data.load(run.config, tmp_path)
    train_labels, test_labels = (
        examples.labels[examples.rows(split)] for split in ("train", "test")
    )
    commonest = 1 if (train_labels == 1).mean() > 0.5 else 0
    share = (test_labels == commonest).mean()
    assert run.values["test/majority_top1"] == pytest.approx(share)
    assert run.values["test/n"] == len(test_labels)


def test_saved_weights_are_those_of_the_best_checkpoint(run):
    depth, variables = pretrained.backbone_from_torch(run.workdir / train.WEIGHTS)
    assert depth == "tiny"
    arrays = checkpointing.load_arrays(run.workdir)
    found = tree_paths.flatten(variables)
    assert len(found) > 50
    for name, leaf in found.items():
        collection, rest = name.split("/", 1)
        wanted = arrays[f"{collection}/backbone/{rest}"]
        np.testing.assert_array_equal(leaf, wanted, err_msg=name)


def test_training_starts_from_given_weights(run, tmp_path):
    """A step of nothing leaves what it began with."""
    weights = run.workdir / train.WEIGHTS
    changes = {
        "backbone.weights": str(weights),
        "optimizer.learning_rate": 0.0,
        "optimizer.weight_decay": 0.0,
        "train.steps": 1,
        "train.eval_every": 1,
        "train.log_every": 1,
        "train.checkpoint_every": 1,
    }
    train.train_and_save(configs.replace(run.config, changes), tmp_path)
    _, before = pretrained.backbone_from_torch(weights)
    _, after = pretrained.backbone_from_torch(tmp_path / train.WEIGHTS)
    jax.tree.map(np.testing.assert_array_equal, after["params"], before["params"])


def test_a_finished_run_is_not_trained_again(run, monkeypatch):
    _, before = pretrained.backbone_from_torch(run.workdir / train.WEIGHTS)

    def refuse(self, state, batch, key):
        raise AssertionError("a step was traced")

    monkeypatch.setattr(PhotoLearner, "step", refuse)
    values = train.train_and_save(run.config, run.workdir)
    assert json.loads(json.dumps(values)) == run.values
    _, after = pretrained.backbone_from_torch(run.workdir / train.WEIGHTS)
    jax.tree.map(np.testing.assert_array_equal, after, before)


def test_only_free_settings_may_change(run):
    config = configs.replace(run.config, {"label_smoothing": 0.2})
    with pytest.raises(UserError, match="label_smoothing is 0.1 there and 0.2 now"):
        train.train_and_save(config, run.workdir)
