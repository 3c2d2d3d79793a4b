"""The whole ICAN step on an accelerator: rate, utilisation, memory."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.training_step import Training, make_spec


def multiplication_rate(size: int, repeats: int = 20) -> float:
    """Operations a second of bfloat16 products of square matrices, drawn at random."""
    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(key, (size, size), jnp.bfloat16) for key in keys)
    multiply = jax.jit(lambda a, b: a @ b)
    seconds = _seconds(lambda: multiply(a, b), repeats)
    return 2 * size**3 / seconds


def measure_steps(quick: bool) -> list[dict[str, Any]]:
    """Training steps at 448 px with ResNet-50, L = 3, in bfloat16.

    Returns:
      a table row for each batch size, the paper's 16 first. Utilisation is the rate
      of the step's operations over that of a large matrix product in the same run;
      the peak of memory is the largest since the process started.
    """
    depth, pixels, batches, size = "50", 448, [16, 64, 128], 8192
    if quick:
        depth, pixels, batches, size = "tiny", 32, [2], 64
    spec = make_spec(quick)
    return [
        _measure_step(Training(spec, depth, pixels, batch, 3, "bfloat16"), size, quick)
        for batch in batches
    ]


def _measure_step(training: Training, size: int, quick: bool) -> dict[str, Any]:
    seconds = _seconds(training.start, 2 if quick else 20)
    memory = jax.local_devices()[0].memory_stats() or {}
    peak = memory.get("peak_bytes_in_use")
    rate = training.operations() / seconds
    limit = multiplication_rate(size)
    return {
        "work": f"ICAN step, ResNet {training.depth}, {training.pixels} px, bfloat16",
        "batch": training.batch,
        "ms": f"{seconds * 1e3:.1f}",
        "images/s": f"{training.batch / seconds:.1f}",
        "TFLOP/s": f"{rate / 1e12:.3g}",
        f"product of {size}, TFLOP/s": f"{limit / 1e12:.3g}",
        "utilisation": f"{rate / limit:.1%}",
        "peak GiB": None if peak is None else f"{peak / 2**30:.1f}",
    }


def _seconds(start: Callable[[], Any], repeats: int) -> float:
    """Wall time of a call in a row of them that the device works off."""
    jax.block_until_ready(start())
    jax.block_until_ready(start())
    begin = time.perf_counter()
    for _ in range(repeats):
        last = start()
    jax.block_until_ready(last)
    return (time.perf_counter() - begin) / repeats
