"""EfficientNet-Lite0 beside PyTorch's (channels-last): forward pass and training step.

Run `python -m benchmarks.efficientnet` (`--quick` for tiny sizes, `--avx2` as on a
processor without AVX-512): one thread, both sides in turns, 224 px, batch 8. PyTorch's side pads symmetrically, which costs it no
pass of its own; the arithmetic is the same.

Needs jax, flax, numpy and torch.
"""

import sys
from collections.abc import Iterator

import jax
import torch
from torch import nn

from benchmarks import timing, weights
from benchmarks.resnet import Step, our_step, torch_step_of
from common.layers.efficientnet import EfficientNet
from common.layers.efficientnet_sizes import EXPANSIONS, KERNELS, SIZES, STRIDES, Sizes

KIND = "efficientnet-lite0"


def compare_both(quick: bool) -> Iterator[timing.Comparison]:
    """Forward pass, and forward, backward and update, beside PyTorch.

    Args:
      quick: tiny sizes, to see that it runs.
    """
    pixels, batch = (64, 2) if quick else (224, 8)
    work = f"EfficientNet-Lite0, {pixels} px, batch {batch}"
    yield timing.Comparison(
        f"{work}, forward",
        ("ours", our_forward(pixels, batch)),
        ("torch, channels-last", torch_forward(pixels, batch)),
        bar=1.5,
    )
    network = TorchEfficientNet(SIZES[KIND])
    yield timing.Comparison(
        f"{work}, training step",
        ("ours", our_step(KIND, pixels, batch)),
        ("torch, channels-last", torch_step_of(network, pixels, batch)),
    )


def our_forward(pixels: int, batch: int) -> Step:
    """Feature maps of our network in evaluation."""
    model = EfficientNet(KIND)
    images = jax.random.normal(jax.random.key(0), (batch, pixels, pixels, 3))
    shapes = jax.eval_shape(model.init, jax.random.key(1), images)
    compiled, variables = jax.jit(model.apply), jax.device_put(weights.draw(shapes))
    return lambda: jax.block_until_ready(compiled(variables, images))


def torch_forward(pixels: int, batch: int) -> Step:
    """The same in PyTorch."""
    torch.set_num_threads(1)
    model = TorchEfficientNet(SIZES[KIND]).eval()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(batch, 3, pixels, pixels)
    images = images.to(memory_format=torch.channels_last)

    def forward():
        with torch.inference_mode():
            model(images)

    return forward


class TorchEfficientNet(nn.Sequential):
    """The network of `common.layers.efficientnet` in PyTorch."""

    def __init__(self, sizes: Sizes):
        layers: list[nn.Module] = unit(3, sizes.stem, 3, 2)
        channels = sizes.stem
        for group, (blocks, width) in enumerate(
            zip(sizes.blocks, sizes.widths, strict=True)
        ):
            for i in range(blocks):
                stride = 1 if i else STRIDES[group]
                layers.append(
                    TorchBlock(
                        channels, width, KERNELS[group], stride, EXPANSIONS[group]
                    )
                )
                channels = width
        super().__init__(*layers, *unit(channels, sizes.head, 1))


class TorchBlock(nn.Module):
    """The inverted residual of `common.layers.efficientnet` in PyTorch."""

    def __init__(
        self, channels: int, width: int, size: int, stride: int, expansion: int
    ):
        super().__init__()
        inner = channels * expansion
        layers = unit(channels, inner, 1) if expansion != 1 else []
        layers += unit(inner, inner, size, stride, inner)
        self.units = nn.Sequential(*layers, *unit(inner, width, 1)[:-1])
        self.adds = stride == 1 and channels == width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps x [B, C, H, W] to [B, width, H / stride, W / stride]."""
        y = self.units(x)
        return y + x if self.adds else y


def unit(
    channels: int, width: int, size: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution, its normalisation and ReLU6."""
    convolution = nn.Conv2d(
        channels, width, size, stride, size // 2, groups=groups, bias=False
    )
    norm = nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)
    return [convolution, norm, nn.ReLU6(inplace=True)]


def main(quick: bool) -> None:
    """Takes both measurements."""
    timing.pin(1)
    for comparison in compare_both(quick):
        for row in timing.compare(comparison, repeats=2 if quick else 5):
            print(
                "; ".join(f"{key}: {value}" for key, value in row.items()), flush=True
            )


if __name__ == "__main__":
    timing.start()
    main("--quick" in sys.argv[1:])
