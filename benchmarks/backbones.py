"""ResNets as comparisons: their training steps (of benchmarks.resnet), a convolution."""

from collections.abc import Iterator

import jax
import numpy as np

from benchmarks.timing import Comparison
from common.layers.convolution import convolve


def compare_resnets(quick: bool, threads: int) -> Iterator[Comparison]:
    """ResNet-50 at 224 pixels and ResNet-18 at 64, where the last map is 2 x 2."""
    try:
        from benchmarks import peers, resnet
    except ModuleNotFoundError:  # torch is an extra, and benchmarks.resnet needs it
        return
    sizes = [("50", 224, 8, 1.1, False), ("18", 64, 64, 0.6, True)]
    if quick:
        sizes = [("tiny", 32, 2, 1.1, False)]
    for depth, pixels, batch, bar, rate in sizes:
        ours = resnet.our_step(depth, pixels, batch)
        torch = resnet.torch_step(depth, pixels, batch)
        peers.start(threads)  # `torch_step` sets one
        work = f"ResNet {depth}, {pixels} px, batch {batch}, training step"
        images = batch if rate else 0
        yield Comparison(work, ("ours", ours), ("PyTorch", torch), bar, images)


def compare_convolutions(quick: bool) -> Iterator[Comparison]:
    """3 x 3 convolution of a ResNet's first stage: alone, and with both gradients."""
    batch, side, channels = (2, 4, 3) if quick else (8, 56, 64)
    rng = np.random.default_rng(0)
    shapes = ((batch, side, side, channels), (3, 3, channels, channels))
    x, kernel = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    cotangent = rng.normal(size=x.shape).astype(np.float32)
    forward = jax.jit(convolve)

    @jax.jit
    def gradients(x, kernel, cotangent):
        y, pull = jax.vjp(convolve, x, kernel)
        return y, pull(cotangent)

    arrays = jax.device_put((x, kernel, cotangent))
    ours = {
        "forward": lambda: jax.block_until_ready(forward(*arrays[:2])),
        "forward + backward": lambda: jax.block_until_ready(gradients(*arrays)),
    }
    theirs = {}
    try:
        from benchmarks import peers
    except ModuleNotFoundError:  # torch is an extra
        pass
    else:
        module = peers.Convolution(kernel)
        theirs["forward"] = peers.forward(module, (x,))
        theirs["forward + backward"] = peers.gradients(module, (x,), cotangent)
    for part, call in ours.items():
        work = f"3 x 3 convolution, {batch} x {side} x {side} x {channels}, {part}"
        other = ("PyTorch, channels-last", theirs[part]) if theirs else None
        yield Comparison(work, ("ours", call), other)
