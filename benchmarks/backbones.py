"""Training steps of ResNets as comparisons; the steps are those of benchmarks.resnet."""

from collections.abc import Iterator

from benchmarks.timing import Comparison


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
