"""A network that looks at one photo at a time, and one step of its training.

ResNet, mean over positions, one linear map. What the outputs mean, and so the loss, is
for the caller to say (`Measure`): classes of a photo, a set of labels, a price.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from common.layers import resnet
from common.parallel import rng
from common.parallel.devices import SINGLE, Devices
from common.training import metrics

Batch = Mapping[str, jax.Array]
# (outputs [B, K], batch) -> {name: values [B]}, "loss" among them.
Measure = Callable[[jax.Array, Batch], dict[str, jax.Array]]


class PhotoNetwork(nn.Module):
    """ResNet, mean over positions, one linear map.

    Attributes:
      depth: ResNet preset.
      outputs: K.
      dtype: of the computation; parameters are float32.
      devices: what a batch is spread over.
    """

    depth: str
    outputs: int
    dtype: Any = None
    devices: Devices = SINGLE

    def setup(self):
        """Names the two parts."""
        self.backbone = resnet.ResNet(self.depth, self.dtype, self.devices)
        self.output = nn.Dense(self.outputs, dtype=self.dtype)

    def __call__(self, photos: jax.Array, *, train: bool = False) -> jax.Array:
        """Outputs [B, K] in float32 of photos uint8 [B, H, W, 3]."""
        features = self.extract(photos, train=train)
        outputs: jax.Array = self.output(features)
        return outputs.astype(jnp.float32)

    def extract(self, photos: jax.Array, *, train: bool = False) -> jax.Array:
        """Features [B, C] of photos uint8 [B, H, W, 3]: the last layer but one."""
        images = resnet.normalise(photos, self.dtype or jnp.float32)
        maps: jax.Array = self.backbone(images, train=train)  # [B, h, w, C]
        return maps.mean((1, 2))


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
class PhotoTask:
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
        updates, optimizer = self.optimizer.update(
            self.devices.mean(grads), state.optimizer, state.params
        )
        return State(
            optax.apply_updates(state.params, updates), stats, optimizer
        ), pairs

    def judge(self, state: State, batch: Batch) -> dict[str, metrics.Pair]:
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
