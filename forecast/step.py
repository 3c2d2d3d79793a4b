"""What is trained: the state, one step, and what is read off a batch.

Pure functions of (state, batch, key), without files: the loop and benchmarks call these.
A batch is {"grid": the panel, the same for all rows; "start": rows at which horizons
start; "mask": 0 for padding, absent where there is none}.

    loss = - sum_t log p(z_t) / number of observed values

The width model has minus a CRPS for log p, and weights for numbers.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from common.parallel import rng
from common.parallel.devices import SINGLE, Devices
from common.parallel.precision import compute_dtype
from common.training import metrics
from common.training.optim import make_optimizer
from forecast.config import Config, Sizes
from forecast.distributions.support import dequantise
from forecast.model import Forecaster
from forecast.width import Width
from forecast.windows import Grid, Window, cut

Batch = Mapping[str, Any]


class State(NamedTuple):
    """All that a run carries from step to step.

    Attributes:
      params: of the network.
      batch_stats: of a flow's batch norms; {} for others.
      optimizer: of optax.
    """

    params: Any
    batch_stats: Any
    optimizer: Any


@dataclasses.dataclass(frozen=True)
class Learner:
    """A network and how it is trained.

    Attributes:
      config: of the run.
      sizes: of the data.
      devices: what a batch is spread over.
    """

    config: Config
    sizes: Sizes
    devices: Devices = SINGLE

    @property
    def network(self) -> Forecaster | Width:
        """The network that the config names."""
        if self.config.model.name == "width":
            return Width(self.sizes, self.config.window.support)
        return Forecaster(
            self.config.model,
            self.sizes,
            self.config.window,
            compute_dtype(self.config.precision),
            self.devices,
        )

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """What updates the parameters."""
        return make_optimizer(self.config.optimizer, self.config.train.steps)

    def init(self, previous: Any = None) -> State:
        """A state of random weights."""
        del previous
        key = rng.stream(rng.root(self.config.train.seed), "init")
        window = example_window(self.sizes)
        variables = self.network.init(key, window, method="log_prob")
        params = variables["params"]
        stats = variables.get("batch_stats", {})
        return State(params, stats, self.optimizer.init(params))

    def step(
        self, state: State, batch: Batch, key: jax.Array
    ) -> tuple[State, dict[str, metrics.Pair]]:
        """One update on a batch; the key is of dropout and of noise on counts."""
        window = self._noisy(self.window(batch), rng.stream(key, "noise"))

        def loss_of(params):
            likelihood, changed = self.network.apply(
                {"params": params, "batch_stats": state.batch_stats},
                window,
                train=True,
                method="log_prob",
                mutable=["batch_stats"],
                rngs={"dropout": rng.stream(key, "dropout")},
            )
            pairs = self._pairs(likelihood, batch)
            total, weight = pairs["loss"]
            return total / jnp.where(weight > 0, weight, 1), (pairs, changed)

        grads, (pairs, changed) = jax.grad(loss_of, has_aux=True)(state.params)
        grads = self.devices.mean(grads)
        updates, optimizer = self.optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        stats = changed.get("batch_stats", state.batch_stats)
        measured = {**pairs, **metrics.update_norms(grads, updates)}
        return State(params, stats, optimizer), measured

    def evaluate(self, state: State, batch: Batch) -> dict[str, metrics.Pair]:
        """Losses of a padded batch of windows.

        "loss" is of z, "nll" of the values themselves, both a value observed.
        """
        window = self.window(batch)
        window = self._noisy(window, rng.root(0))
        likelihood: Any = self.network.apply(
            self._variables(state), window, method="log_prob"
        )
        return self._pairs(likelihood, batch)

    def sample(self, state: State, batch: Batch, paths: int) -> jax.Array:
        """Paths [B, S, H, D] of windows, in the units of the data.

        A path depends on the seed of the run, on the row at which its window starts and
        on its number, whatever stands beside it.
        """
        seed = self.config.train.seed
        keys = jax.vmap(lambda start: path_keys(seed, start, paths))(batch["start"])
        return self.sample_windows(state, self.window(batch), keys)

    def sample_windows(
        self, state: State, window: Window, keys: jax.Array
    ) -> jax.Array:
        """Paths [B, S, H, D] of windows by their keys [B, S]."""
        found: Any = self.network.apply(
            self._variables(state), window, keys, method="sample"
        )
        return found

    def window(self, batch: Batch) -> Window:
        """The windows of a batch."""
        return cut(Grid(**batch["grid"]), batch["start"], self.sizes)

    def _noisy(self, window: Window, key: jax.Array) -> Window:
        """Windows with uniform noise on their counts, if that is asked for."""
        if not self.config.window.dequantise or self.config.model.name == "width":
            return window
        rows = len(window.values) * self.devices.count()
        keys = self.devices.rows(jax.random.split(key, rows))
        return window._replace(values=dequantise(keys, window.values))

    def _variables(self, state: State) -> dict[str, Any]:
        return {"params": state.params, "batch_stats": state.batch_stats}

    def _pairs(self, likelihood: Any, batch: Batch) -> dict[str, metrics.Pair]:
        """Sums over the global batch of what is observed."""
        mask = batch.get("mask", jnp.ones(len(likelihood.series)))
        series = likelihood.series * mask[:, None]
        there = jnp.where(series > 0, 1.0, 0.0)
        totals = {"loss": -(likelihood.scaled * there).sum()}
        if likelihood.slope is not None:
            totals["nll"] = totals["loss"] - (likelihood.slope * there).sum()
        totals, count = self.devices.sum((totals, series.sum()))
        return {name: (total, count) for name, total in totals.items()}


def path_keys(seed: int, start: jax.Array, paths: int) -> jax.Array:
    """Keys [S], by the seed of a run, of the window whose horizon starts at a row."""
    key = jax.random.fold_in(rng.stream(rng.root(seed), "paths"), start)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(paths))


def example_window(sizes: Sizes) -> Window:
    """Zeros in the shape of one window."""
    steps = sizes.context + sizes.horizon
    whole = (1, sizes.past + sizes.horizon, sizes.series)
    covariates = sizes.known + sizes.recent
    return Window(
        jnp.zeros(whole),
        jnp.ones(whole, bool),
        jnp.zeros((1, steps, sizes.calendar)),
        jnp.zeros((1, steps, sizes.series, covariates)),
        jnp.zeros((sizes.series, 1 + len(sizes.levels)), np.int32),
    )
