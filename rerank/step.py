"""What is trained: the state, one step, and what is read off a batch.

Pure functions of (state, batch, key), without files or data sources: the loop,
benchmarks and exports all call these. A `Learner` is one phase: the pointwise network
or the list-wise evaluator.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from common.parallel import rng
from common.parallel.devices import SINGLE, Devices, global_ratio
from common.parallel.precision import compute_dtype
from common.training import metrics
from common.training.optim import make_optimizer
from rerank import losses
from rerank.config import LISTWISE, POINTWISE, Config, Sizes
from rerank.list_models import RIVALS
from rerank.model import Armmt, Encoded, Reranker

Batch = Mapping[str, jax.Array]

NETWORKS: dict[str, type[Reranker]] = {"armmt": Armmt, **RIVALS}


class State(NamedTuple):
    """All that a run carries from step to step.

    Attributes:
      params: of the network.
      optimizer: of optax.
    """

    params: Any
    optimizer: Any


class Outputs(NamedTuple):
    """What a network says of each list of a batch, on device or host.

    Attributes:
      logits: [B, L] of the main task at the shown order, 0 in padding.
      encoded: once a request; see `Encoded`.
    """

    logits: Any
    encoded: Encoded


def example_batch(
    sizes: Sizes, places: int = 1, history: int = 1, words: int = 1
) -> dict[str, jax.Array]:
    """Zeros in the shape of one request, without labels.

    Args:
      sizes: of the data.
      places: L.
      history: H.
      words: of a text.
    """

    def zeros(*shape: int, dtype: Any = jnp.float32) -> jax.Array:
        return jnp.zeros((1, *shape), dtype)

    batch = {
        "mask": zeros(places, dtype=bool),
        "fields": zeros(places, sizes.fields),
        "category": zeros(places, dtype=jnp.int32),
        "prices": zeros(places),
        "context": zeros(sizes.context),
        "history_mask": zeros(history, dtype=bool),
        "history_category": zeros(history, dtype=jnp.int32),
    }
    if sizes.query_words:
        batch["query_ids"] = zeros(words, dtype=jnp.int32)
        batch["query_weights"] = zeros(words)
    for prefix, length in (("", places), ("history_", history)):
        bits = zeros(length, len(sizes.modalities), dtype=bool)
        batch[f"{prefix}present"] = bits
        for modality in sizes.modalities:
            name = prefix + modality.name
            if modality.words:
                batch[f"{name}_ids"] = zeros(length, words, dtype=jnp.int32)
                batch[f"{name}_weights"] = zeros(length, words)
            else:
                batch[name] = zeros(length, modality.width)
    return batch


@dataclasses.dataclass(frozen=True)
class Learner:
    """One network and how it is trained.

    Attributes:
      config: of the run.
      sizes: of the data.
      phase: `POINTWISE` or `LISTWISE`.
      devices: what a batch is spread over.
    """

    config: Config
    sizes: Sizes
    phase: str = LISTWISE
    devices: Devices = SINGLE

    @property
    def network(self) -> Reranker:
        """The network that the config names."""
        return NETWORKS[self.config.model.name](
            self.config.model,
            self.sizes,
            list_attention=self.phase != POINTWISE,
            dtype=compute_dtype(self.config.precision),
            devices=self.devices,
        )

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """What updates the parameters."""
        return make_optimizer(self.config.optimizer, self.config.train.steps)

    def init(self, previous: Any = None) -> State:
        """A state of random weights; the phase before has no part in it."""
        del previous
        key = rng.stream(rng.root(self.config.train.seed), f"init {self.phase}")
        params = self.network.init(key, example_batch(self.sizes))["params"]
        return State(params, self.optimizer.init(params))

    def step(
        self, state: State, batch: Batch, key: jax.Array
    ) -> tuple[State, dict[str, metrics.Pair]]:
        """One update on a batch with labels; the key is of dropout and ListMLE's ties."""

        def loss_of(params):
            outputs = self._apply(params, batch, rng.stream(key, "dropout"))
            pairs = self._pairs(outputs, batch, rng.stream(key, "ties"))
            total, weight = pairs["loss"]
            return total / jnp.maximum(weight, 1), pairs

        grads, pairs = jax.grad(loss_of, has_aux=True)(state.params)
        grads = self.devices.mean(grads)
        updates, optimizer = self.optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        measured = {**pairs, **metrics.update_norms(grads, updates)}
        return State(params, optimizer), measured

    def evaluate(self, state: State, batch: Batch) -> dict[str, metrics.Pair]:
        """Loss and metrics of a padded batch; a row of padding is an empty list.

        "log_loss" is per place, "gauc" by `losses.list_auc`, both of the target.
        """
        outputs = self._apply(state.params, batch)
        labels, mask = self._labels(batch), batch["mask"]
        return {
            **self._pairs(outputs, batch, rng.root(0)),
            "log_loss": losses.place_loss(outputs.logits, labels, mask, self.devices),
            "gauc": losses.list_auc(outputs.logits, labels, mask, self.devices),
        }

    def predict(self, state: State, batch: Batch) -> Outputs:
        """Logits at the shown order and what was encoded, of every row."""
        return self._apply(state.params, batch)

    def encode(self, params: Any, batch: Batch) -> Encoded:
        """What is computed once a request; reads no labels."""
        encoded: Any = self.network.apply({"params": params}, batch, method="encode")
        return encoded

    def score(self, params: Any, items: jax.Array, mask: jax.Array) -> jax.Array:
        """Logits [N, L] of orders of encoded items [N, L, D], padding last."""
        logits: Any = self.network.apply(
            {"params": params}, items, mask, method="score"
        )
        return logits

    def _apply(
        self, params: Any, batch: Batch, dropout: jax.Array | None = None
    ) -> Outputs:
        outputs: Any = self.network.apply(
            {"params": params},
            batch,
            train=dropout is not None,
            rngs={} if dropout is None else {"dropout": dropout},
        )
        return Outputs(*outputs)

    def _labels(self, batch: Batch) -> jax.Array:
        """Labels [B, L] of the main task."""
        purchase = self.config.loss.target == "purchase"
        return batch["purchases" if purchase else "clicks"]

    def _pairs(
        self, outputs: Outputs, batch: Batch, key: jax.Array
    ) -> dict[str, metrics.Pair]:
        """Loss and its parts over the global batch."""
        config, mask, devices = self.config.loss, batch["mask"], self.devices
        labels = self._labels(batch)
        main = losses.list_loss(config.kind, outputs.logits, labels, mask, key, devices)
        pairs, loss = {"main_loss": main}, global_ratio(SINGLE, *main)
        clicks = outputs.encoded.click_logits
        if config.click_weight and clicks is not None:
            pair = losses.place_loss(clicks, batch["clicks"], mask, devices)
            loss += config.click_weight * global_ratio(SINGLE, *pair)
            pairs["click_loss"] = pair
        lists = devices.sum(mask.any(axis=1).sum().astype(jnp.float32))
        return {"loss": (loss * lists, lists), **pairs}


def make_learners(config: Config, sizes: Sizes, devices: Devices) -> dict[str, Learner]:
    """Both networks by phase, in the order of training."""
    phases = (POINTWISE, LISTWISE)
    return {phase: Learner(config, sizes, phase, devices) for phase in phases}
