"""The single-task networks, whose last layer but one is the feature of a photo.

Source: 2012.06009, section 3.2 and Figure 4. Each is a network of its own (the paper's is a ResNet), fine-tuned on
the items that carry its label.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from common import pretrained
from common.backbone.data import PhotoRows
from common.backbone.network import PhotoNetwork
from common.backbone.step import Batch, PhotoLearner, measure_classes
from common.backbone.train import Trainer
from common.data.listings import Listings
from common.errors import UserError
from common.parallel.devices import Devices
from common.parallel.execution import Execution
from common.parallel.precision import compute_dtype
from common.parallel.processes import is_first_process
from common.tables.splits import SPLITS
from common.training import workdirs
from common.training.loop_config import LoopConfig
from common.training.optim import make_optimizer
from pricer.config import Config
from pricer.inputs.labels import Labels

WEIGHTS = "network.safetensors"


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
    """One trained network.

    Attributes:
      task: its name.
      variables: of its backbone, on the host: {"params": …, "batch_stats": …}.
      metrics: on the test rows that carry the label.
    """

    task: str
    variables: dict[str, Any]
    metrics: Mapping[str, float]


def train_network(
    config: Config,
    labels: Labels,
    listings: Listings,
    kept: np.ndarray,
    execution: Execution,
    workdir: pathlib.Path,
) -> TrainedNetwork:
    """Trains the network of one task, or goes on with it, and saves it.

    Args:
      config: of the run.
      labels: of the task.
      listings: all rows.
      kept: bool [N], rows whose price is no outlier; others are not trained on.
      execution: what to run on.
      workdir: of this network; gets network.safetensors and metrics.json.

    Raises:
      UserError: no training or validation row carries the label; weights that do not
        fit; see `train_loop.run`.
    """
    splits = rows_of(labels, listings, kept)
    trainer = Trainer(
        make_learner(config, labels, execution.devices),
        photo_rows(config, labels, listings, splits),
        make_loop(config),
        execution,
    )
    best = trainer.train(
        workdir,
        phase=labels.task,
        identity={"data": listings.fingerprint, "task": labels.task},
        start=starting_weights(config),
    )
    values = trainer.evaluate(best, "test") if len(splits["test"]) else {}
    values["n"] = len(splits["test"])
    state = execution.to_host(best)
    variables = {
        "params": state.params["backbone"],
        "batch_stats": state.batch_stats["backbone"],
    }
    if is_first_process():
        pretrained.save_backbone(workdir / WEIGHTS, config.networks.network, variables)
        workdirs.write_metrics(workdir / workdirs.METRICS, values)
    return TrainedNetwork(labels.task, variables, values)


def rows_of(
    labels: Labels, listings: Listings, kept: np.ndarray
) -> dict[str, np.ndarray]:
    """The rows that a network learns from and is evaluated on.

    Args:
      labels: of its task.
      listings: all rows.
      kept: bool [N], rows whose price is no outlier.

    Returns:
      {split: int64 [n]} rows with a photo and the label; of training, outliers are
      left out.

    Raises:
      UserError: no training or validation row is left.
    """
    splits = {split: listings.indices(split) for split in SPLITS}
    splits = {split: rows[labels.usable[rows]] for split, rows in splits.items()}
    splits["train"] = splits["train"][kept[splits["train"]]]
    if listings.rows_without_photo:
        splits = {split: _with_photo(listings, rows) for split, rows in splits.items()}
    for split in ("train", "validation"):
        if not len(splits[split]):
            raise UserError(
                f"no {split} row with a photo carries the label {labels.task!r}; leave"
                f" it out with --labels.{labels.task}="
            )
    return splits


def photo_rows(
    config: Config, labels: Labels, listings: Listings, splits: Mapping[str, np.ndarray]
) -> PhotoRows:
    """Photos and labels of the rows of a network, see `rows_of`."""
    arrays = {"target": labels.target, "known": labels.known}
    return PhotoRows(listings.source, arrays, splits, config.photos)


def _with_photo(listings: Listings, rows: np.ndarray) -> np.ndarray:
    """Those of some rows that have a photo."""
    have = [bool(listings.source[int(row)]["images"]) for row in rows]
    return rows[np.array(have, bool)]


def starting_weights(config: Config) -> dict[str, Any]:
    """The backbone that every network starts from; {} for random weights."""
    if not config.networks.weights:
        return {}
    variables = pretrained.backbone_of_name(
        config.networks.weights, config.networks.network, "networks"
    )
    return in_network(variables)


def in_network(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of a backbone as a `PhotoNetwork` holds them."""
    return {name: {"backbone": tree} for name, tree in variables.items()}


def make_loop(config: Config) -> LoopConfig:
    """How long a network is trained, and how often what is done."""
    networks = config.networks
    return dataclasses.replace(
        config.train,
        steps=networks.steps,
        batch_size=networks.batch_size,
        seed=networks.seed,
        eval_every=networks.eval_every,
        checkpoint_every=networks.eval_every,
        best_metric="loss",
        best_mode="min",
    )


def make_learner(config: Config, labels: Labels, devices: Devices) -> PhotoLearner:
    """The network of a task, and its loss."""
    measures = {"one": measure_one, "several": measure_several, "price": measure_price}
    return PhotoLearner(
        make_network(config, labels.outputs, devices),
        measures[labels.kind],
        make_optimizer(config.networks.optimizer, config.networks.steps),
        config.photos.crop,
        config.networks.seed,
        devices,
    )


def make_network(config: Config, outputs: int, devices: Devices) -> PhotoNetwork:
    """A network with so many outputs."""
    dtype = compute_dtype(config.precision)
    return PhotoNetwork(config.networks.network, outputs, dtype, devices)


def measure_one(logits: jax.Array, batch: Batch) -> dict[str, jax.Array]:
    """Softmax cross-entropy of the right class, and whether it is the likeliest."""
    return measure_classes(logits, batch["target"])


def measure_several(logits: jax.Array, batch: Batch) -> dict[str, jax.Array]:
    """Mean sigmoid cross-entropy over the known members of a row.

    "top1" says whether the likeliest of the known members is one of the row's, which
    rows without a member never have.

    Args:
      logits: [B, K].
      batch: with "target" and "known", bool [B, K].
    """
    target, known = batch["target"], batch["known"]
    entropy = optax.sigmoid_binary_cross_entropy(logits, target.astype(logits.dtype))
    count = jnp.maximum(known.sum(1), 1)  # [B]
    best = jnp.argmax(jnp.where(known, logits, -jnp.inf), axis=1)
    hit = jnp.take_along_axis(target & known, best[:, None], axis=1)[:, 0]
    return {"loss": jnp.where(known, entropy, 0).sum(1) / count, "top1": hit}


def measure_price(outputs: jax.Array, batch: Batch) -> dict[str, jax.Array]:
    """Squared and absolute error of the standardised log price."""
    errors = batch["target"] - outputs[:, 0]
    return {"loss": errors**2, "absolute_error": jnp.abs(errors)}
