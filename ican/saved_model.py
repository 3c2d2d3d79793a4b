"""A trained model on disk, and how it is read back.

Beside the checkpoints a workdir holds `model.json` with all that was fitted (schema,
vocabularies, statistics, zones, calibration) and, where the network was trained on
cached feature maps, `backbone.safetensors`: no other file is needed to predict.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import jax
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
from ican.step import Seen, State, Task

FILE = "model.json"
BACKBONE = "backbone.safetensors"
PHASE = "train"


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A trained network with everything around it.

    Attributes:
      task: the network; sees photos, however it was trained.
      state: the best weights, on the host; without optimizer.
      schema: of the listings.
      encoders: of the attributes.
      calibration: of probabilities and intervals.
    """

    task: Task
    state: State
    schema: Schema
    encoders: Encoders
    calibration: Calibration

    @property
    def ensemble(self) -> Ensemble:
        """Zones and coarse classifiers."""
        return self.task.ensemble


def save(
    workdir: pathlib.Path,
    task: Task,
    schema: Schema,
    encoders: Encoders,
    calibration: Calibration,
) -> None:
    """Writes model.json."""
    contents = {
        "schema": json.loads(schemas.dumps(schema)),
        "encoders": encoders.to_json(),
        "ensemble": task.ensemble.to_dict(),
        "class_counts": task.class_counts.tolist(),
        "features": task.features,
        "calibration": calibration.to_dict(),
    }
    workdirs.write_signed(workdir / FILE, contents)


def load(workdir: pathlib.Path, config: Config) -> Trained:
    """Reads a trained model.

    Args:
      workdir: of a finished training run.
      config: of that run.

    Raises:
      UserError: where the folder holds no trained model, or a damaged one.
    """
    path = workdir / FILE
    try:
        contents = workdirs.read_signed(path)
        schema = schemas.loads(json.dumps(contents["schema"]))
        encoders = Encoders.from_json(contents["encoders"])
        ensemble = Ensemble.from_dict(contents["ensemble"])
        calibration = Calibration(**contents["calibration"])
        counts = np.asarray(contents["class_counts"])
        has_backbone = contents["features"] is not None
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: run --mode=train there to its end first"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        raise UserError(f"{path} is damaged ({error}); train again") from None
    task = Task(config, encoders.spec(), ensemble, counts, None, SINGLE)
    weights = load_weights(workdir)
    if has_backbone and "backbone" not in weights["params"]:
        raise UserError(f"{workdir / BACKBONE} is missing: restore it or train again")
    state = State(weights["params"], weights["batch_stats"], None)
    task.check_state(state, f"{workdir}: the trained")
    return Trained(task, state, schema, encoders, calibration)


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
        _, backbone = pretrained.resnet_from_torch(workdir / BACKBONE)
        for name, tree in backbone.items():
            weights[name]["backbone"] = tree
    return weights


Look = Callable[[Any, Any], Seen]


def see(look: Look, state: Any, batches: Iterable[Any], rows: int) -> Seen:
    """Runs a network over batches.

    Args:
      look: `execution.compile_predict(task.see)`.
      state: its weights, in device form.
      batches: padded; the last one may hold fewer rows than it is long.
      rows: number of real rows in all batches together.

    Returns:
      Host arrays with `rows` rows each.
    """
    parts = [look(state, batch) for batch in batches]
    return jax.tree.map(lambda *arrays: np.concatenate(arrays)[:rows], *parts)
