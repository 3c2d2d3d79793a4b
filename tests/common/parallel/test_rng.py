import subprocess
import sys

import jax
import numpy as np

from common.parallel import rng


def numbers(key):
    return jax.random.key_data(key).tolist()


def test_stream_folds_in_the_first_four_bytes_of_sha256():
    # printf dropout | sha256sum
    expected = jax.random.fold_in(jax.random.key(3), 0x1B4C0A29)
    assert numbers(rng.stream(rng.root(3), "dropout")) == numbers(expected)


def test_the_same_in_another_process():
    code = (
        "import jax; from common.parallel import rng;"
        "print(jax.random.key_data(rng.at(rng.stream(rng.root(5), 'noise'), 9)).tolist())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == str(
        numbers(rng.at(rng.stream(rng.root(5), "noise"), 9))
    )


def test_streams_steps_and_seeds_differ():
    keys = [
        numbers(rng.at(rng.stream(rng.root(seed), name), step))
        for seed in (0, 1)
        for name in ("params", "dropout", "")
        for step in (0, 1, 2**31)
    ]
    assert len({tuple(key) for key in keys}) == len(keys)


def test_step_may_be_traced():
    key = rng.root(0)
    traced = jax.jit(lambda step: jax.random.key_data(rng.at(key, step)))(np.int32(7))
    assert traced.tolist() == numbers(rng.at(key, 7))
