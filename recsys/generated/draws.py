"""Random numbers of many ids at once, each a function of (seed, stream, id, column).

A hash of the four instead of a generator per id: any ids can be asked for, in any
order, without drawing the others, and a million of them take a moment.
"""

import enum

import numpy as np

_STEP = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_FACTORS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
# Taste and items are rounded to this, so that sums of products are exact and no order
# of summation (of another machine, or of more rows at once) can change a choice.
_GRID = 2.0**16


class Stream(enum.IntEnum):
    """What random numbers are for; streams do not overlap."""

    LEAF = 0
    TIME = 1
    INTEREST = 2
    QUALITY = 3
    LOOK = 4
    HIDDEN = 5
    DECOY = 6
    CLUTTER = 7
    NOISE = 8
    ACTIVITY = 9
    TASTE = 10
    LATER_TASTE = 11
    NEED = 12
    SIGNATURE = 13
    TURN = 14
    FEATURE_MAP = 15
    ONLINE = 16
    DELAY = 17
    CHOICE = 18
    SPLIT = 19


def _mix(bits: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64, in place."""
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        bits ^= bits >> np.uint64(shift)
        bits *= np.uint64(factor)
    bits ^= bits >> np.uint64(31)
    return bits


def hashes(seed: int, stream: Stream, ids: np.ndarray, columns: int) -> np.ndarray:
    """Hashes uint64 [N, columns] of N ids.

    Source: the mixing function of Steele, Lea, Flood, "Fast Splittable Pseudorandom
    Number Generators" (2014).
    """
    start = (seed * len(Stream) + int(stream) + 1) * _STEP & _MASK
    key = _mix(np.array([start], np.uint64))
    rows = _mix(_mix(np.asarray(ids).astype(np.uint64) * np.uint64(_STEP) + key))
    steps = np.arange(1, columns + 1, dtype=np.uint64) * np.uint64(_STEP)
    return _mix(rows[:, None] + steps)  # [N, columns]


def uniforms(seed: int, stream: Stream, ids: np.ndarray, columns: int) -> np.ndarray:
    """Numbers evenly spread over (0, 1), ends excluded [N, columns]."""
    bits = hashes(seed, stream, ids, columns)
    return ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normals(seed: int, stream: Stream, ids: np.ndarray, columns: int) -> np.ndarray:
    """Standard normal numbers [N, columns], by Box and Muller."""
    pairs = (columns + 1) // 2
    draws = uniforms(seed, stream, ids, 2 * pairs)
    radius = np.sqrt(-2.0 * np.log(draws[:, 0::2]))
    angle = 2.0 * np.pi * draws[:, 1::2]
    both = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return both.reshape(len(draws), 2 * pairs)[:, :columns]  # [N, columns]


def directions(seed: int, stream: Stream, ids: np.ndarray, columns: int) -> np.ndarray:
    """Vectors of length sqrt(columns) in any direction [N, columns]."""
    draws = normals(seed, stream, ids, columns)
    return draws * np.sqrt(columns) / np.linalg.norm(draws, axis=1, keepdims=True)


def snap(values: np.ndarray) -> np.ndarray:
    """Rounds to multiples of 2^-16."""
    return np.round(values * _GRID) / _GRID
