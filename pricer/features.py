"""The features of all photos, extracted once: the store that the heads train on.

One store for each network, keyed by its weights and the preprocessing; the feature of a
photo is the networks' vectors side by side (MSTFE), or that of one alone (STFE).
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from common import feature_extraction, resnet
from common.data.crops import cut_photos
from common.data.feature_cache import FeatureCache
from common.data.listings import Listings, Record
from common.parallel import Execution
from pricer import networks
from pricer.config import Config
from pricer.networks import Trained

_CHUNK = 4096  # rows read at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Vectors of several networks side by side.

    Attributes:
      stores: of each network, [N, C].
    """

    stores: Sequence[FeatureCache]

    @property
    def width(self) -> int:
        """F, of all vectors together."""
        return sum(store.shape[1] for store in self.stores)

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """float16 [n, F] of rows, in the order asked for; sorted ones are read fastest."""
        parts = [store.rows(indices) for store in self.stores]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def moments(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation [F] over rows; the deviation of constants is 1."""
        total = np.zeros(self.width)
        squares = np.zeros(self.width)
        for first in range(0, len(indices), _CHUNK):
            part = self.rows(indices[first : first + _CHUNK]).astype(np.float64)
            total += part.sum(0)
            squares += (part**2).sum(0)
        mean = total / len(indices)
        variance = np.maximum(squares / len(indices) - mean**2, 0)
        # Below the rounding of float16 a feature is as good as constant.
        constant = variance <= (1e-3 * np.maximum(np.abs(mean), 1e-3)) ** 2
        return mean, np.where(constant, 1.0, np.sqrt(variance))


def extract(
    config: Config,
    trained: Sequence[Trained],
    listings: Listings,
    execution: Execution,
) -> Features:
    """Opens the stores of some networks, and fills what is missing.

    Args:
      config: of the run; the stores lie under `config.features`.
      trained: the networks.
      listings: all rows; one without a photo has a vector of zeros.
      execution: what to run on.

    Raises:
      UserError: a store of other weights, or a damaged one.
    """
    return Features(
        [_extract_one(config, network, listings, execution) for network in trained]
    )


def _extract_one(
    config: Config, trained: Trained, listings: Listings, execution: Execution
) -> FeatureCache:
    network = networks.make_network(config, 1, execution.devices)
    photos = config.photos

    def look(variables: Any, batch: Any) -> jax.Array:
        return pooled(network, variables, batch["photos"], batch["photo_mask"])

    def load(record: Record) -> dict[str, np.ndarray]:
        cut, mask = cut_photos(record["images"], photos, None)
        return {"photos": cut, "photo_mask": mask}

    wrapped = {name: {"backbone": tree} for name, tree in trained.variables.items()}
    key = {
        "weights": feature_extraction.hash_weights(wrapped),
        "photos": json.dumps([photos.resize, photos.crop, photos.count]),
        "precision": config.precision,
        "data": listings.fingerprint,
    }
    return feature_extraction.extract(
        config.features,
        key,
        (len(listings.frame), resnet.width(config.networks.depth)),
        look,
        wrapped,
        listings.source,
        load,
        batch_size=config.networks.batch_size,
        execution=execution,
        name=trained.task,
    )


def pooled(
    network: Any, variables: Any, photos: jax.Array, mask: jax.Array
) -> jax.Array:
    """Mean feature over the photos of each row; zeros where a row has none.

    Args:
      network: a `PhotoNetwork`.
      variables: its weights.
      photos: uint8 [B, M, H, W, 3].
      mask: [B, M], 1 for a photo and 0 for none.

    Returns:
      float32 [B, C].
    """
    flat = photos.reshape(-1, *photos.shape[2:])  # [B*M, H, W, 3]
    vectors = network.apply(variables, flat, method="extract").astype(jnp.float32)
    vectors = vectors.reshape(*mask.shape, -1) * mask[..., None]  # [B, M, C]
    return vectors.sum(1) / jnp.maximum(mask.sum(1), 1)[:, None]
