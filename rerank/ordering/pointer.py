"""The pointer generator: picks candidates one after another, and learns from the best.

    state_0 = tanh(W mean(items)),  state_t = GRU(state_{t-1}, item picked)
    logit_t(l) = q(state_t) k(item_l) / sqrt(D)

Bello et al., "Seq2Slate", 2018, with a GRU. It learns by imitation: of each list the
best order that is known under the evaluator (shown, sorted, its own samples, swaps of
the best of these) is the one that it learns to generate, by cross-entropy.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from common.parallel import rng
from common.training import metrics
from common.training.optim import make_optimizer
from rerank.ordering import generators, search
from rerank.ordering.generators import Policy
from rerank.step import Batch, Learner, State

TRAIN_SAMPLES = 8  # orders that imitation draws for each list


class Pointer(nn.Module):
    """The network; in float32, as it is small.

    What a GRU makes of its input is computed once for all items: a pick costs the
    products with the state alone.

    Attributes:
      width: D of items and state.
    """

    width: int

    def setup(self):
        """Makes the layers."""
        self.first = nn.Dense(self.width)
        self.item_gates = nn.Dense(3 * self.width)
        self.state_gates = nn.Dense(3 * self.width)
        self.query = nn.Dense(self.width)
        self.key = nn.Dense(self.width)

    def start(
        self, items: jax.Array, mask: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """First states [B, D], keys [B, L, D] and gates [B, L, 3 D] of items [B, L, D]."""
        there = mask[..., None].astype(items.dtype)
        mean = (items * there).sum(1) / jnp.maximum(there.sum(1), 1)
        return nn.tanh(self.first(mean)), self.key(items), self.item_gates(items)

    def logits(self, state: jax.Array, keys: jax.Array) -> jax.Array:
        """[B, K, L] of states [B, K, D]."""
        queries = self.query(state) * self.width**-0.5
        return jnp.einsum("bkd,bld->bkl", queries, keys)

    def advance(self, state: jax.Array, gates: jax.Array) -> jax.Array:
        """States [B, K, D] after items with these gates [B, K, 3 D] were picked."""
        reset, update, new = jnp.split(gates, 3, axis=-1)
        own_reset, own_update, own_new = jnp.split(self.state_gates(state), 3, axis=-1)
        update = nn.sigmoid(update + own_update)
        new = nn.tanh(new + nn.sigmoid(reset + own_reset) * own_new)
        return (1 - update) * new + update * state

    def __call__(self, items: jax.Array, mask: jax.Array) -> jax.Array:
        """One of everything, for `init`."""
        state, keys, gates = self.start(items, mask)
        return self.logits(self.advance(state[:, None], gates[:, :1]), keys)


def pointer_policy(params: Any, items: jax.Array, mask: jax.Array) -> Policy:
    """The policy of trained weights over encoded items [B, L, D]."""
    items = jnp.asarray(items, jnp.float32)
    pointer = Pointer(items.shape[-1])

    def apply(method, *inputs):
        return pointer.apply({"params": params}, *inputs, method=method)

    start, keys, gates = apply("start", items, mask)
    rows = jnp.arange(items.shape[0])[:, None]
    return Policy(
        start,
        lambda state: apply("logits", state, keys),
        lambda state, picked: apply("advance", state, gates[rows, picked]),
    )


@dataclasses.dataclass(frozen=True)
class PointerLearner:
    """The pointer and how it is trained, beside an evaluator that stays as it is.

    The parameters of its states are {"evaluator": .., "pointer": ..}.

    Attributes:
      evaluator: the list-wise learner.
    """

    evaluator: Learner

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """What updates the pointer."""
        config = self.evaluator.config
        return make_optimizer(config.optimizer, config.pointer_steps)

    def init(self, previous: State) -> State:
        """A state of random weights beside the evaluator's, the phase before."""
        config = self.evaluator.config
        key = rng.stream(rng.root(config.train.seed), "init pointer")
        width = config.model.width
        items, mask = jnp.zeros((1, 1, width)), jnp.ones((1, 1), bool)
        params = Pointer(width).init(key, items, mask)["params"]
        both = {"evaluator": previous.params, "pointer": params}
        return State(both, self.optimizer.init(params))

    def step(
        self, state: State, batch: Batch, key: jax.Array
    ) -> tuple[State, dict[str, metrics.Pair]]:
        """One update towards the best order that is known of each list."""
        pointer, devices = state.params["pointer"], self.evaluator.devices
        mask = batch["mask"]
        items, values = self._encode(state, batch)
        keys = jax.random.split(key, len(mask) * devices.count())
        best = self._best_orders(pointer, items, mask, values, devices.rows(keys))

        def loss_of(params):
            policy = pointer_policy(params, items, mask)
            logs = generators.log_probs(policy, mask, best[:, None])[:, 0]  # [B]
            total, weight = metrics.weighted(-logs, mask.any(1), devices)
            return total / jnp.maximum(weight, 1), (total, weight)

        grads, loss = jax.grad(loss_of, has_aux=True)(pointer)
        grads = devices.mean(grads)
        updates, optimizer = self.optimizer.update(grads, state.optimizer, pointer)
        params = {**state.params, "pointer": optax.apply_updates(pointer, updates)}
        measured = {"loss": loss, **metrics.update_norms(grads, updates)}
        return State(params, optimizer), measured

    def evaluate(self, state: State, batch: Batch) -> dict[str, metrics.Pair]:
        """How much its greedy order is worth beside the shown one, to the evaluator.

        It goes by the name of the metric that chooses the best state, whatever that is
        of the networks, and is low where that is to be low.
        """
        mask, loop = batch["mask"], self.evaluator.config.train
        items, values = self._encode(state, batch)
        policy = pointer_policy(state.params["pointer"], items, mask)
        found = generators.greedy(policy, mask).orders[:, 0]
        shown = generators.sort_order(jnp.zeros(mask.shape), mask)
        worth = values(jnp.stack([shown, found], axis=1))  # [B, 2]
        gained = worth[:, 1] - worth[:, 0]
        if loop.best_mode == "min":
            gained = -gained
        pair = metrics.weighted(gained, mask.any(1), self.evaluator.devices)
        return {loop.best_metric: pair}

    def _encode(self, state: State, batch: Batch) -> tuple[jax.Array, search.Values]:
        """Encoded items [B, L, D], and what the evaluator says of their orders."""
        params = state.params["evaluator"]
        items = self.evaluator.encode(params, batch).items

        def score(ordered, placed):
            return self.evaluator.score(params, ordered, placed)

        return items, search.order_values(score, items, batch["mask"])

    def _best_orders(
        self,
        pointer: Any,
        items: jax.Array,
        mask: jax.Array,
        values: search.Values,
        keys: jax.Array,
    ) -> jax.Array:
        """The best order [B, L] known of each list."""
        policy = pointer_policy(pointer, items, mask)
        drawn = generators.sample(policy, mask, keys, TRAIN_SAMPLES).orders
        shown = generators.sort_order(jnp.zeros(mask.shape), mask)[:, None]
        proposals = jnp.concatenate([shown, drawn], axis=1)
        # One round of swaps of neighbours betters what it learns from.
        budget = mask.shape[1] - 1
        return search.best_order(values, proposals, mask, budget).order
