import jax
import numpy as np
import pytest

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
