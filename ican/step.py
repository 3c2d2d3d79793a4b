"""What is trained: the state, one step, and what is read off a batch.

Pure functions of (state, batch, key), without files or data sources: the loop,
benchmarks and exports all call these.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from common.errors import UserError
from common.parallel import rng
from common.parallel.devices import Devices
from common.parallel.precision import compute_dtype
from common.reports.price_distribution import Pooling
from common.tables.encoders import AttributeSpec
from common.training import metrics, tree_paths
from common.training.optim import make_optimizer
from ican import losses
from ican.config import Config
from ican.ensemble import Ensemble
from ican.metrics import zone_metrics
from ican.model import Network, Prediction

Batch = Mapping[str, jax.Array]


class State(NamedTuple):
    """All that a run carries from step to step.

    Attributes:
      params: of the network.
      batch_stats: running means and variances of the backbone; {} without one.
      optimizer: of optax.
    """

    params: Any
    batch_stats: Any
    optimizer: Any


class Outputs(NamedTuple):
    """What a network, or a rival, says of each row of a batch, on device or host.

    Attributes:
      scores: [B, J] votes for the zones.
      centres: [B] natural log of the price that the network names; the mean of the
        training rows' without a price output.
      visual_attention: [B, L, P]; None but for the kind ican.
      attribute_attention: [B, L, A]; None but for the kind ican.
    """

    scores: Any
    centres: Any
    visual_attention: Any = None
    attribute_attention: Any = None


@dataclasses.dataclass(frozen=True, eq=False)
class Learner:
    """One network on one data set.

    Attributes:
      config: of the run.
      spec: the attributes.
      ensemble: coarse classifiers over the price zones.
      class_counts: [N_c, K] training items of each coarse class.
      features: (P, C) of cached feature maps that stand in for photos, or None.
      devices: what a batch is spread over.
      log_prices: (mean, standard deviation) of the training log prices.
    """

    config: Config
    spec: AttributeSpec
    ensemble: Ensemble
    class_counts: np.ndarray
    features: tuple[int, int] | None
    devices: Devices
    log_prices: tuple[float, float] = (0.0, 1.0)

    @property
    def network(self) -> Network:
        """The network that the config names."""
        return Network(
            self.config.model,
            self.spec,
            sizes=self.config.backbone.sizes,
            pool=self.config.backbone.pool,
            frozen=self.config.backbone.frozen,
            classifiers=self.ensemble.classifiers,
            classes=self.ensemble.classes,
            names_price=self.config.loss.price > 0,
            dtype=compute_dtype(self.config.precision),
            devices=self.devices,
        )

    def init(self, start: Mapping[str, Any]) -> State:
        """Makes the first state.

        Args:
          start: {"params": …, "batch_stats": …} to begin with in place of random
            numbers, whole modules ("backbone", "head") or parts of them; may be empty.
        """
        key = rng.stream(rng.root(self.config.train.seed), "init")
        variables = self.network.init(key, self._example())
        params = _replace(variables["params"], start.get("params", {}))
        stats = {**variables.get("batch_stats", {}), **start.get("batch_stats", {})}
        return State(params, stats, self._optimizer(params).init(params))

    def check_start(self, start: Mapping[str, Any], origin: str) -> None:
        """Refuses weights that do not fit the network.

        Args:
          start: as `init` takes it.
          origin: where they come from, for the message.

        Raises:
          UserError: naming the first parameter that does not fit.
        """
        fresh = jax.eval_shape(self.init, {})
        for collection in start:
            modules = getattr(fresh, collection)
            for module, given in start[collection].items():
                if module not in modules:
                    raise UserError(f"{origin}: this network has no {module!r}")
                _check_shapes(given, modules[module], f"{origin}: {module}")

    def check_state(self, state: State, origin: str) -> None:
        """Refuses a state whose weights are not all those of the network.

        Args:
          state: with or without an optimizer.
          origin: where it comes from, for the message.

        Raises:
          UserError: naming the first parameter that does not fit.
        """
        fresh = jax.eval_shape(self.init, {})
        for collection in ("params", "batch_stats"):
            given, expected = (getattr(tree, collection) for tree in (state, fresh))
            _check_shapes(given, expected, f"{origin} {collection}")

    def step(
        self, state: State, batch: Batch, key: jax.Array
    ) -> tuple[State, dict[str, metrics.Pair]]:
        """One update by the weighted loss of Eq. 17 and that of the price output."""

        def loss_of(params):
            prediction, changed = self.network.apply(
                {"params": params, "batch_stats": state.batch_stats},
                batch,
                train=True,
                rngs={"dropout": key},
                mutable=["batch_stats"],
            )
            pairs = self._pairs(prediction, batch)
            total, weight = pairs["loss"]
            loss = total / weight
            if "price_loss" in pairs:
                total, weight = pairs["price_loss"]
                loss += self.config.loss.price * total / weight
            return loss, (pairs, changed)

        grads, (pairs, changed) = jax.grad(loss_of, has_aux=True)(state.params)
        grads = self.devices.mean(grads)
        updates, optimizer = self._optimizer(state.params).update(
            grads, state.optimizer, state.params
        )
        params = optax.apply_updates(state.params, updates)
        stats = {**state.batch_stats, **changed.get("batch_stats", {})}
        measured = {**pairs, **metrics.update_norms(grads, updates)}
        return State(params, stats, optimizer), measured

    def evaluate(self, state: State, batch: Batch) -> dict[str, metrics.Pair]:
        """Loss and metrics of a padded batch, as sums over its real rows."""
        prediction = self._apply(state, batch)
        scores = self.ensemble.scores(prediction.logits)
        points = self._pooling().distribution(
            scores, self._centres(prediction), self.ensemble.zones.edges, jnp
        )
        measured = zone_metrics(
            scores,
            batch["label"],
            jnp.log(points.price(0.5)),
            batch["price"],
            batch["mask"],
        )
        scalars = {
            name: self.devices.sum(pair)
            for name, pair in measured.items()
            if jnp.ndim(pair[0]) == 0
        }
        return {**self._pairs(prediction, batch), **scalars}

    def predict(self, state: State, batch: Batch) -> Outputs:
        """Zone scores and attention of every row."""
        prediction = self._apply(state, batch)
        return Outputs(
            self.ensemble.scores(prediction.logits),
            self._centres(prediction),
            prediction.visual_attention,
            prediction.attribute_attention,
        )

    def _apply(self, state: State, batch: Batch) -> Prediction:
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        prediction: Any = self.network.apply(variables, batch)
        return prediction

    def _pooling(self) -> Pooling:
        """What stands for the fitted one while the network is trained."""
        names_price = float(self.config.loss.price > 0)
        scale = losses.PRICE_SCALE * self.log_prices[1]
        return Pooling(1.0, names_price, scale)

    def _centres(self, prediction: Prediction) -> jax.Array:
        """Natural logs [B] of the prices that the network names."""
        mean, deviation = self.log_prices
        if prediction.price is None:
            return jnp.full(prediction.logits.shape[:1], mean, jnp.float32)
        return mean + deviation * prediction.price.astype(jnp.float32)

    def _pairs(self, prediction: Prediction, batch: Batch) -> dict[str, metrics.Pair]:
        """Losses and top-3 accuracy of the global batch."""
        logits, labels = prediction.logits, batch["label"]
        mask = batch.get("mask", jnp.ones(len(labels)))
        loss = losses.ensemble_loss(
            logits,
            batch["targets"],
            mask,
            present=jnp.asarray(self.ensemble.present),
            weighting=self.config.loss.weighting,
            dataset_counts=jnp.asarray(self.class_counts),
            normalise=self.config.loss.normalise,
            devices=self.devices,
        )
        pairs = {"loss": loss}
        if prediction.price is not None:
            mean, deviation = self.log_prices
            known = jnp.where(mask > 0, batch["price"], 1.0)
            targets = (jnp.log(known) - mean) / deviation
            pairs["price_loss"] = losses.price_loss(prediction.price, targets, mask)
        top3 = metrics.top_k(self.ensemble.scores(logits), labels, (3,), mask)
        return self.devices.sum({**pairs, **top3})

    def _optimizer(self, params: Any) -> optax.GradientTransformation:
        frozen = self.config.backbone.frozen and "backbone" in params
        return make_optimizer(
            self.config.optimizer,
            self.config.train.steps,
            frozen=("backbone",) if frozen else (),
        )

    def _example(self) -> dict[str, jax.Array]:
        """Zeros in the shape of one item."""
        photos = self.config.photos
        item: dict[str, jax.Array] = {
            name: jnp.zeros((1, width), dtype)
            for name, (width, dtype) in self.spec.arrays().items()
        }
        item["photo_mask"] = jnp.ones((1, photos.count))
        if self.features is not None:
            item["features"] = jnp.zeros((1, *self.features))
        else:
            shape = (1, photos.count, photos.crop, photos.crop, 3)
            item["photos"] = jnp.zeros(shape, jnp.uint8)
        return item


def _replace(tree: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A tree with some of its leaves replaced."""
    branches = {
        name: _replace(tree[name], part) if isinstance(part, Mapping) else part
        for name, part in given.items()
    }
    return {**tree, **branches}


def _check_shapes(given: Any, expected: Any, where: str) -> None:
    """Compares the shapes of two trees of parameters."""
    shapes, fit = (
        {name: np.shape(leaf) for name, leaf in tree_paths.flatten(tree).items()}
        for tree in (given, expected)
    )
    for name in sorted(shapes.keys() | fit.keys()):
        if shapes.get(name) != fit.get(name):
            raise UserError(
                f"{where}/{name} has shape {shapes.get(name, 'none')}, this network"
                f" needs {fit.get(name, 'none')}; use the same model settings"
            )
