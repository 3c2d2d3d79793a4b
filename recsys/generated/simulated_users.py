"""Simulated users for a real catalogue: who takes which item, by category and by look.

A catalogue with photos but without interactions gets users as the generated closet has
them (`recsys.generated.closet`). Items, categories and photos are real, and what the photos show
is not written by the generator but found in them. Only users are made up:

    affinity(u, i) = sum_k a_u,k . n_k(i) + b_u . z_i + c_u . h_i

with a user's tastes a, b, c ~ N(0, 1), a direction n for each node of the category tree
on the path of item i, the look z_i, and h_i, which nothing shows. Each part is scaled to
the standard deviation over users that `SCALES` of the closet gives it. z_i are the first
principal components of the features less the mean of the item's leaf, whitened: what
tells items of one category apart.

Item i is there once: 1 + Geometric users take it, those with the largest
w_u exp(affinity) / E with E ~ Exp(1), where w makes users as active as they are to be.
"""

import numpy as np

from common.errors import UserError
from recsys.generated.choices import race_times
from recsys.generated.latents import log_span
from recsys.generated.parameters import (
    DAYS,
    DIMENSIONS,
    FIRST_DAY,
    LEVELS,
    SCALES,
    SimulationConfig,
)

_ITEMS_AT_ONCE = 2048
_TRIAL_ITEMS = 4096
_ROUNDS = 10
_SECONDS = 86_400.0


def find_looks(features: np.ndarray, leaves: np.ndarray, count: int) -> np.ndarray:
    """Whitened principal components within leaves, float64 [N, count].

    Args:
      features: float [N, F], F at least `count`.
      leaves: int [N], of each item, from 0.
      count: of components.

    Raises:
      UserError: features vary in fewer directions within leaves.
    """
    features = np.asarray(features, np.float64)
    sizes = np.maximum(np.bincount(leaves), 1)[:, None]
    sums = np.zeros((len(sizes), features.shape[1]))
    np.add.at(sums, leaves, features)
    centred = features - (sums / sizes)[leaves]
    values, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    values, directions = values[::-1][:count], directions[:, ::-1][:, :count]
    if len(values) < count or values[-1] <= 1e-9 * values[0]:
        raise UserError(
            f"the features vary in fewer than {count} directions within categories"
        )
    return centred @ directions / np.sqrt(values)


def simulate(
    nodes: np.ndarray, features: np.ndarray, config: SimulationConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws who takes what.

    Args:
      nodes: int [N, 3], numbers of each item's nodes from the top to the leaf, each
        level counted from 0.
      features: float [N, F] of their photos.
      config: of the users.

    Returns:
      (users int32 [n], items int32 [n], times float64 [n], seconds since 1970, UTC),
      in the order of time; pairs are distinct.

    Raises:
      UserError: another number of levels, or too few directions of features.
    """
    if nodes.shape[1] != len(LEVELS):
        raise UserError(
            f"the items have {nodes.shape[1]} levels of categories; made-up users know"
            f" {len(LEVELS)}: name as many columns in --data.category"
        )
    rng = np.random.default_rng(config.seed)
    traits = _traits(nodes, features, config, rng)  # [N, T]
    tastes = rng.standard_normal((config.users, traits.shape[1]))
    activity = _activity(config, len(nodes), rng)
    shown = DAYS * rng.random(len(nodes))
    most = config.users // 2
    takers = np.minimum(rng.geometric(1 / config.takers, len(nodes)), most)
    weights = _log_weights(traits, tastes, takers, activity)
    users, items = [], []
    for first in range(0, len(nodes), _ITEMS_AT_ONCE):
        block = slice(first, first + _ITEMS_AT_ONCE)
        keys = traits[block] @ tastes.T + weights  # [k, U]
        keys += rng.gumbel(size=keys.shape)  # - log E
        number = takers[block]
        best = np.argsort(-keys, axis=1)[:, : number.max()]
        chosen = np.arange(number.max()) < number[:, None]
        users.append(best[chosen])
        items.append(first + np.nonzero(chosen)[0])
    who, what = np.concatenate(users), np.concatenate(items)
    start = np.datetime64(FIRST_DAY, "s").astype(np.float64)
    days = shown[what] + rng.exponential(1.0, len(what))
    order = np.argsort(days, kind="stable")
    times = start + _SECONDS * days[order]
    return who[order].astype(np.int32), what[order].astype(np.int32), times


def _traits(
    nodes: np.ndarray,
    features: np.ndarray,
    config: SimulationConfig,
    rng: np.random.Generator,
) -> np.ndarray:
    """The parts of an item side by side, each by its scale [N, T]."""
    scales = dict(SCALES)
    if not config.hierarchy:
        # What is left for categories is all due to the leaf.
        scales["leaf"] = float(np.sqrt(sum(scales[name] ** 2 for name in LEVELS)))
        scales["top"] = scales["middle"] = 0.0
    parts = {
        name: _directions(int(nodes[:, k].max()) + 1, DIMENSIONS[name], rng)[
            nodes[:, k]
        ]
        for k, name in enumerate(LEVELS)
    }
    parts["hidden"] = _directions(len(nodes), DIMENSIONS["hidden"], rng)
    looks = find_looks(features, nodes[:, -1], DIMENSIONS["look"])
    # Without looks users like something that no photo shows, just as much.
    parts["look"] = looks if config.looks else rng.permutation(looks)
    columns = [scales[n] / np.sqrt(p.shape[1]) * p for n, p in parts.items()]
    return np.concatenate(columns, axis=1)


def _directions(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Random vectors of length sqrt(size) [count, size]."""
    drawn = rng.standard_normal((count, size))
    return drawn * np.sqrt(size) / np.linalg.norm(drawn, axis=1, keepdims=True)


def _activity(
    config: SimulationConfig, items: int, rng: np.random.Generator
) -> np.ndarray:
    """Interactions that each user is to have: 1, or log-uniform from 1 on [U]."""
    busy = rng.random(config.users) >= config.idle
    mean = items * config.takers / config.users
    span = log_span(max(mean - config.idle, 1.01) / (1 - config.idle))
    return np.exp(np.where(busy, span * rng.random(config.users), 0.0))


def _log_weights(
    traits: np.ndarray, tastes: np.ndarray, takers: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """log w with which users interact about as often as they are to [U].

    Fitted on items drawn evenly from all, by the chance with which each user is among
    those who take one.
    """
    some = np.linspace(0, len(traits) - 1, min(len(traits), _TRIAL_ITEMS)).astype(int)
    appeal = np.exp(traits[some] @ tastes.T)  # [k, U]
    wanted = wanted * (takers[some].sum() / wanted.sum())
    weights = wanted / appeal.mean(axis=0)
    for _ in range(_ROUNDS):
        rates = appeal * weights
        times = race_times(rates, takers[some])
        weights *= wanted / -np.expm1(-times[:, None] * rates).sum(axis=0)
    return np.log(weights)
