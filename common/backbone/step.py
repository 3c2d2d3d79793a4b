"""One step of a network that looks at one photo at a time.

What the outputs mean, and so the loss, is for the caller to say (`Measure`): classes of
a photo, a set of labels, a price."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from common.backbone.config import Config
from common.backbone.network import PhotoNetwork
from common.parallel import rng
from common.parallel.devices import SINGLE, Devices
from common.parallel.precision import compute_dtype
from common.training import metrics
from common.training.optim import make_optimizer

Batch = Mapping[str, jax.Array]


# (outputs [B, K], batch) -> {name: values [B]}, "loss" among them.
Measure = Callable[[jax.Array, Batch], dict[str, jax.Array]]


class State(NamedTuple):
    """All that a run carries from step to step.

    Attributes:
      params: of the network.
      batch_stats: running means and variances.
      optimizer: of optax.
    """

    params: Any
    batch_stats: Any
    optimizer: Any


@dataclasses.dataclass(frozen=True)
class PhotoLearner:
    """One network on one set of photos.

    Attributes:
      network: that is trained.
      measure: what is read off its outputs, row by row.
      optimizer: how it is updated.
      side: of the photos, in pixels.
      seed: of the first weights.
      devices: what a batch is spread over.
    """

    network: PhotoNetwork
    measure: Measure
    optimizer: optax.GradientTransformation
    side: int
    seed: int = 0
    devices: Devices = SINGLE

    def init(self, start: Mapping[str, Any]) -> State:
        """Random weights, but for whole modules given in `start`, if any."""
        key = rng.stream(rng.root(self.seed), "init")
        photos = jnp.zeros((1, self.side, self.side, 3), jnp.uint8)
        variables = self.network.init(key, photos)
        params = {**variables["params"], **start.get("params", {})}
        stats = {**variables["batch_stats"], **start.get("batch_stats", {})}
        return State(params, stats, self.optimizer.init(params))

    def step(
        self, state: State, batch: Batch, key: jax.Array
    ) -> tuple[State, dict[str, metrics.Pair]]:
        """One update by the mean loss of the global batch."""
        del key  # the network draws nothing

        def loss_of(params):
            variables = {"params": params, "batch_stats": state.batch_stats}
            outputs, changed = self.network.apply(
                variables, self._photos(batch), train=True, mutable=["batch_stats"]
            )
            pairs = self._pairs(outputs, batch)
            total, weight = pairs["loss"]
            return total / weight, (pairs, changed["batch_stats"])

        grads, (pairs, stats) = jax.grad(loss_of, has_aux=True)(state.params)
        grads = self.devices.mean(grads)
        updates, optimizer = self.optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        measured = {**pairs, **metrics.update_norms(grads, updates)}
        return State(params, stats, optimizer), measured

    def evaluate(self, state: State, batch: Batch) -> dict[str, metrics.Pair]:
        """Loss and metrics over the real rows of a batch."""
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        outputs: Any = self.network.apply(variables, self._photos(batch))
        return self._pairs(outputs, batch)

    def _photos(self, batch: Batch) -> jax.Array:
        return batch["photos"][:, 0]  # [B, H, W, 3]

    def _pairs(self, outputs: jax.Array, batch: Batch) -> dict[str, metrics.Pair]:
        return {
            name: metrics.weighted(values, batch.get("mask"), self.devices)
            for name, values in self.measure(outputs, batch).items()
        }


def measure_classes(
    logits: jax.Array, labels: jax.Array, smoothing: float = 0.0
) -> dict[str, jax.Array]:
    """Cross-entropy with smoothed labels, and whether the class is among the best.

    Args:
      logits: [B, K].
      labels: int [B].
      smoothing: share of the target that is spread over all classes.

    Returns:
      {"loss", "top1", "top5"}, each [B].
    """
    smooth = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[1]), smoothing)
    rank = metrics.label_rank(logits, labels)
    return {
        "loss": optax.softmax_cross_entropy(logits, smooth),
        "top1": rank < 1,
        "top5": rank < 5,
    }


def make_learner(
    config: Config, classes: int, devices: Devices = SINGLE
) -> PhotoLearner:
    """The classifier that the config names, and its loss."""
    dtype = compute_dtype(config.precision)
    return PhotoLearner(
        PhotoNetwork(config.network, classes, dtype, devices),
        functools.partial(_measure, config.label_smoothing),
        make_optimizer(config.optimizer, config.train.steps),
        config.photos.crop,
        config.train.seed,
        devices,
    )


def _measure(smoothing: float, logits: jax.Array, batch: Batch) -> dict[str, jax.Array]:
    return measure_classes(logits, batch["label"], smoothing)
