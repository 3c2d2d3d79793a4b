"""The network that is trained to get a backbone, and one step of its training."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from common import metrics, resnet, rng
from common.backbone.config import Config
from common.devices import SINGLE, Devices
from common.optim import make_optimizer
from common.precision import compute_dtype

Batch = Mapping[str, jax.Array]


class Classifier(nn.Module):
    """ResNet, mean over positions, one linear map to the classes.

    Attributes:
      depth: ResNet preset.
      classes: K.
      dtype: of the computation; parameters are float32.
      devices: what a batch is spread over.
    """

    depth: str
    classes: int
    dtype: Any = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(self, photos: jax.Array, *, train: bool = False) -> jax.Array:
        """Class logits [B, K] in float32 of photos uint8 [B, H, W, 3]."""
        images = resnet.normalise(photos, self.dtype or jnp.float32)
        backbone = resnet.ResNet(self.depth, self.dtype, self.devices, name="backbone")
        pooled = backbone(images, train=train).mean((1, 2))  # [B, C]
        logits = nn.Dense(self.classes, dtype=self.dtype, name="classifier")(pooled)
        return logits.astype(jnp.float32)


class State(NamedTuple):
    """All that a run carries from step to step.

    Attributes:
      params: of the classifier.
      batch_stats: running means and variances.
      optimizer: of optax.
    """

    params: Any
    batch_stats: Any
    optimizer: Any


@dataclasses.dataclass(frozen=True)
class Task:
    """One classifier on one data set.

    Attributes:
      config: of the run.
      classes: K.
      devices: what a batch is spread over.
    """

    config: Config
    classes: int
    devices: Devices = SINGLE

    @property
    def network(self) -> Classifier:
        """The classifier that the config names."""
        dtype = compute_dtype(self.config.precision)
        return Classifier(self.config.depth, self.classes, dtype, self.devices)

    def init(self, start: Mapping[str, Any]) -> State:
        """Random weights, but those of the backbone given in `start`, if any."""
        key = rng.stream(rng.root(self.config.train.seed), "init")
        side = self.config.photos.crop
        photos = jnp.zeros((1, side, side, 3), jnp.uint8)
        variables = self.network.init(key, photos)
        params = {**variables["params"], **start.get("params", {})}
        stats = {**variables["batch_stats"], **start.get("batch_stats", {})}
        return State(params, stats, self._optimizer.init(params))

    def step(
        self, state: State, batch: Batch, key: jax.Array
    ) -> tuple[State, dict[str, metrics.Pair]]:
        """One update by the cross-entropy with smoothed labels."""
        del key  # the network draws nothing

        def loss_of(params):
            variables = {"params": params, "batch_stats": state.batch_stats}
            logits, changed = self.network.apply(
                variables, self._photos(batch), train=True, mutable=["batch_stats"]
            )
            pairs = self._pairs(logits, batch)
            total, weight = pairs["loss"]
            return total / weight, (pairs, changed["batch_stats"])

        grads, (pairs, stats) = jax.grad(loss_of, has_aux=True)(state.params)
        updates, optimizer = self._optimizer.update(
            self.devices.mean(grads), state.optimizer, state.params
        )
        return State(
            optax.apply_updates(state.params, updates), stats, optimizer
        ), pairs

    def judge(self, state: State, batch: Batch) -> dict[str, metrics.Pair]:
        """Loss, top-1 and top-5 accuracy over the real rows of a batch."""
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        logits: Any = self.network.apply(variables, self._photos(batch))
        return self._pairs(logits, batch)

    def _photos(self, batch: Batch) -> jax.Array:
        return batch["photos"][:, 0]  # [B, H, W, 3]

    def _pairs(self, logits: jax.Array, batch: Batch) -> dict[str, metrics.Pair]:
        labels = batch["label"]
        smooth = optax.smooth_labels(
            jax.nn.one_hot(labels, self.classes), self.config.label_smoothing
        )
        rank = metrics.label_rank(logits, labels)
        values = {
            "loss": optax.softmax_cross_entropy(logits, smooth),
            "top1": rank < 1,
            "top5": rank < 5,
        }
        return {
            name: metrics.weighted(value, batch.get("mask"), self.devices)
            for name, value in values.items()
        }

    @property
    def _optimizer(self) -> optax.GradientTransformation:
        return make_optimizer(self.config.optimizer, self.config.train.steps)
