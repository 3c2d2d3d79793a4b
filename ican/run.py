"""What stands before the first step of a run: data, network, devices."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from common import pretrained
from common.data import ingest
from common.errors import UserError
from common.parallel.execution import Execution, make_execution
from common.training import activity
from ican import data, features, saved_model
from ican.config import BackboneConfig, Config
from ican.data import Examples
from ican.step import Learner, Outputs


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run before its first step.

    Attributes:
      config: of the run.
      execution: what it runs on.
      examples: rows and what was fitted on them.
      learner: the network.
      start: host tree of weights to begin with.
      predict: (state, batches, rows) -> outputs of the network on the host.
    """

    config: Config
    execution: Execution
    examples: Examples
    learner: Learner
    start: Mapping[str, Any]
    predict: Callable[[Any, Iterable[Any], int], Outputs]


@activity.doing("preparing the data")
def prepare(
    config: Config, workdir: pathlib.Path, init_from: pathlib.Path | None = None
) -> Run:
    """Opens data, backbone and devices.

    Args:
      config: of the run.
      workdir: of the run; gets a copy of a backbone that features are cached of.
      init_from: workdir of another run to take all weights from.

    Raises:
      UserError: whatever is wrong with data, weights or settings.
    """
    execution = make_execution(config.parallel)
    execution.check_batch(config.train.batch_size)
    start, origin = _starting_weights(config, init_from)
    listings = data.load_listings(config)
    if config.model.sees_photos:
        ingest.say_unused_photos(listings.frame, listings.schema, config.photos)
        if note := config.backbone.note_fit(config.photos.fit):
            ingest.print_line(note)
    examples = data.make_examples(config, listings)
    shape = None
    if config.backbone.cache and config.model.sees_photos:
        examples, shape = features.cache(config, examples, execution, start, workdir)
        start = {
            collection: {k: v for k, v in modules.items() if k != "backbone"}
            for collection, modules in start.items()
        }
    train_prices = examples.prices[examples.listings.indices("train")]
    learner = Learner(
        config,
        examples.encoders.spec(),
        examples.ensemble,
        examples.ensemble.class_counts(train_prices),
        shape,
        execution.devices,
        standard_of(train_prices),
    )
    learner.check_start(start, origin)
    predict = execution.predict_all(learner.predict)
    return Run(config, execution, examples, learner, start, predict)


def standard_of(prices: np.ndarray) -> tuple[float, float]:
    """(mean, standard deviation) of the log prices; 1 where all are the same."""
    logs = np.log(prices)
    return float(logs.mean()), float(logs.std()) or 1.0


def _starting_weights(
    config: Config, init_from: pathlib.Path | None
) -> tuple[dict[str, Any], str]:
    """Weights to begin with, and where they come from."""
    start: dict[str, Any] = {}
    origin = ""
    if init_from is not None:
        start, origin = saved_model.load_weights(init_from), str(init_from)
    elif config.backbone.weights and config.model.sees_photos:
        start, origin = _backbone_weights(config.backbone), config.backbone.weights
    random = "backbone" not in start.get("params", {})
    if random and config.backbone.frozen and config.model.sees_photos:
        raise UserError(
            "--backbone.frozen keeps random weights for ever: give trained ones"
            " with --backbone.weights=FILE"
        )
    return start, origin


def _backbone_weights(config: BackboneConfig) -> dict[str, Any]:
    """Weights that the user brings."""
    variables = pretrained.backbone_of_name(
        config.weights, config.network, "backbone", config.stages
    )
    return {name: {"backbone": tree} for name, tree in variables.items()}
