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

from common.parallel import rng
from common.parallel.devices import SINGLE, Devices
from common.parallel.precision import compute_dtype
from common.tables.encoders import AttributeSpec
from common.training import metrics
from common.training.optim import make_optimizer
from pricer import losses
from pricer.config import Config
from pricer.losses import GateTerms
from pricer.model import NO_TEXTS, Pricer, Suggestion

Batch = Mapping[str, jax.Array]


class Scales(NamedTuple):
    """Means, standard deviations and quantiles over the training rows.

    Attributes:
      feature_mean: [F] of the extracted features.
      feature_scale: [F], above 0.
      price_mean: [] of the log prices.
      price_scale: [], above 0.
      statistic_edges: [S, T + 1] quantiles between the pieces that each statistic is
        encoded by; None for no such encoding.
    """

    feature_mean: Any
    feature_scale: Any
    price_mean: Any
    price_scale: Any
    statistic_edges: Any = None


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
class Learner:
    """Regression and gate in one stage of their training.

    Attributes:
      config: of the run.
      features: F, width of the extracted features.
      statistics: S, width of the statistics; they come standardised.
      warm_up: whether this is the first stage.
      devices: what a batch is spread over.
      spec: of the texts; without any none are read.
    """

    config: Config
    features: int
    statistics: int
    warm_up: bool = False
    devices: Devices = SINGLE
    spec: AttributeSpec = NO_TEXTS

    @property
    def network(self) -> Pricer:
        """The two networks that the config names."""
        model, dtype = self.config.model, compute_dtype(self.config.precision)
        return Pricer(model.hidden, model.dropout, dtype, self.devices, self.spec)

    def init(self, scales: Scales, start: Mapping[str, Any] | None = None) -> State:
        """A state of random weights.

        Args:
          scales: of the training rows.
          start: {module: some of its parameters} to begin with in their place.
        """
        key = rng.stream(rng.root(self.config.train.seed), "init")
        scales = jax.tree.map(lambda scale: jnp.asarray(scale, jnp.float32), scales)
        features, statistics = (
            jnp.zeros((1, size)) for size in (self.features, self.statistics)
        )
        inputs = self._inputs(scales, features, statistics)
        words = {
            name: jnp.zeros((1, width), dtype)
            for name, (width, dtype) in self.spec.arrays().items()
        }
        params = self.network.init(key, inputs, words)["params"]
        for name, given in (start or {}).items():
            params = {**params, name: {**params[name], **given}}
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
        grads = self.devices.mean(grads)
        updates, optimizer = self._optimizer.update(
            grads, state.optimizer, state.params
        )
        params = optax.apply_updates(state.params, updates)
        measured = {**pairs, **metrics.update_norms(grads, updates)}
        return state._replace(params=params, optimizer=optimizer), measured

    def evaluate(self, state: State, batch: Batch) -> dict[str, metrics.Pair]:
        """Loss and errors of a padded batch, as sums over its real rows."""
        return self._pairs(state, batch)

    def predict(
        self, state: State, batch: Batch, key: jax.Array | None = None
    ) -> Suggestion:
        """Log price and gate logit of every row; with a key, as dropout leaves them."""
        scales = state.scales
        inputs = self._inputs(scales, batch["features"], batch["statistics"])
        outputs: Any = self.network.apply(
            {"params": state.params},
            inputs,
            batch,
            train=key is not None,
            rngs=None if key is None else {"dropout": key},
        )
        log_price = scales.price_mean + scales.price_scale * outputs.log_price
        return Suggestion(log_price, outputs.gate_logit)

    def _pairs(
        self, state: State, batch: Batch, key: jax.Array | None = None
    ) -> dict[str, metrics.Pair]:
        """Loss, acceptance and errors of the global batch."""
        mask = batch.get("mask")
        outputs = self.predict(state, batch, key)
        errors = batch["log_price"] - outputs.log_price  # [B]
        absolute = jnp.abs(errors)
        accepted = (outputs.gate_logit >= 0).astype(errors.dtype)

        def mean(values: jax.Array) -> metrics.Pair:
            return metrics.weighted(values, mask, self.devices)

        return {
            "loss": self._loss(state, errors, outputs.gate_logit, mask),
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

    def _inputs(
        self, scales: Scales, features: jax.Array, statistics: jax.Array
    ) -> jax.Array:
        seen = features if self.config.model.inputs == "all" else None
        return make_inputs(scales, seen, statistics)

    @property
    def _optimizer(self) -> optax.GradientTransformation:
        config = self.config
        steps = config.warm_up.steps if self.warm_up else config.train.steps
        return make_optimizer(config.optimizer, steps)


def make_inputs(
    scales: Scales, features: jax.Array | None, statistics: jax.Array
) -> jax.Array:
    """What the networks read of each row: float32 [B, F + S + S T].

    Args:
      scales: of the training rows.
      features: float [B, F], as they are stored; None leaves them out.
      statistics: float32 [B, S], standardised.
    """
    parts = [statistics]
    if features is not None:
        away = features.astype(jnp.float32) - scales.feature_mean[None]
        parts.insert(0, away / scales.feature_scale[None])
    if scales.statistic_edges is not None:
        parts.append(encode_pieces(statistics, scales.statistic_edges))
    return jnp.concatenate(parts, axis=1)


def encode_pieces(values: jax.Array, edges: jax.Array) -> jax.Array:
    """Piecewise linear encoding: how much of each piece lies below a value.

    e_t = min(max((x - b_(t-1)) / (b_t - b_(t-1)), 0), 1) for the pieces t = 1 .. T; one
    without width is 0 up to its place and 1 beyond. It lets a network bend its answer
    at any edge, which standardised numbers do not.

    Source: Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in
    Tabular Deep Learning", NeurIPS 2022, Eq. 1; below b_0 and above b_T it stays at 0
    and 1 here, so that no price is extrapolated.

    Args:
      values: [B, S].
      edges: [S, T + 1], ascending.

    Returns:
      [B, S T].
    """
    low, high = edges[None, :, :-1], edges[None, :, 1:]  # [1, S, T]
    above = values[:, :, None] - low  # [B, S, T]
    width = high - low
    share = above / jnp.where(width > 0, width, 1)
    codes = jnp.where(width > 0, jnp.clip(share, 0, 1), above > 0)
    return codes.reshape(values.shape[0], low.size)
