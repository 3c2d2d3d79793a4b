"""Host arrays that a device of this machine can use without a copy."""

import math
from collections.abc import Sequence

import numpy as np

_ALIGNMENT = 64  # bytes: what JAX asks of an array that it takes as it stands


def empty_aligned(shape: Sequence[int], dtype: np.typing.DTypeLike) -> np.ndarray:
    """Like `np.empty`, with its first number at a multiple of 64 bytes.

    On a CPU, `jax.device_put` then shares the memory: don't write to the array after.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)
