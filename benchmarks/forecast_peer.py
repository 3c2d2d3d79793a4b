"""The network `gru_maf` of `forecast.model` in PyTorch, for comparisons of speed."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from common.flows.made import Masks, hidden_degrees
from common.layers.batch_norm import EPSILON, MOMENTUM
from forecast.config import ModelConfig, Sizes


def tensor(array: Any) -> torch.Tensor:
    """A copy of an array of JAX or NumPy."""
    return torch.from_numpy(np.array(array))


class MaskedLinear(nn.Linear):
    """A dense layer without some of its weights, bool [outputs, inputs]."""

    mask: torch.Tensor

    def __init__(self, mask: np.ndarray, bias: bool = True):
        super().__init__(mask.shape[1], mask.shape[0], bias)
        self.register_buffer("mask", torch.from_numpy(mask.astype(np.float32)))

    def masked(self) -> torch.Tensor:
        """The weights that are left, zeros elsewhere."""
        return self.weight * self.mask


class Maf(nn.Module):
    """A masked autoregressive map: `MaskedAutoregressive` with its `Made`.

    Args:
      size: D.
      hidden: units of each hidden layer.
      layers: hidden layers.
      condition: width of the condition.
      masks: see `made.hidden_degrees`.
      bound: of log-scales.
    """

    def __init__(
        self,
        size: int,
        hidden: int,
        layers: int,
        condition: int,
        masks: Masks,
        bound: float,
    ):
        super().__init__()
        units = hidden_degrees(masks, size, hidden)
        seen = np.arange(1, size + 1)
        self.bound = bound
        self.condition = nn.Linear(condition, hidden)  # with the first layer's bias
        self.first = MaskedLinear(units[:, None] >= seen, bias=False)
        between = [units[:, None] >= units] * (layers - 1)
        self.later = nn.ModuleList(
            MaskedLinear(mask) for mask in (*between, np.tile(seen, 2)[:, None] > units)
        )

    def forward(
        self, x: torch.Tensor, condition: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(Noise [N, D], log-determinant [N]) of x [N, D], one dense pass."""
        shift, raw = self._run(x, self.condition(condition), self._weights())
        log_scale = self._bounded(raw)
        return (x - shift) * torch.exp(-log_scale), -log_scale.sum(-1)

    def inverse(self, u: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """x [N, D] of noise u [N, D], a dense pass for each coordinate.

        Weights are masked, and the condition is multiplied, once for all passes.
        """
        start, weights = self.condition(condition), self._weights()
        x = torch.zeros_like(u)
        for d in range(u.shape[1]):
            shift, raw = self._run(x, start, weights)
            x[:, d] = u[:, d] * torch.exp(self._bounded(raw[:, d])) + shift[:, d]
        return x

    def copy_params(self, params: Mapping[str, Any]) -> None:
        """Takes over the parameters of a `made.Made` of this size."""
        layers = [self.condition, self.first, *self.later]
        names = [str(n) for n in range(1, len(self.later))] + ["out"]
        kernels = [params["condition"]["kernel"], params["kernel_in"]]
        kernels += [params[f"kernel_{name}"] for name in names]
        biases = [params["bias_0"], None, *(params[f"bias_{name}"] for name in names)]
        with torch.no_grad():
            for layer, kernel, bias in zip(layers, kernels, biases, strict=True):
                layer.weight.copy_(tensor(kernel).T)
                if bias is not None:
                    layer.bias.copy_(tensor(bias).flatten())

    def _weights(self) -> list[torch.Tensor]:
        return [layer.masked() for layer in (self.first, *self.later)]

    def _run(
        self, x: torch.Tensor, start: torch.Tensor, weights: list[torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        """(Shift, log-scale without bound), both [N, D]."""
        h = functional.relu(torch.addmm(start, x, weights[0].T))
        *between, last = zip(weights[1:], self.later, strict=True)
        for weight, layer in between:
            h = functional.relu(functional.linear(h, weight, layer.bias))
        return functional.linear(h, last[0], last[1].bias).chunk(2, -1)

    def _bounded(self, raw: torch.Tensor) -> torch.Tensor:
        return self.bound * torch.tanh(raw / self.bound) if self.bound else raw


class FlowBatchNorm(nn.Module):
    """Normalises each of D coordinates by the batch, whose statistics are followed."""

    mean: torch.Tensor
    var: torch.Tensor

    def __init__(self, size: int):
        super().__init__()
        self.log_gamma = nn.Parameter(torch.zeros(size))
        self.beta = nn.Parameter(torch.zeros(size))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(u [N, D], log-determinant [], the same for all rows)."""
        var, mean = torch.var_mean(x, 0)
        with torch.no_grad():
            self.mean.lerp_(mean, 1 - MOMENTUM)
            self.var.lerp_(var, 1 - MOMENTUM)
        log_scale = self.log_gamma - torch.log(var + EPSILON) / 2
        return (x - mean) * torch.exp(log_scale) + self.beta, log_scale.sum()


class GruMaf(nn.Module):
    """The forecaster `gru_maf` in training, on panels without gaps or covariates.

    Args:
      model: knobs.
      sizes: of the data.
    """

    def __init__(self, model: ModelConfig, sizes: Sizes):
        super().__init__()
        self.sizes = sizes
        inputs = sizes.series * len(sizes.lags) + sizes.calendar
        self.gru = nn.GRU(
            inputs, model.cells, model.layers, batch_first=True, dropout=model.dropout
        )
        self.dense = nn.Linear(model.cells, model.condition)
        options = (model.flow_hidden, model.flow_layers, model.condition)
        self.mafs = nn.ModuleList(
            Maf(sizes.series, *options, model.masks, model.bound)
            for _ in range(model.blocks)
        )
        self.norms = nn.ModuleList(
            FlowBatchNorm(sizes.series) for _ in range(model.blocks)
        )

    def forward(self, values: torch.Tensor, calendar: torch.Tensor) -> torch.Tensor:
        """The loss [] of windows.

        Args:
          values: [B, P + H, D].
          calendar: [B, C + H, F].
        """
        sizes, steps = self.sizes, self.sizes.context + self.sizes.horizon
        context = values[:, sizes.past - sizes.context : sizes.past]
        z = values / context.abs().mean(1, keepdim=True)
        first = sizes.past - sizes.context
        parts = [z[:, first - lag :][:, :steps] for lag in sizes.lags]
        lags = torch.stack(parts, -1).flatten(2)
        hidden, _ = self.gru(torch.cat([lags, calendar], -1))
        condition = self.dense(hidden).flatten(0, 1)
        u, total = z[:, -steps:].reshape(-1, sizes.series), torch.zeros(())
        for number, (maf, norm) in enumerate(zip(self.mafs, self.norms, strict=True)):
            u, log_det = maf(u.flip(-1) if number else u, condition)
            u, constant = norm(u)
            total = total + log_det + constant
        normal = u.square().sum(-1) + sizes.series * math.log(2 * math.pi)
        return (normal / 2 - total).mean() / sizes.series

    def copy_params(self, params: Mapping[str, Any]) -> None:
        """Takes over the parameters of a `forecast.model.Forecaster`.

        Of the second biases of a GRU's gates, those of two add nothing: zeros.
        """
        body, head = params["body"], params["head"]
        flow = head["flow"]["chain"]
        with torch.no_grad():
            for n in range(self.gru.num_layers):
                layer = body[f"inputs_{n}"]
                second = np.zeros_like(layer["bias"])
                second[-self.gru.hidden_size :] = body[f"bias_{n}"]
                for name, array in (
                    ("weight_ih", np.transpose(layer["kernel"])),
                    ("weight_hh", np.transpose(body[f"hidden_{n}"])),
                    ("bias_ih", layer["bias"]),
                    ("bias_hh", second),
                ):
                    getattr(self.gru, f"{name}_l{n}").copy_(tensor(array))
            self.dense.weight.copy_(tensor(head["dense"]["kernel"]).T)
            self.dense.bias.copy_(tensor(head["dense"]["bias"]))
            for n, (maf, norm) in enumerate(zip(self.mafs, self.norms, strict=True)):
                # The third of each block is the reversal in front of the next.
                maf.copy_params(flow[f"bijectors_{3 * n}"]["made"])
                of_norm = flow[f"bijectors_{3 * n + 1}"]
                norm.log_gamma.copy_(tensor(of_norm["log_gamma"]))
                norm.beta.copy_(tensor(of_norm["beta"]))
