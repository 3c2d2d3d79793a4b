"""Host arrays that a device of this machine can use without a copy."""

import collections
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

_ALIGNMENT = 64  # bytes: what JAX asks of an array that it takes as it stands
_LARGE = 1 << 20  # bytes; below, new memory costs next to nothing
_KEPT = 4  # pieces of free memory; a stream of batches needs one or two

# Oldest first; what is more than `_KEPT` is given up.
_free: collections.deque[np.ndarray] = collections.deque(maxlen=_KEPT)


class _Lease:
    """Memory that is free again when the last array on it is gone.

    Arrays hold on to what they were made from, so this lives as long as any of them.
    """

    def __init__(self, memory: np.ndarray):
        self._memory, self._free = memory, _free  # which may be gone when Python ends
        self.__array_interface__: dict[str, Any] = memory.__array_interface__

    def __del__(self) -> None:
        # One call that no other thread can get between: a lock might be held by the
        # very thread that the garbage collector interrupts.
        self._free.append(self._memory)


def empty_aligned(shape: Sequence[int], dtype: np.typing.DTypeLike) -> np.ndarray:
    """Like `np.empty`, with its first number at a multiple of 64 bytes.

    On a CPU, `jax.device_put` then shares the memory: don't write to the array after.
    Large arrays of one size, such as a run's batches, follow each other in the same
    memory: the system has to clear new one, which costs as much as filling it.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = _take(size + _ALIGNMENT)
    if size >= _LARGE:
        memory = np.asarray(_Lease(memory))
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def _take(size: int) -> np.ndarray:
    """Memory of so many bytes, free one if there is any."""
    for _ in range(len(_free)):
        try:
            memory = _free.popleft()
        except IndexError:  # another thread was faster
            break
        if memory.size == size:
            return memory
        _free.append(memory)
    return np.empty(size, np.uint8)
