"""A trained model on disk, and how it is read back.

Beside the checkpoints a workdir holds `model.json` with all that was fitted (schema,
vocabularies, statistics, zones, calibration) and, where the network was trained on
cached feature maps, `backbone.safetensors`: no other file is needed to predict.
"""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from common import pretrained
from common.errors import UserError
from common.parallel.devices import SINGLE
from common.tables import schema as schemas
from common.tables.encoders import Encoders
from common.tables.schema import Schema
from common.training import checkpointing, tree_paths, workdirs
from ican.config import Config
from ican.ensemble import Ensemble
from ican.evaluation import Calibration
from ican.step import Learner, State

FILE = "model.json"
BACKBONE = "backbone.safetensors"
PHASE = "train"


@dataclasses.dataclass(frozen=True, eq=False)
class SavedModel:
    """A trained network with everything around it.

    Attributes:
      learner: the network; sees photos, however it was trained.
      state: the best weights, on the host; without optimizer.
      schema: of the listings.
      encoders: of the attributes.
      calibration: of probabilities and intervals.
    """

    learner: Learner
    state: State
    schema: Schema
    encoders: Encoders
    calibration: Calibration

    @property
    def ensemble(self) -> Ensemble:
        """Zones and coarse classifiers."""
        return self.learner.ensemble


def save(
    workdir: pathlib.Path,
    learner: Learner,
    schema: Schema,
    encoders: Encoders,
    calibration: Calibration,
) -> None:
    """Writes model.json."""
    contents = {
        "schema": json.loads(schemas.dumps(schema)),
        "encoders": encoders.to_json(),
        "ensemble": learner.ensemble.to_dict(),
        "class_counts": learner.class_counts.tolist(),
        "features": learner.features,
        "log_prices": learner.log_prices,
        "calibration": calibration.to_dict(),
    }
    workdirs.write_signed(workdir / FILE, contents)


def load(workdir: pathlib.Path, config: Config) -> SavedModel:
    """Reads a trained model.

    Args:
      workdir: of a finished training run.
      config: of that run.

    Raises:
      UserError: where the folder holds no trained model, a damaged one, or one that
        is too old.
    """
    path = workdir / FILE
    with workdirs.reading(path):
        contents = workdirs.read_signed(path)
    if "log_prices" not in contents:
        raise UserError(
            f"{path}: the model was trained before ican had an output for the price:"
            " train again in another --workdir"
        )
    with workdirs.reading(path):
        schema = schemas.loads(json.dumps(contents["schema"]))
        encoders = Encoders.from_json(contents["encoders"])
        ensemble = Ensemble.from_dict(contents["ensemble"])
        calibration = Calibration.from_dict(contents["calibration"])
        mean, deviation = map(float, contents["log_prices"])
        counts = np.asarray(contents["class_counts"])
        has_backbone = contents["features"] is not None
    learner = Learner(
        config, encoders.spec(), ensemble, counts, None, SINGLE, (mean, deviation)
    )
    weights = load_weights(workdir)
    if has_backbone and "backbone" not in weights["params"]:
        raise UserError(f"{workdir / BACKBONE} is missing: restore it or train again")
    state = State(weights["params"], weights["batch_stats"], None)
    learner.check_state(state, f"{workdir}: the trained")
    return SavedModel(learner, state, schema, encoders, calibration)


def load_weights(workdir: pathlib.Path) -> dict[str, Any]:
    """Reads the best weights, with the backbone whose feature maps were cached.

    Args:
      workdir: of a training run, finished or not.

    Returns:
      {"params": …, "batch_stats": …}.

    Raises:
      UserError: where there are none, or damaged ones.
    """
    arrays = checkpointing.load_arrays(workdir, PHASE)
    weights = {
        name: tree_paths.nest(arrays, name) for name in ("params", "batch_stats")
    }
    if (workdir / BACKBONE).exists():
        _, backbone = pretrained.backbone_from_torch(workdir / BACKBONE)
        for name, tree in backbone.items():
            weights[name]["backbone"] = tree
    return weights
