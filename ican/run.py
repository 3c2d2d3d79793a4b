"""What stands before the first step of a run: data, network, devices."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from common import pretrained
from common.data import ingest
from common.errors import UserError
from common.parallel.execution import Execution, make_execution
from common.pretrained import word_vectors
from common.tables.encoders import Words
from common.text import linear_models
from common.training import activity, checkpointing
from common.training.workdirs import Say
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


@activity.doing("fitting linear models on words")
def start_from_words(run: Run, workdir: pathlib.Path, say: Say) -> Mapping[str, Any]:
    """Weights to begin with, those of linear models on words among them.

    Where such a model tells more, on the validation rows that choose the weights, than
    the best constant, the wide path to its outputs gets its weights and what leads there
    otherwise its bias and zeros, so that the network starts as that model: the zones as
    logistic regression, the price as ridge regression. A head that is given, or a run
    that has begun, stays as it is.

    Args:
      run: before its first step.
      workdir: of the run.
      say: prints which way it starts.
    """
    learner, examples = run.learner, run.examples
    if not (learner.spec.texts() and run.config.model.sees_attributes):
        return run.start
    params = run.start.get("params", {})
    begun = checkpointing.latest_step(workdir, saved_model.PHASE) is not None
    if "head" in params or begun:
        return run.start
    arrays = examples.loader.arrays
    validation = examples.listings.indices("validation")[examples.halves[0]]
    splits = [examples.listings.indices("train"), validation]
    rows = [linear_models.word_rows(arrays, learner.spec, split) for split in splits]
    targets = [arrays["targets"][split] for split in splits]
    models = {
        "classifiers": linear_models.fit_classes(rows, targets, _class_weights(run))
    }
    if learner.network.names_price:
        mean, deviation = learner.log_prices
        logs = [(np.log(examples.prices[split]) - mean) / deviation for split in splits]
        models["price"] = linear_models.fit_numbers(rows, logs)
    shapes = jax.eval_shape(learner.init, {}).params["head"]
    head: dict[str, Any] = {}
    for output, model in models.items():
        say(model.describe({"classifiers": "zones", "price": "log price"}[output]))
        if model.helps:
            head[output] = model.output(shapes[output]["kernel"].shape[0])
            head |= model.wide(f"wide_{output}", learner.spec)
    if run.config.attributes.word_vectors != "none":
        head["embedding"] = _word_vectors(run, shapes["embedding"])
    return {**run.start, "params": {**params, "head": head}} if head else run.start


def _word_vectors(run: Run, shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of words that start from trained vectors, for `AttributeEmbedding`."""
    tables = {}
    for index, _, _ in run.learner.spec.texts():
        fitted = run.examples.encoders.attributes[index]
        assert isinstance(fitted, Words)
        name = f"words_{index}"
        width = shapes[name]["kernel"].shape[1]
        table = word_vectors.start_table(fitted.encoder, width, run.config.train.seed)
        tables[name] = {"kernel": table}
    return tables


def _class_weights(run: Run) -> np.ndarray:
    """Weights [N_c, K] of the classes as the loss of the network has them, mean 1."""
    counts = run.learner.class_counts
    present = counts > 0
    if run.config.loss.weighting == "none":
        return present.astype(np.float64)
    shares = counts.sum(1, keepdims=True) / present.sum(1, keepdims=True)
    return np.where(present, shares / np.maximum(counts, 1), 0.0)


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
