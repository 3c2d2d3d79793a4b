"""What the second half trains: regression and gate on extracted features.

Pure functions of (state, batch, key), without files or data sources: the loop,
benchmarks and exports all call these.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from common import metrics, rng
from common.devices import SINGLE, Devices
from common.optim import make_optimizer
from common.precision import compute_dtype
from pricer import losses
from pricer.config import Config
from pricer.losses import GateTerms
from pricer.model import Pricer, Suggestion

Batch = Mapping[str, jax.Array]


class Scales(NamedTuple):
    """Means and standard deviations over the training rows.

    Attributes:
      feature_mean: [F] of the extracted features.
      feature_scale: [F], above 0.
      price_mean: [] of the log prices.
      price_scale: [], above 0.
    """

    feature_mean: Any
    feature_scale: Any
    price_mean: Any
    price_scale: Any


class State(NamedTuple):
    """All that a run carries from step to step.

    Attributes:
      params: of both networks.
      scales: of inputs and prices; they stay as they are.
      beta: [] weight of the constraint on acceptance in the second stage.
      optimizer: of optax.
    """

    params: Any
    scales: Scales
    beta: Any
    optimizer: Any


@dataclasses.dataclass(frozen=True)
class Task:
    """Regression and gate in one stage of their training.

    Attributes:
      config: of the run.
      features: F, width of the extracted features.
      statistics: S, width of the statistics; they come standardised.
      warm_up: whether this is the first stage.
      devices: what a batch is spread over.
    """

    config: Config
    features: int
    statistics: int
    warm_up: bool = False
    devices: Devices = SINGLE

    @property
    def network(self) -> Pricer:
        """The two networks that the config names."""
        model, dtype = self.config.model, compute_dtype(self.config.precision)
        return Pricer(model.hidden, model.dropout, dtype, self.devices)

    def init(self, scales: Scales) -> State:
        """A state of random weights."""
        key = rng.stream(rng.root(self.config.train.seed), "init")
        inputs = jnp.zeros((1, self.features + self.statistics))
        params = self.network.init(key, inputs)["params"]
        scales = Scales(*(jnp.asarray(scale, jnp.float32) for scale in scales))
        beta = jnp.asarray(self.config.gate.beta, jnp.float32)
        return State(params, scales, beta, self._optimizer.init(params))

    def go_on(self, state: State, beta: jax.Array | float) -> State:
        """The first state of the second stage: fresh moments, and beta as measured."""
        return state._replace(
            beta=jnp.asarray(beta, jnp.float32),
            optimizer=self._optimizer.init(state.params),
        )

    def step(
        self, state: State, batch: Batch, key: jax.Array
    ) -> tuple[State, dict[str, metrics.Pair]]:
        """One update by Eq. 1, Eq. 3 or the likelihood of the variance."""

        def loss_of(params):
            pairs = self._pairs(state._replace(params=params), batch, key)
            total, weight = pairs["loss"]
            return total / weight, pairs

        grads, pairs = jax.grad(loss_of, has_aux=True)(state.params)
        updates, optimizer = self._optimizer.update(
            self.devices.mean(grads), state.optimizer, state.params
        )
        params = optax.apply_updates(state.params, updates)
        return state._replace(params=params, optimizer=optimizer), pairs

    def judge(self, state: State, batch: Batch) -> dict[str, metrics.Pair]:
        """Loss and errors of a padded batch, as sums over its real rows."""
        return self._pairs(state, batch)

    def see(
        self, state: State, batch: Batch, key: jax.Array | None = None
    ) -> Suggestion:
        """Log price and gate logit of every row; with a key, as dropout leaves them."""
        features = batch["features"].astype(jnp.float32)  # [B, F]
        scales = state.scales
        features = (features - scales.feature_mean[None]) / scales.feature_scale[None]
        inputs = jnp.concatenate([features, batch["statistics"]], axis=1)
        said: Any = self.network.apply(
            {"params": state.params},
            inputs,
            train=key is not None,
            rngs=None if key is None else {"dropout": key},
        )
        log_price = scales.price_mean + scales.price_scale * said.log_price
        return Suggestion(log_price, said.gate_logit)

    def _pairs(
        self, state: State, batch: Batch, key: jax.Array | None = None
    ) -> dict[str, metrics.Pair]:
        """Loss, acceptance and errors of the global batch."""
        mask = batch.get("mask")
        said = self.see(state, batch, key)
        errors = batch["log_price"] - said.log_price  # [B]
        absolute = jnp.abs(errors)
        accepted = (said.gate_logit >= 0).astype(errors.dtype)

        def mean(values: jax.Array) -> metrics.Pair:
            return metrics.weighted(values, mask, self.devices)

        return {
            "loss": self._loss(state, errors, said.gate_logit, mask),
            "acceptance": mean(accepted),
            "male_all": mean(absolute),
            "male": (mean(absolute * accepted)[0], mean(accepted)[0]),
        }

    def _loss(
        self,
        state: State,
        errors: jax.Array,
        gate_logits: jax.Array,
        mask: jax.Array | None,
    ) -> metrics.Pair:
        """What the config minimises, over the global batch."""
        gate, kind = self.config.gate, self.config.loss
        penalties = losses.penalise(
            errors, kind.kind, under_weight=kind.under_weight, band=kind.band
        )
        if gate.constraint == "variance":
            return losses.variance_loss(
                errors, gate_logits, mask, penalties=penalties, devices=self.devices
            )
        squared = metrics.weighted(errors**2, mask, self.devices)
        terms = GateTerms(
            self._beta(state, squared),
            gate.share,
            gate.gamma if gate.constraint == "threshold" else 0.0,
            gate.threshold,
        )
        return losses.joint_loss(
            errors,
            gate_logits,
            mask,
            terms,
            penalties=penalties,
            warm_up=self.warm_up,
            form=gate.form,
            devices=self.devices,
        )

    def _beta(self, state: State, squared: metrics.Pair) -> jax.Array:
        """Weight of the constraint on acceptance.

        In the warm-up, where nothing has been measured yet, twice the mean squared
        error of the batch: more than the error at any quantile below the largest ones.
        """
        if self.config.gate.beta or not self.warm_up:
            return state.beta
        total, weight = squared
        return jax.lax.stop_gradient(2.0 * total / weight)

    @property
    def _optimizer(self) -> optax.GradientTransformation:
        config = self.config
        steps = config.warm_up.steps if self.warm_up else config.train.steps
        return make_optimizer(config.optimizer, steps)
