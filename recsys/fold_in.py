"""Rows of users that training has not seen, found from a few interactions.

Everything else stays as it is. Starting from the mean of all users, Adam minimises

    J_1 over the new users' interactions + penalty / (2 n_u) |theta_u - mean|^2,

with n_u the number of a user's interactions, so that one interaction moves a user a
little and many move it far. J_2 compares users, and is left out: it says how likely a
user is to act at all, which a new one's few interactions cannot tell.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from recsys.config import FoldInConfig
from recsys.corpus.corpus import Catalogue
from recsys.corpus.interactions import UserItems
from recsys.models.recommender import Recommender, score_pairs
from recsys.negatives import NegativeSampler


def is_user_table(name: str) -> bool:
    """Whether a parameter has a row for each user."""
    return name.startswith("user_")


@functools.partial(jax.jit, static_argnames=("model", "config", "count"))
def fold_in(
    model: Recommender,
    params: Mapping[str, jax.Array],
    config: FoldInConfig,
    users: jax.Array,
    items: jax.Array,
    leaves: jax.Array,
    features: jax.Array,
    count: int,
) -> dict[str, jax.Array]:
    """The tables of new users.

    Args:
      model: that was trained.
      params: {name: array} of it.
      config: steps, rate and penalty.
      users: int [N], which of the new users each interaction is of.
      items: int [N, 1 + n] numbers in training, -1 for unknown; the user's item is in
        column 0, negatives beside it.
      leaves: int [N, 1 + n].
      features: float32 [N, 1 + n, F], scaled.
      count: new users Q.

    Returns:
      {table: [Q, ...]} of all tables of users.
    """
    fixed = {name: value for name, value in params.items() if not is_user_table(name)}
    mean = {
        name: jnp.broadcast_to(value.mean(axis=0), (count, *value.shape[1:]))
        for name, value in params.items()
        if is_user_table(name)
    }
    vectors: Any = model.apply(
        {"params": {**fixed, **mean}}, items, leaves, features, method="item_vectors"
    )  # [N, 1 + n, E]
    numbers = jnp.zeros(count).at[users].add(1.0)
    weights = 1.0 / (numbers[users] * (items.shape[1] - 1))  # [N]

    def loss(rows: dict[str, jax.Array]) -> jax.Array:
        user_vectors: Any = model.apply(
            {"params": {**fixed, **rows}}, users, method="user_vectors"
        )  # [N, E]
        scores = score_pairs(user_vectors, vectors)  # [N, 1 + n]
        pairs = jax.nn.softplus(scores[:, 1:] - scores[:, :1]).sum(axis=1)
        moved = sum(
            jnp.sum(
                (rows[name] - mean[name]) ** 2, axis=tuple(range(1, rows[name].ndim))
            )
            for name in sorted(rows)
        )  # [Q]
        penalty = config.penalty * jnp.sum(moved / (2 * jnp.maximum(numbers, 1.0)))
        return jnp.sum(weights * pairs) + penalty

    rule = optax.adam(config.learning_rate)

    def step(carry, _):
        rows, moments = carry
        updates, moments = rule.update(jax.grad(loss)(rows), moments)
        return (optax.apply_updates(rows, updates), moments), None

    (rows, _), _ = jax.lax.scan(step, (mean, rule.init(mean)), None, config.steps)
    return rows


def find_vectors(
    model: Recommender,
    params: Mapping[str, jax.Array],
    config: FoldInConfig,
    catalogue: Catalogue,
    known_items: np.ndarray,
    new: UserItems,
    seed: int,
) -> np.ndarray:
    """Vectors of new users from their items.

    Args:
      model: that was trained.
      params: {name: array} of it.
      config: steps, rate, penalty and negatives.
      catalogue: of the items.
      known_items: int32 [I], the number of each in training, -1 for new ones.
      new: items of each of Q users, one at least.
      seed: of the negatives.

    Returns:
      float32 [Q, E].
    """
    users = np.repeat(np.arange(new.user_count), new.counts)
    sampler = NegativeSampler(catalogue.tree, catalogue.leaf_of_item, new, "uniform")
    # One by one, so that nobody's list depends on who else is asked for.
    drawn = [
        sampler.sample(
            np.full(new.counts[user], user),
            new.items_of(user),
            config.negatives,
            seed=seed,
            step=0,
        ).items
        for user in range(new.user_count)
    ]
    items = np.concatenate([new.items[:, None], np.concatenate(drawn)], axis=1)
    rows = fold_in(
        model,
        params,
        config,
        jnp.asarray(users),
        jnp.asarray(known_items[items]),
        jnp.asarray(catalogue.leaf_of_item[items]),
        jnp.asarray(catalogue.take_features(items)),
        new.user_count,
    )
    vectors: Any = model.apply(
        {"params": {**params, **rows}},
        np.arange(new.user_count),
        method="user_vectors",
    )
    return np.asarray(jax.device_get(vectors))
