"""What a backbone learns: the class of a photo."""

import functools

import jax

from common.backbone import network
from common.backbone.config import Config
from common.backbone.network import Batch, PhotoNetwork, PhotoTask
from common.parallel.devices import SINGLE, Devices
from common.parallel.precision import compute_dtype
from common.training.optim import make_optimizer


def make_task(config: Config, classes: int, devices: Devices = SINGLE) -> PhotoTask:
    """The classifier that the config names, and its loss."""
    dtype = compute_dtype(config.precision)
    return PhotoTask(
        PhotoNetwork(config.depth, classes, dtype, devices),
        functools.partial(_measure, config.label_smoothing),
        make_optimizer(config.optimizer, config.train.steps),
        config.photos.crop,
        config.train.seed,
        devices,
    )


def _measure(smoothing: float, logits: jax.Array, batch: Batch) -> dict[str, jax.Array]:
    return network.measure_classes(logits, batch["label"], smoothing)
