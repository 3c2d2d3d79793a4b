"""A trained pricer on disk, and how it is read back.

workdir/model.json                         all that was fitted, and what it was on
workdir/networks/<task>/network.safetensors   what features come from
workdir/checkpoints/                       regression and gate
workdir/examples.npz                       accepted training items, to point at
workdir/comparables.npz                    training items to compare with, if any
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from common import pretrained
from common.backbone.extraction import photo_vectors
from common.parallel.devices import SINGLE, Devices
from common.tables import schema as schemas
from common.tables.encoders import Encoders
from common.tables.schema import Schema
from common.training import checkpointing, tree_paths, workdirs
from pricer import comparables, networks
from pricer.comparables import Comparables
from pricer.config import Config
from pricer.evaluation import Calibration
from pricer.heads import JOINT
from pricer.inputs.history import PriceHistory
from pricer.inputs.photo_quality import Limits
from pricer.inputs.trimming import PriceLimits
from pricer.model import Suggestion
from pricer.step import Learner, Scales, State

FILE = "model.json"
EXAMPLES = "examples.npz"
COMPARABLES = "comparables.npz"
NETWORKS = "networks"


class Outputs(NamedTuple):
    """What comes out for a batch of photos, on device or host.

    Attributes:
      suggestion: of price and gate.
      vectors: [B, F], standardised features of length 1.
      alike: int32 [B, k], the most alike items among the comparables, the nearest
        first; k = 0 without comparables.
    """

    suggestion: Suggestion
    vectors: Any
    alike: Any


@dataclasses.dataclass(frozen=True, eq=False)
class AcceptedItems:
    """Accepted training items that a refused one can be compared with.

    Attributes:
      ids: [n] what names a row of the training table.
      features: float16 [n, F], standardised and of length 1.
    """

    ids: np.ndarray
    features: np.ndarray

    def nearest(self, vectors: np.ndarray) -> np.ndarray:
        """The id of the nearest item by cosine, for standardised features [B, F]."""
        if not len(self.ids):
            return np.full(len(vectors), None)
        scores = np.asarray(vectors, np.float32) @ self.features.astype(np.float32).T
        return self.ids[scores.argmax(1)]


@dataclasses.dataclass(frozen=True, eq=False)
class Compared:
    """Training items that every photo is compared with.

    Attributes:
      ids: [n] what names a row of the training table.
      items: the same items, as `comparables` reads them.
    """

    ids: np.ndarray
    items: Comparables

    def names(self, alike: np.ndarray) -> list[str]:
        """Ids of items int [B, k], joined by commas."""
        return [", ".join(row) for row in self.ids[alike]]


@dataclasses.dataclass(frozen=True, eq=False)
class SavedModel:
    """A trained pricer with everything around it.

    Attributes:
      config: of the run.
      state: regression and gate, on the host; without optimizer.
      networks: {task: variables of its backbone} in the order of the features.
      schema: of the listings.
      encoders: of the texts, if any are read.
      history: statistics of the training prices.
      limits: beyond which a training price was an outlier.
      calibration: threshold of the gate, radius of the interval.
      quality: what the photos that it can price look like.
      accepted: training items to point at.
      compared: training items that photos are compared with, if any.
    """

    config: Config
    state: State
    networks: Mapping[str, Any]
    schema: Schema
    encoders: Encoders
    history: PriceHistory
    limits: PriceLimits
    calibration: Calibration
    quality: Limits
    accepted: AcceptedItems
    compared: Compared | None

    @property
    def weights(self) -> dict[str, Any]:
        """What `predict` computes with."""
        # No dict: jax sorts the keys of one, and the order is that of the features.
        return {
            "networks": tuple(map(networks.in_network, self.networks.values())),
            "heads": self.state,
            "comparables": self.compared.items if self.compared else None,
        }

    def predict(
        self, weights: Any, batch: Mapping[str, Any], devices: Devices = SINGLE
    ) -> Outputs:
        """What is suggested for photos: a pure function.

        Args:
          weights: as the property has them.
          batch: "photos" uint8 [B, M, H, W, 3], "photo_mask" [B, M], "statistics"
            float32 [B, S] of earlier prices; "word_ids" and "word_weights" [B, sum L]
            where texts are read; "group" int32 [B] where rows may be training items,
            see `comparables.find`.
          devices: what the batch is spread over.
        """
        network = networks.make_network(self.config, 1, devices)
        vectors = jnp.concatenate(
            [
                photo_vectors(network, variables, batch)
                for variables in weights["networks"]
            ],
            axis=1,
        )
        # Stored features are kept so; the heads have seen no others.
        vectors = vectors.astype(jnp.float16)
        head: State = weights["heads"]
        statistics = batch["statistics"]
        alike = jnp.zeros((statistics.shape[0], 0), jnp.int32)
        if (items := weights["comparables"]) is not None:
            config = self.config.comparables
            near, alike = comparables.find(
                items, config.count, vectors, batch.get("group")
            )
            columns = comparables.describe(items, config.sharpness, near, alike)
            statistics = jnp.concatenate([statistics, columns], axis=1)
        widths = vectors.shape[1], statistics.shape[1]
        spec = self.encoders.spec()
        learner = Learner(self.config, *widths, devices=devices, spec=spec)
        inputs = {**batch, "features": vectors, "statistics": statistics}
        suggestion = learner.predict(head, inputs)
        return Outputs(suggestion, unit_features(vectors, head.scales), alike)


def unit_features(vectors: Any, scales: Scales) -> jax.Array:
    """Features [B, F], standardised and scaled to length 1."""
    standard = (vectors.astype(jnp.float32) - scales.feature_mean[None]) / (
        scales.feature_scale[None]
    )
    return comparables.to_unit_length(standard)


def save(workdir: pathlib.Path, model: SavedModel) -> None:
    """Writes all that stands beside checkpoints and networks."""
    accepted, compared = model.accepted, model.compared
    with open(workdir / EXAMPLES, "wb") as file:
        np.savez(file, ids=accepted.ids.astype(str), features=accepted.features)
    if compared is not None:
        with open(workdir / COMPARABLES, "wb") as file:
            np.savez(file, ids=compared.ids.astype(str), **compared.items._asdict())
    contents = {
        "schema": json.loads(schemas.dumps(model.schema)),
        "texts": model.encoders.to_json(),
        "networks": list(model.networks),
        "history": model.history.to_json(),
        "limits": model.limits.to_json(),
        "calibration": model.calibration.to_json(),
        "quality": model.quality.to_json(),
    }
    workdirs.write_signed(workdir / FILE, contents)


def load(workdir: pathlib.Path, config: Config) -> SavedModel:
    """Reads a trained pricer.

    Args:
      workdir: of a finished training run.
      config: of that run.

    Raises:
      UserError: where the folder holds no trained model, or a damaged one.
    """
    path = workdir / FILE
    with workdirs.reading(path):
        contents = workdirs.read_signed(path)
        schema = schemas.loads(json.dumps(contents["schema"]))
        # A model of before the texts has none.
        encoders = Encoders.from_json(contents.get("texts", {"attributes": []}))
        fitted = (
            PriceHistory.from_json(contents["history"]),
            PriceLimits.from_json(contents["limits"]),
            Calibration.from_json(contents["calibration"]),
            Limits.from_json(contents["quality"]),
        )
        tasks = [str(task) for task in contents["networks"]]
        saved = workdirs.read_arrays(workdir / EXAMPLES)
        accepted = AcceptedItems(saved["ids"], saved["features"])
        compared = None
        if config.comparables.count:
            saved = workdirs.read_arrays(workdir / COMPARABLES)
            compared = Compared(saved.pop("ids"), Comparables(**saved))
    variables = {}
    for task in tasks:
        file = workdir / NETWORKS / task / networks.WEIGHTS
        _, variables[task] = pretrained.backbone_from_torch(file)
    state = _load_state(workdir)
    return SavedModel(
        config, state, variables, schema, encoders, *fitted, accepted, compared
    )


def _load_state(workdir: pathlib.Path) -> State:
    arrays = checkpointing.load_arrays(workdir, JOINT)
    return State(
        tree_paths.nest(arrays, "params"),
        Scales(*(arrays.get(f"scales/{name}") for name in Scales._fields)),
        arrays["beta"],
        None,
    )
