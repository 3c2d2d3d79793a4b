"""BLOCK and MFB, forward and backward, beside the same formulas in PyTorch."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from benchmarks.timing import Comparison
from benchmarks.weights import draw
from common.fusion import MFB, Block, Fusion

try:
    from benchmarks import peers
except ModuleNotFoundError:  # torch is an extra
    peers = None  # type: ignore[assignment]


def gradients(
    fusion: Fusion, variables: Any, x: np.ndarray, y: np.ndarray, cotangent: np.ndarray
) -> Callable[[], Any]:
    """Forward and backward pass of ours, compiled, as `peers.gradients`."""

    @jax.jit
    def run(variables, x, y, cotangent):
        z, pull = jax.vjp(fusion.apply, variables, x, y)
        return z, pull(cotangent)

    arguments = jax.device_put((variables, x, y, cotangent))
    return lambda: jax.block_until_ready(run(*arguments))


def _compare(
    work: str,
    fusion: Fusion,
    x: np.ndarray,
    y: np.ndarray,
    peer: Callable[[Any], Any],
    bar: float | None,
) -> Comparison:
    variables = draw(jax.eval_shape(fusion.init, jax.random.key(0), x, y))
    z = jax.eval_shape(fusion.apply, variables, x, y)
    cotangent = np.random.default_rng(1).normal(size=z.shape).astype(np.float32)
    other = None
    if peers is not None:
        call = peers.gradients(peer(variables["params"]), (x, y), cotangent)
        other = ("PyTorch", call)
    ours = gradients(fusion, variables, x, y, cotangent)
    return Comparison(work, ("ours", ours), other, bar)


def compare_block(quick: bool) -> Iterator[Comparison]:
    """BLOCK with full cores: 100 blocks of 32, 2048-d and 200-d to 1024-d."""
    blocks, size, features, widths = (100, 32, 1024, (2048, 200))
    batches: tuple[int, ...] = (16, 256)
    if quick:
        blocks, size, features, widths, batches = 4, 3, 5, (7, 6), (2,)
    fusion = Block(features, width=blocks * size, chunks=blocks, rank=None)
    rng = np.random.default_rng(0)
    for batch in batches:
        x, y = (rng.normal(size=(batch, w)).astype(np.float32) for w in widths)
        work = f"BLOCK {blocks} x {size}, batch {batch}, forward + backward"
        yield _compare(work, fusion, x, y, lambda p: peers.Block(p), bar=1.0)


def compare_mfb(quick: bool) -> Iterator[Comparison]:
    """MFB (k 5, o 200) of 196 positions of 2048 with one vector of 200."""
    batch, positions, features, widths = 16, 196, 200, (2048, 200)
    if quick:
        batch, positions, features, widths = 2, 3, 4, (7, 6)
    fusion = MFB(features, factor=5)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, positions, widths[0])).astype(np.float32)
    y = rng.normal(size=(batch, 1, widths[1])).astype(np.float32)
    work = f"MFB at {positions} positions, batch {batch}, forward + backward"
    yield _compare(work, fusion, x, y, lambda p: peers.MFB(p, 5), bar=None)
