"""Training steps of ResNets beside PyTorch's (channels-last).

Run `python -m benchmarks.resnet` (`--avx2` as on a processor without AVX-512): one
thread, both sides in turns. XLA allocates the
activations of a step anew each time, so up to a third of a large step goes to the
kernel handing out pages of 4 kB. GLIBC_TUNABLES=glibc.malloc.hugetlb=1 in the
environment asks for large pages instead: measured, it saves a quarter of the ResNet-50
step where the machine's memory is free, and costs half as much again where memory is
fragmented and the kernel must move things to make room.

Needs jax, flax, numpy and torch. Where JAX has a GPU, prints images per second of our
step in bfloat16 instead.
"""

import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import torch
from torch import nn

from benchmarks import timing
from common.layers import backbones, resnet

LEARNING_RATE = 1e-3
Step = Callable[[], object]


def compare_steps(quick: bool) -> Iterator[timing.Comparison]:
    """Forward, backward and update beside PyTorch: ResNet-50 and ResNet-18.

    Args:
      quick: tiny sizes, to see that it runs.
    """
    pixels, batch = (64, 2) if quick else (224, 8)
    yield timing.Comparison(
        f"ResNet-50, {pixels} px, batch {batch}, training step",
        ("ours", our_step("50", pixels, batch)),
        ("torch, channels-last", torch_step("50", pixels, batch)),
        bar=1.1,
    )
    batch = 2 if quick else 64
    yield timing.Comparison(
        f"ResNet-18, 64 px, batch {batch}, training step",
        ("ours", our_step("18", 64, batch)),
        ("torch, channels-last", torch_step("18", 64, batch)),
        bar=0.6,
        images=batch,
    )


def measure_bfloat16(depth: str, pixels: int, batch: int, steps: int = 20) -> str:
    """Images per second of our step on the default device, in bfloat16."""
    step = our_step(depth, pixels, batch, jnp.bfloat16)
    step()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    rate = batch * steps / (time.perf_counter() - start)
    return f"ResNet-{depth}, {pixels} px, batch {batch}, bf16: {rate:.0f} images/s"


def our_step(name: str, pixels: int, batch: int, dtype=jnp.float32) -> Step:
    """Forward, backward and update of one of our networks on random images."""
    model = backbones.make(name, dtype)
    images = jax.random.normal(jax.random.key(0), (batch, pixels, pixels, 3), dtype)
    variables = jax.jit(model.init)(jax.random.key(1), images)

    def update(variables, images):
        def objective(params):
            features, state = model.apply(
                {**variables, "params": params},
                images,
                train=True,
                mutable=["batch_stats"],
            )
            pooled = features.astype(jnp.float32).mean((1, 2))  # [B, D]
            return jnp.square(pooled).mean(), state

        gradients, state = jax.grad(objective, has_aux=True)(variables["params"])
        params = jax.tree.map(
            lambda p, g: p - LEARNING_RATE * g, variables["params"], gradients
        )
        return {"params": params, **state}

    compiled = jax.jit(update, donate_argnums=0)

    def step():
        nonlocal variables
        variables = jax.block_until_ready(compiled(variables, images))

    return step


def torch_step(depth: str, pixels: int, batch: int) -> Step:
    """The same in PyTorch."""
    return torch_step_of(TorchResNet(resnet.SIZES[depth]), pixels, batch)


def torch_step_of(model: nn.Module, pixels: int, batch: int) -> Step:
    """Forward, backward and update of a network in PyTorch."""
    torch.set_num_threads(1)
    model.train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)
    images = torch.randn(batch, 3, pixels, pixels)
    images = images.to(memory_format=torch.channels_last)

    def step():
        optimizer.zero_grad()
        model(images).mean((2, 3)).square().mean().backward()
        optimizer.step()

    return step


class TorchResNet(nn.Sequential):
    """The network of `common.layers.resnet` in PyTorch."""

    def __init__(self, sizes: resnet.Sizes):
        layers: list[nn.Module] = [
            *unit(3, sizes.stem, 7, 2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        ]
        channels = sizes.stem
        for stage, (blocks, width) in enumerate(
            zip(sizes.blocks, sizes.widths, strict=True)
        ):
            for i in range(blocks):
                stride = 2 if stage and not i else 1
                layers.append(TorchBlock(channels, width, stride, sizes.bottleneck))
                channels = width
        super().__init__(*layers)


class TorchBlock(nn.Module):
    """The residual block of `common.layers.resnet` in PyTorch."""

    def __init__(self, channels: int, width: int, stride: int, bottleneck: bool):
        super().__init__()
        inner = width // 4
        units = (
            [(channels, inner, 1, 1), (inner, inner, 3, stride), (inner, width, 1, 1)]
            if bottleneck
            else [(channels, width, 3, stride), (width, width, 3, 1)]
        )
        layers: list[nn.Module] = []
        for arguments in units:
            layers += [*unit(*arguments), nn.ReLU(inplace=True)]
        self.units = nn.Sequential(*layers[:-1])
        same = channels == width and stride == 1
        shortcut = [] if same else unit(channels, width, 1, stride)
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps x [B, C, H, W] to [B, width, H / stride, W / stride]."""
        return torch.relu_(self.units(x) + self.shortcut(x))


def unit(channels: int, width: int, size: int, stride: int) -> list[nn.Module]:
    """A convolution and its normalisation."""
    convolution = nn.Conv2d(channels, width, size, stride, size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(width)]


def main() -> None:
    """Takes all measurements."""
    timing.pin(1)
    if jax.default_backend() == "gpu":
        print(measure_bfloat16("50", 224, 128))
        print(measure_bfloat16("50", 448, 32))
        return
    for comparison in compare_steps(quick=False):
        for row in timing.compare(comparison, repeats=5):
            print(
                "; ".join(f"{key}: {value}" for key, value in row.items()), flush=True
            )


if __name__ == "__main__":
    timing.start()
    main()
