"""Feature vectors of the generated closet: what a convolutional network would tell.

Before it is cut off at 0, a feature is a linear function of the category's signature,
the item's look and quality, and clutter (pose, light, background), plus noise. The look
goes through a rotation of its own for each leaf first, so the same features mean
different looks in different leaves, more so the further apart these are in the tree. A
matrix per leaf can undo that, a common one only where the rotations agree.
"""

import functools
import math

import numpy as np

from recsys.generated.draws import Stream, directions, hashes, normals
from recsys.generated.latents import Items, sample_items
from recsys.generated.parameters import (
    CLUTTER_DIMENSIONS,
    DIMENSIONS,
    FEATURE_MEAN,
    FEATURE_NORM,
    FEATURE_SHARES,
    LEVELS,
    SIGNATURE_DIMENSIONS,
    SIGNATURE_SHARES,
    TURNS,
    ClosetConfig,
)
from recsys.generated.tree import branches

_ROWS_AT_ONCE = 256
# All that is summed is a multiple of a power of two and not too large, so float32 sums
# are exact and a photo has the same features in any company and on any machine.
_LATENT_GRID = 2.0**6
_MAP_GRID = 2.0**8
_BYTES = 8  # of noise in a hash
_BYTE_SPREAD = math.sqrt((256**2 - 1) / 12)


@functools.lru_cache(maxsize=4)
def turns(subset: str, seed: int) -> np.ndarray:
    """Rotation of the look in the photos of each leaf [C, d, d].

    (1 - S)^-1 (1 + S), Cayley's transform of a skew matrix S, which is the sum of one
    of the leaf and one of its parent.
    """
    nodes, size = branches(subset).nodes, DIMENSIONS["look"]
    skew = np.zeros((len(nodes), size, size))
    for level, spread in TURNS.items():
        at = LEVELS.index(level)
        ids = nodes[:, at] + at * 10_000
        draws = normals(seed, Stream.TURN, ids, size * size)
        draws = draws.reshape(-1, size, size)  # [C, d, d]
        skew += spread / np.sqrt(2) * (draws - draws.transpose(0, 2, 1))
    one = np.eye(size)
    return np.linalg.solve(one - skew, one + skew)


def shown_looks(config: ClosetConfig, items: Items) -> np.ndarray:
    """The looks as they show in the photos: turned by leaf [N, d]."""
    looks = items.look
    if not config.visual_style:
        looks = directions(config.seed, Stream.DECOY, items.ids, DIMENSIONS["look"])
    if not config.leaf_style:
        return looks
    turn = turns(config.subset, config.seed)[items.leaf]
    return np.einsum("nij,nj->ni", turn, looks)  # [N, d]


def common_map(config: ClosetConfig) -> np.ndarray:
    """The best linear estimate of a look from a shown one, for all leaves [d, d]."""
    if not config.leaf_style:
        return np.eye(DIMENSIONS["look"])
    shares = branches(config.subset).shares
    return np.einsum("c,cij->ji", shares, turns(config.subset, config.seed))


@functools.lru_cache(maxsize=4)
def _signatures(subset: str, seed: int) -> np.ndarray:
    """What photos of a leaf have in common [C, d], mean square by SIGNATURE_SHARES."""
    nodes = branches(subset).nodes
    found = np.zeros((len(nodes), SIGNATURE_DIMENSIONS))
    for level, name in enumerate(LEVELS):
        ids = nodes[:, level] + level * 10_000
        draws = directions(seed, Stream.SIGNATURE, ids, SIGNATURE_DIMENSIONS)
        found += np.sqrt(SIGNATURE_SHARES[name]) * draws
    return found


@functools.lru_cache(maxsize=2)
def _feature_map(seed: int, width: int) -> np.ndarray:
    """From latents to features, float32 [latents, F]; a feature's column is its own."""
    sizes = {
        "mean": 1,
        "look": DIMENSIONS["look"],
        "quality": 1,
        "clutter": CLUTTER_DIMENSIONS,
        "signature": SIGNATURE_DIMENSIONS,
    }
    shares = FEATURE_SHARES | {"mean": FEATURE_MEAN[1] ** 2, "signature": 1.0}
    scales = [np.full(n, np.sqrt(shares[name] / n)) for name, n in sizes.items()]
    spread = np.concatenate(scales)
    found = normals(seed, Stream.FEATURE_MAP, np.arange(width), len(spread)) * spread
    found[:, 0] += FEATURE_MEAN[0]
    return np.ascontiguousarray(_round(found, _MAP_GRID).T)


def _round(values: np.ndarray, grid: float) -> np.ndarray:
    return (np.round(values * grid) / grid).astype(np.float32)


def _latents(config: ClosetConfig, items: Items) -> np.ndarray:
    """What a photo is made of, float32 [N, latents], in the order of `_feature_map`."""
    count, seed = len(items.ids), config.seed
    quality = items.quality[:, None]
    if not config.visual_style:
        decoy = normals(seed, Stream.DECOY, items.ids, 2 * DIMENSIONS["look"])
        quality = decoy[:, -1:]
    columns = [
        np.ones((count, 1)),
        shown_looks(config, items),
        quality,
        normals(seed, Stream.CLUTTER, items.ids, CLUTTER_DIMENSIONS),
        _signatures(config.subset, seed)[items.leaf],
    ]
    return _round(np.concatenate(columns, axis=1), _LATENT_GRID)


def features(config: ClosetConfig, wanted: np.ndarray) -> np.ndarray:
    """Feature vectors of the photos of items, made on the fly.

    Args:
      config: of the closet.
      wanted: [N] ids of items.

    Returns:
      float16 [N, F], not negative, of a norm about 30.
    """
    wanted = np.asarray(wanted)
    width = config.feature_width
    latents = _latents(config, sample_items(config, wanted))
    mapping, scale = _feature_map(config.seed, width), _scale(width)
    step = round(np.sqrt(FEATURE_SHARES["noise"]) / _BYTE_SPREAD * 2**14) / 2**14
    found = np.empty((len(wanted), width), np.float16)
    for first in range(0, len(wanted), _ROWS_AT_ONCE):
        some = slice(first, first + _ROWS_AT_ONCE)
        values = latents[some] @ mapping  # [n, F]
        draws = hashes(config.seed, Stream.NOISE, wanted[some], -(-width // _BYTES))
        noise = draws.astype("<u8").view(np.int8)[:, :width]
        values += noise * np.float32(step)
        np.maximum(values, 0.0, out=values)
        np.multiply(values, scale, out=found[some], casting="same_kind")
    return found


def _scale(width: int) -> np.float32:
    """What makes the norm FEATURE_NORM, for normally distributed features."""
    mean = FEATURE_MEAN[0]
    within = sum(FEATURE_SHARES.values())
    variance = FEATURE_MEAN[1] ** 2 + within + sum(SIGNATURE_SHARES.values())
    spread = math.sqrt(variance)
    ratio = mean / spread
    below = 0.5 * (1 + math.erf(ratio / math.sqrt(2)))
    density = math.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    square = (mean**2 + variance) * below + mean * spread * density
    return np.float32(FEATURE_NORM / math.sqrt(width * square))
