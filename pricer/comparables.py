"""Comparables: the prices of the training items whose photos are most alike.

What an appraiser looks up before naming a price, as inputs of regression and gate. They
are ours; the paper has none. Two layers learn the trend of prices over all photos, but
an item that hangs beside others of its brand and line costs what these cost, and where
the prices of its neighbours lie apart, its photo does not tell the price.

Photos are compared in a space where the features x of the training photos have no
correlation and variance 1 (whitened principal components):

    z = W^T (x - mean),  W = V diag(eigenvalues)^(-1/2),  similarity = cos(z, z').

A training row is never compared with itself, nor with rows of its group of near-copies
(`common.tables.splits`): a row of another split finds none of its own group either.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from common.data import array_batches
from common.errors import UserError
from common.parallel.execution import Execution
from pricer.config import ComparablesConfig
from pricer.features import Features

NAMES = (
    "first_quartile",
    "median",
    "third_quartile",
    "mean",
    "weighted_mean",
    "weighted_deviation",
    "greatest_similarity",
    "mean_similarity",
)
NO_GROUP = -1
ROWS_A_DIMENSION = 10  # of training, at least: fewer make all photos equally unlike


class Comparables(NamedTuple):
    """The training items that photos are compared with.

    Attributes:
      mean: float32 [F] of the features.
      projection: float32 [F, D], W.
      places: float16 [n, D], the items' z of length 1.
      log_prices: float32 [n].
      groups: int32 [n], of near-copies.
      center: float32 [K] mean of the training rows' columns, see `describe`.
      scale: float32 [K] their standard deviation, 1 where that is 0.
    """

    mean: Any
    projection: Any
    places: Any
    log_prices: Any
    groups: Any
    center: Any
    scale: Any


def find(
    items: Comparables,
    count: int,
    features: jax.Array,
    groups: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """The most alike items, the nearest first: a pure function.

    Args:
      items: to compare with.
      count: k.
      features: [B, F].
      groups: int32 [B], of near-copies, whose items are passed over; NO_GROUP for none.
        None where no row is in any.

    Returns:
      (similarities float32 [B, k], whose they are among the items int32 [B, k]).
    """
    similarity = project(items, features) @ items.places.astype(jnp.float32).T  # [B, n]
    if groups is not None:
        in_group = groups[:, None] != NO_GROUP
        copies = in_group & (groups[:, None] == items.groups[None])
        similarity = jnp.where(copies, -2.0, similarity)  # below every cosine
    near, rows = lax.top_k(similarity, count)
    return near, rows


def describe(
    items: Comparables, sharpness: float, near: jax.Array, rows: jax.Array
) -> jax.Array:
    """What the most alike items cost: a pure function.

    With s_j the similarities and p_j the log prices of the k most alike items: quartiles
    (linear interpolation) and mean of p, as the statistics of earlier prices have them;
    m = sum_j w_j p_j and sqrt(sum_j w_j (p_j - m)^2) with w = softmax(sharpness * s);
    the greatest and the mean of s. Each is less its mean over the training rows and
    divided by its deviation there.

    Args:
      items: that were compared.
      sharpness: of the weights.
      near: [B, k] similarities, as `find` gives them.
      rows: int32 [B, k], whose they are.

    Returns:
      float32 [B, K], K = len(NAMES).
    """
    prices = items.log_prices[rows]
    weights = jax.nn.softmax(sharpness * near, axis=1)
    mean = jnp.sum(weights * prices, axis=1)
    spread = jnp.sum(weights * (prices - mean[:, None]) ** 2, axis=1)
    quartiles = jnp.quantile(prices, jnp.array([0.25, 0.5, 0.75]), axis=1)  # [3, B]
    columns = [
        *quartiles,
        prices.mean(1),
        mean,
        jnp.sqrt(spread),
        near.max(1),  # taken as near[:, 0], XLA would sort all items
        near.mean(1),
    ]
    return (jnp.stack(columns, axis=1) - items.center[None]) / items.scale[None]


def project(items: Comparables, features: jax.Array | np.ndarray) -> jax.Array:
    """z of features [B, F]: float32 [B, D] of length 1."""
    z = (jnp.asarray(features, jnp.float32) - items.mean[None]) @ items.projection
    return to_unit_length(z)


def to_unit_length(vectors: jax.Array) -> jax.Array:
    """Vectors [B, D] scaled to length 1; zeros stay zeros."""
    length = jnp.sqrt(jnp.sum(vectors**2, axis=1, keepdims=True))
    return vectors / jnp.maximum(length, 1e-12)


def check_count(count: int, groups: np.ndarray) -> None:
    """Sees to it that every training item has others to be compared with.

    Args:
      count: k.
      groups: int32 [n], of the training items.

    Raises:
      UserError: fewer than k training items outside the largest group.
    """
    largest = np.unique(groups, return_counts=True)[1].max()
    if len(groups) - largest < count:
        raise UserError(
            f"--comparables.count={count}: {len(groups):,} training items, less"
            f" {largest:,} that are near-copies, leave too few to compare with"
        )


def fit(
    config: ComparablesConfig,
    features: Features,
    rows: np.ndarray,
    log_prices: np.ndarray,
    groups: np.ndarray,
    *,
    execution: Execution,
    batch_size: int,
) -> tuple[Comparables, np.ndarray]:
    """Lays out the training items, and compares all rows with them.

    Args:
      config: k, D and sharpness; see `check_count`.
      features: of all N rows.
      rows: int64 [n], of the training items.
      log_prices: [N].
      groups: int32 [N] of near-copies; NO_GROUP for rows outside training.
      execution: what to run on.
      batch_size: rows compared at a time.

    Returns:
      (items on the host, columns float32 [N, K]).
    """
    mean, projection = whiten(features, rows, config.dimensions)
    items = Comparables(
        mean,
        projection,
        np.zeros((len(rows), projection.shape[1]), np.float16),
        log_prices[rows].astype(np.float32),
        groups[rows],
        np.zeros(len(NAMES), np.float32),
        np.ones(len(NAMES), np.float32),
    )
    done = 0
    for part in features.chunks(rows):
        items.places[done : done + len(part)] = project(items, part)
        done += len(part)

    def compare(items: Comparables, batch: Mapping[str, jax.Array]) -> jax.Array:
        near, rows = find(items, config.count, batch["features"], batch["group"])
        return describe(items, config.sharpness, near, rows)

    batches = array_batches.eval_batches(
        len(log_prices),
        lambda rows: {"features": features.rows(rows), "group": groups[rows]},
        batch_size=batch_size,
    )
    compare_all = execution.predict_all(compare)
    columns = compare_all(execution.replicate(items), batches, len(log_prices))
    center, scale = columns[rows].mean(0), columns[rows].std(0)
    # Below the rounding of float32 a column is as good as constant.
    scale = np.where(scale <= 1e-6 * np.maximum(np.abs(center), 1), 1.0, scale)
    items = items._replace(center=center, scale=scale.astype(np.float32))
    return items, ((columns - items.center) / items.scale).astype(np.float32)


def whiten(
    features: Features, rows: np.ndarray, dimensions: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean float32 [F] and projection W float32 [F, D] of some rows.

    D is the least of `dimensions`, the number of components that vary, and a tenth of
    the number of rows.
    """
    mean, _ = features.moments(rows)
    covariance = np.zeros((features.width, features.width))
    for part in features.chunks(rows):
        centred = (part - mean).astype(np.float32)
        covariance += centred.T @ centred
    values, vectors = np.linalg.eigh(covariance / len(rows))
    values, vectors = values[::-1], vectors[:, ::-1]
    vary = int((values > 1e-6 * values[0]).sum())
    size = max(min(dimensions, vary, len(rows) // ROWS_A_DIMENSION), 1)
    projection = vectors[:, :size] / np.sqrt(np.maximum(values[:size], 1e-12))
    return mean.astype(np.float32), projection.astype(np.float32)
