import time
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from common.data import aligned_arrays
from common.data.aligned_arrays import empty_aligned


@pytest.mark.parametrize("shape", [(), (3,), (5, 7)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
def test_arrays_begin_at_a_multiple_of_64_bytes(shape, dtype):
    for _ in range(5):
        array = empty_aligned(shape, dtype)
        assert (array.shape, array.dtype) == (shape, dtype)
        assert array.ctypes.data % 64 == 0
        array[...] = 3
        assert (array == 3).all()


def test_a_cpu_takes_them_without_a_copy():
    array = empty_aligned((256, 64), np.float32)
    array[:] = 1
    put = jax.device_put(array, jax.devices("cpu")[0])
    assert put.unsafe_buffer_pointer() == array.ctypes.data


LARGE = (512, 1024)  # float32: 2 MiB


def address(array):
    return array.ctypes.data


def test_large_arrays_of_one_size_follow_each_other_in_the_same_memory():
    first = empty_aligned(LARGE, np.float32)
    place = address(first)
    other = empty_aligned(LARGE, np.float32)
    assert abs(address(other) - place) >= first.nbytes
    del first
    assert address(empty_aligned(LARGE, np.float32)) == place
    # Of another shape and type, but as many bytes.
    assert address(empty_aligned((1024, 1024), np.float16)) == place
    assert address(empty_aligned((513, 1024), np.float32)) != place


def test_memory_is_not_free_while_any_view_of_it_is_there():
    array = empty_aligned(LARGE, np.float32)
    array[:] = 7
    view = array.reshape(-1, 2)[3:5, :1].T
    del array
    others = [empty_aligned(LARGE, np.float32) for _ in range(8)]
    for other in others:
        other[:] = 1
    assert (view == 7).all()


def test_memory_is_not_free_while_a_device_has_it():
    array = empty_aligned(LARGE, np.float32)
    array[:] = 7
    place = address(array)
    put = jax.device_put(array, jax.devices("cpu")[0])
    summed = jax.jit(lambda x: (x + 1).sum())(put)
    del array
    for _ in range(8):
        other = empty_aligned(LARGE, np.float32)
        assert address(other) != place
        other[:] = 1
    assert float(put.sum()) == 7 * put.size and float(summed) == 8 * put.size


def test_little_memory_is_kept():
    """A stream of ever new sizes leaves a few pieces behind, not all."""
    for rows in range(512, 600):
        empty_aligned((rows, 1024), np.float32)
    assert len(aligned_arrays._free) <= aligned_arrays._KEPT
    many = [empty_aligned(LARGE, np.float32) for _ in range(20)]
    del many
    assert len(aligned_arrays._free) <= aligned_arrays._KEPT


def test_threads_never_share_memory():
    def work(number):
        for _ in range(200):
            array = empty_aligned(LARGE, np.float32)
            array[::64, 0] = number
            time.sleep(0)
            if not (array[::64, 0] == number).all():
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
