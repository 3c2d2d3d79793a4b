"""The features of all photos, extracted once: the store that the heads train on.

One store for each network, keyed by its weights and the preprocessing; the feature of a
photo is the networks' vectors side by side (MSTFE), or that of one alone (STFE).
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from common.backbone import extraction
from common.data.feature_cache import FeatureCache
from common.data.listings import Listings
from common.parallel.execution import Execution
from common.training import activity
from pricer.config import Config
from pricer.networks import TrainedNetwork

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

    def chunks(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Rows, in the order asked for, as many at a time as memory holds easily."""
        for first in range(0, len(indices), _CHUNK):
            yield self.rows(indices[first : first + _CHUNK])

    def moments(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation [F] over rows; the deviation of constants is 1."""
        total = np.zeros(self.width)
        squares = np.zeros(self.width)
        for part in self.chunks(indices):
            part = part.astype(np.float64)
            total += part.sum(0)
            squares += (part**2).sum(0)
        mean = total / len(indices)
        variance = np.maximum(squares / len(indices) - mean**2, 0)
        # Below the rounding of float16 a feature is as good as constant.
        constant = variance <= (1e-3 * np.maximum(np.abs(mean), 1e-3)) ** 2
        return mean, np.where(constant, 1.0, np.sqrt(variance))


@activity.doing("extracting features")
def extract(
    config: Config,
    networks: Sequence[TrainedNetwork],
    listings: Listings,
    execution: Execution,
) -> Features:
    """Opens the stores of some networks, and fills what is missing.

    Args:
      config: of the run; the stores lie under `config.networks.cache`.
      networks: that see the photos, in the order of their vectors.
      listings: all rows; one without a photo has a vector of zeros.
      execution: what to run on.

    Raises:
      UserError: a store of other weights, or a damaged one.
    """
    return Features(
        [
            extraction.extract_photos(
                config.networks.cache,
                config.networks.network,
                network.variables,
                config.photos,
                config.precision,
                listings,
                batch_size=config.networks.batch_size,
                execution=execution,
                name=network.task,
            )
            for network in networks
        ]
    )
