import json
import shutil

import numpy as np
import pytest

from common.errors import UserError
from common.reports.price_distribution import Pooling
from common.training import checkpointing, tree_paths, workdirs
from ican import data, saved_model
from ican.evaluation import Calibration


def test_what_was_fitted_comes_back(attributes_run, shop):
    found = saved_model.load(attributes_run.workdir, attributes_run.config)
    listings = data.load_listings(attributes_run.config)
    examples = data.make_examples(attributes_run.config, listings)
    assert found.schema == listings.schema
    assert found.encoders == examples.encoders
    ensemble, wanted = found.ensemble, examples.ensemble
    assert ensemble.zones == wanted.zones
    for name in ("boundaries", "weights", "present"):
        np.testing.assert_array_equal(getattr(ensemble, name), getattr(wanted, name))
    train = examples.prices[listings.indices("train")]
    np.testing.assert_array_equal(
        found.learner.class_counts, wanted.class_counts(train)
    )
    assert found.calibration.level == 0.9
    assert found.calibration.rows == 11
    logs = np.log(train)
    assert found.learner.log_prices == pytest.approx((logs.mean(), logs.std()))


def test_calibration_keeps_every_bit(attributes_run, tmp_path):
    found = saved_model.load(attributes_run.workdir, attributes_run.config)
    exact = Calibration(Pooling(1 / 3, 1 / 7, 0.1), 0.9, 1 / 3, float("inf"), 3)
    shutil.copytree(attributes_run.workdir / "checkpoints", tmp_path / "checkpoints")
    saved_model.save(tmp_path, found.learner, found.schema, found.encoders, exact)
    again = saved_model.load(tmp_path, attributes_run.config)
    assert again.calibration == exact


def test_weights_are_those_of_the_best_checkpoint(attributes_run):
    found = saved_model.load(attributes_run.workdir, attributes_run.config)
    arrays = checkpointing.load_arrays(attributes_run.workdir)
    assert found.state.optimizer is None
    weights = tree_paths.flatten(found.state.params)
    assert len(weights) > 4
    for name, leaf in weights.items():
        np.testing.assert_array_equal(leaf, arrays[f"params/{name}"])


def test_a_folder_without_a_model_is_one_clear_line(attributes_run, tmp_path):
    with pytest.raises(UserError, match="model.json is missing: run --mode=train"):
        saved_model.load(tmp_path, attributes_run.config)


def test_a_model_from_before_there_was_a_price_output_is_one_clear_line(
    attributes_run, tmp_path
):
    contents = workdirs.read_signed(attributes_run.workdir / saved_model.FILE)
    del contents["log_prices"]
    contents["calibration"] = {"temperature": 1.0, "level": 0.9, "radius": 0.5}
    workdirs.write_signed(tmp_path / saved_model.FILE, contents)
    with pytest.raises(UserError, match="before ican had an output for the price"):
        saved_model.load(tmp_path, attributes_run.config)


@pytest.mark.parametrize("damage", ["cut", "field", "zones", "type"])
def test_a_damaged_model_is_one_clear_line(damage, attributes_run, tmp_path):
    text = (attributes_run.workdir / saved_model.FILE).read_text()
    contents = json.loads(text)
    if damage == "field":
        del contents["calibration"]["radius"]
    elif damage == "zones":
        contents["ensemble"]["zones"]["edges"] = [3.0, 2.0, 1.0]
    elif damage == "type":
        contents["encoders"] = 3
    text = text[:200] if damage == "cut" else json.dumps(contents)
    (tmp_path / saved_model.FILE).write_text(text)
    with pytest.raises(UserError, match=r"model.json is damaged \(.+\); train again"):
        saved_model.load(tmp_path, attributes_run.config)
