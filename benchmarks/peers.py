"""The same work in plain PyTorch, written for speed: what ours stands beside.

Not a port of anybody's code: the formulas of `common.fusion` in the fastest form that
PyTorch offers them on a processor. Weights come from our own modules, so both sides
can be checked to compute the same.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional


def start(threads: int) -> None:
    """Sets the number of threads; 0 leaves it."""
    if threads:
        torch.set_num_threads(threads)


def tensor(array: Any) -> torch.Tensor:
    """A leaf that gradients are taken to."""
    return torch.tensor(np.asarray(array), requires_grad=True)


def power_normalise(z: torch.Tensor) -> torch.Tensor:
    """Signed square root and L2 norm over the last axis."""
    return functional.normalize(z.sign() * z.abs().sqrt(), dim=-1)


class Linear:
    """A linear map with the weights of ours.

    Args:
      weights: {"kernel": [D, D'], "bias": [D']}.
    """

    def __init__(self, weights: Mapping[str, Any]):
        # The layout of torch.nn.Linear.
        self.weight = tensor(np.asarray(weights["kernel"]).T.copy())  # [D', D]
        self.bias = tensor(weights["bias"])

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Maps x [..., D] to [..., D']."""
        return functional.linear(x, self.weight, self.bias)

    @property
    def parameters(self) -> list[torch.Tensor]:
        """What is trained."""
        return [self.weight, self.bias]


class Block:
    """BLOCK with full core tensors; all blocks in one batched product.

    Args:
      params: of `common.fusion.Block(rank=None)` with equal blocks.
    """

    def __init__(self, params: Mapping[str, Any]):
        self.project_x = Linear(params["project_x"]["linear"])
        self.project_y = Linear(params["project_y"]["linear"])
        core = np.asarray(params["blocks_0"]["core"])  # [C, I, J, O]
        self.sizes = core.shape
        blocks, size_x, size_y, size = core.shape
        self.core = tensor(core.reshape(blocks, size_x, size_y * size))
        self.bias = tensor(params["blocks_0"]["bias"])
        self.output = Linear(params["output"]["linear"])

    def __call__(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Fuses x [B, Dx] and y [B, Dy] to [B, D]."""
        blocks, size_x, size_y, size = self.sizes
        batch = x.shape[0]
        x = self.project_x(x).view(batch, blocks, size_x).transpose(0, 1)
        y = self.project_y(y).view(batch, blocks, size_y).transpose(0, 1)
        # Of five forms, einsum and one product of outer products among them, this is
        # as fast as any at batch 16 and the fastest at 256.
        halfway = torch.bmm(x, self.core).view(-1, size_y, size)  # [C * B, J, O]
        z = torch.bmm(y.reshape(-1, 1, size_y), halfway)  # [C * B, 1, O]
        z = z.view(blocks, batch, size).transpose(0, 1) + self.bias  # [B, C, O]
        return self.output(power_normalise(z).flatten(1))

    @property
    def parameters(self) -> list[torch.Tensor]:
        """What is trained."""
        linears = (self.project_x, self.project_y, self.output)
        return [self.core, self.bias, *(p for map in linears for p in map.parameters)]


class MFB:
    """MFB of a vector per position with a vector per item, projected once.

    Args:
      params: of `common.fusion.MFB` without output map.
      factor: k.
    """

    def __init__(self, params: Mapping[str, Any], factor: int):
        self.factor = factor
        self.project_x = Linear({**params["linear_x"], "bias": params["bias_x"]})
        self.project_y = Linear({**params["linear_y"], "bias": params["bias_y"]})

    def __call__(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Fuses x [B, P, Dx] and y [B, 1, Dy] to [B, P, o]."""
        product = self.project_x(x) * self.project_y(y)  # [B, P, o * k]
        windows = product.view(*product.shape[:-1], -1, self.factor)  # [B, P, o, k]
        return power_normalise(windows.sum(-1))

    @property
    def parameters(self) -> list[torch.Tensor]:
        """What is trained."""
        return [*self.project_x.parameters, *self.project_y.parameters]


class Convolution:
    """A 3 x 3 convolution, channels-last, padded by one cell.

    Args:
      kernel: [3, 3, C, D].
    """

    def __init__(self, kernel: Any):
        weight = torch.tensor(np.transpose(np.asarray(kernel), (3, 2, 0, 1)))
        weight = weight.contiguous(memory_format=torch.channels_last)
        self.weight = weight.requires_grad_()  # [D, C, 3, 3]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Maps x [B, H, W, C] to [B, H, W, D]."""
        y = functional.conv2d(x.permute(0, 3, 1, 2), self.weight, padding=1)
        return y.permute(0, 2, 3, 1)

    @property
    def parameters(self) -> list[torch.Tensor]:
        """What is trained."""
        return [self.weight]


def forward(module: Any, inputs: Sequence[Any]) -> Callable[[], torch.Tensor]:
    """Forward pass alone, ready to be timed."""
    leaves = [torch.tensor(np.asarray(array)) for array in inputs]

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return module(*leaves)

    return run


def gradients(
    module: Any, inputs: Sequence[Any], cotangent: Any
) -> Callable[[], tuple[torch.Tensor, ...]]:
    """Forward and backward pass, ready to be timed.

    Args:
      module: with `parameters`.
      inputs: arrays.
      cotangent: array in the shape of the output, where the backward pass starts.

    Returns:
      a call without arguments that gives the output and the gradients to inputs and
      parameters.
    """
    leaves = [tensor(array) for array in inputs]
    start = torch.tensor(np.asarray(cotangent))

    def run() -> tuple[torch.Tensor, ...]:
        z = module(*leaves)
        grads = torch.autograd.grad(z, [*leaves, *module.parameters], start)
        return z.detach(), *grads

    return run


def multiply(size: int) -> Callable[[], torch.Tensor]:
    """A product of two square matrices, to see how many processors are used."""
    a = torch.ones(size, size)
    return lambda: a @ a


def pricer_step(
    batch: int, features: int, statistics: int, beta: float = 2.0
) -> Callable[[], None]:
    """One step of pricer's second stage with Adam: two perceptrons, Eq. 1.

    Args:
      batch: rows.
      features: width of the stored features, float16.
      statistics: width of the statistics.
      beta: weight of the constraint on the share that is accepted.
    """
    generator = torch.Generator().manual_seed(0)
    stored = torch.rand(batch, features, generator=generator).half()
    others = torch.randn(batch, statistics, generator=generator)
    target = torch.randn(batch, generator=generator)
    mean, scale = torch.full((features,), 0.8), torch.full((features,), 0.6)

    def perceptron() -> torch.nn.Sequential:
        return torch.nn.Sequential(
            torch.nn.Linear(features + statistics, 512),
            torch.nn.ReLU(),
            torch.nn.Linear(512, 512),
            torch.nn.ReLU(),
            torch.nn.Linear(512, 1),
        )

    regression, gate = perceptron(), perceptron()
    parameters = [*regression.parameters(), *gate.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=5e-4)

    def step() -> None:
        inputs = torch.cat([(stored.float() - mean) / scale, others], dim=1)
        squared = (target - regression(inputs)[:, 0]) ** 2
        probability = torch.sigmoid(gate(inputs)[:, 0])
        accepted = (probability >= 0.5).float() + probability - probability.detach()
        shortfall = torch.relu(0.5 - accepted.mean())
        loss = (accepted * squared).mean() + beta * shortfall
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step
