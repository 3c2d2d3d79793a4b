"""The network of `rerank.model.Armmt` in PyTorch, for comparisons of speed."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from rerank.config import ModelConfig, Sizes


def tensor(array: Any) -> torch.Tensor:
    """A copy of an array of JAX or NumPy."""
    return torch.from_numpy(np.array(array))


def layer_norm(width: int) -> nn.LayerNorm:
    """With the epsilon of Flax."""
    return nn.LayerNorm(width, eps=1e-6)


class RmsNorm(nn.Module):
    """x / sqrt(mean(x^2) + 1e-3) times a learned scale."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps [..., D] to [..., D]."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-3) * self.weight


class Block(nn.Module):
    """A pre-norm block with the attention of one product."""

    def __init__(self, width: int, heads: int, expansion: int):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([layer_norm(width), layer_norm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.hidden = nn.Linear(width, expansion * width)
        self.back = nn.Linear(expansion * width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Maps x [B, T, D] with mask bool [B, T]."""
        batch, length, width = x.shape
        joined = self.qkv(self.norms[0](x))
        shape = (batch, length, 3, self.heads, width // self.heads)
        q, k, v = joined.view(shape).permute(2, 0, 3, 1, 4)
        seen = None if mask is None else mask[:, None, None]
        found = functional.scaled_dot_product_attention(q, k, v, seen)
        x = x + self.out(found.transpose(1, 2).reshape(x.shape))
        hidden = functional.gelu(self.hidden(self.norms[1](x)), approximate="tanh")
        return x + self.back(hidden)

    def pairs(self, params: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
        """(A layer, what Flax calls the same)."""
        yield self.norms[0], params["attention_norm"]
        yield self.qkv, params["attention"]["qkv"]
        yield self.out, params["attention"]["out"]
        yield self.norms[1], params["dense_norm"]
        yield self.hidden, params["hidden"]
        yield self.back, params["out"]


class Cafu(nn.Module):
    """Context-aware fusion of M modalities."""

    def __init__(self, count: int, width: int):
        super().__init__()
        self.squeezed = nn.Linear(count, width)
        self.context = nn.Linear(width, width, bias=False)
        self.scores = nn.Linear(width, count)

    def forward(
        self, vectors: torch.Tensor, present: torch.Tensor, context: torch.Tensor
    ) -> torch.Tensor:
        """Fuses [B, L, M, D] with present bool [B, L, M] and context [B, D]."""
        squeezed = torch.where(present, vectors.mean(-1), 0.0)
        hidden = self.squeezed(squeezed) + self.context(context)[:, None]
        scores = self.scores(functional.gelu(hidden, approximate="tanh"))
        scores = scores.masked_fill(~present, -1e9)
        return (scores.softmax(-1)[..., None] * vectors).sum(2)


class Armmt(nn.Module):
    """ARMMT on stored vectors, with a history."""

    def __init__(self, model: ModelConfig, sizes: Sizes, expansion: int):
        super().__init__()
        width, count = model.width, len(sizes.modalities)
        self.names = [modality.name for modality in sizes.modalities]
        self.context = nn.Linear(sizes.context, width)
        self.context_norm = RmsNorm(width)
        self.encoders = nn.ModuleList(
            nn.Linear(modality.width, width) for modality in sizes.modalities
        )
        self.norms = nn.ModuleList(RmsNorm(width) for _ in sizes.modalities)
        self.queries = nn.ModuleList(nn.Linear(width, width) for _ in range(count))
        self.history = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(count))
        self.empty = nn.Parameter(torch.randn(count, width))
        self.fusions = nn.ModuleList([Cafu(count, width), Cafu(count, width)])
        self.numbers = nn.Linear(sizes.fields, width)
        self.kinds = nn.Parameter(0.02 * torch.randn(4, width))
        blocks = (model.field_layers, model.list_layers)
        self.field_blocks, self.list_blocks = (
            nn.ModuleList(Block(width, model.heads, expansion) for _ in range(n))
            for n in blocks
        )
        self.field_norm, self.list_norm = layer_norm(width), layer_norm(width)
        self.field_dense = nn.Linear(4 * width, width)
        self.click_hidden = nn.Linear(3 * width, width)
        self.click_head, self.head = nn.Linear(width, 1), nn.Linear(width, 1)
        self.places = nn.Parameter(0.02 * torch.randn(sizes.length, width))

    def forward(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """(Logits of the target, logits of clicks), both [B, L]."""
        mask, context = batch["mask"], self.context_norm(self.context(batch["context"]))
        present = batch["present"] & mask[..., None]
        past_present = batch["history_present"] & batch["history_mask"][..., None]
        keep = batch["category"][:, :, None] == batch["history_category"][:, None]
        keep = keep & batch["history_mask"][:, None] & mask[..., None]
        encoded, personal = [], []
        for m, name in enumerate(self.names):
            e = self._encode(m, batch[name], present[..., m])
            h = self._encode(m, batch[f"history_{name}"], past_present[..., m])
            kept = keep & past_present[:, None, :, m]
            k, v = self.history[m](h).chunk(2, -1)
            scores = self.queries[m](e) @ k.transpose(1, 2) / math.sqrt(k.shape[-1])
            weights = scores.masked_fill(~kept, -1e9).softmax(-1)
            some = kept.any(-1, keepdim=True)
            personal.append(torch.where(some, weights @ v, self.empty[m]))
            encoded.append(e)
        everywhere = mask[..., None].expand_as(present)
        f = self.fusions[0](torch.stack(encoded, 2), present, context)
        own = self.fusions[1](torch.stack(personal, 2), everywhere, context)
        spread = context[:, None].expand_as(f)
        x = torch.stack([f, own, spread, self.numbers(batch["fields"])], 2) + self.kinds
        batch_size, length, tokens, width = x.shape
        x = x.reshape(-1, tokens, width)
        for block in self.field_blocks:
            x = block(x, None)
        x = self.field_norm(x).reshape(batch_size, length, tokens * width)
        x = self.field_dense(x) + self.places[:length]
        for block in self.list_blocks:
            x = block(x, mask)
        hidden = self.click_hidden(torch.cat([f, own, spread], -1))
        clicks = self.click_head(functional.gelu(hidden, approximate="tanh"))
        return self.head(self.list_norm(x))[..., 0], clicks[..., 0]

    def copy_params(self, params: Mapping[str, Any]) -> None:
        """Takes over the parameters of a `rerank.model.Armmt` of these sizes."""
        with torch.no_grad():
            for module, tree in self._pairs(params):
                weight = tree["kernel"].T if "kernel" in tree else tree["scale"]
                module.weight.copy_(tensor(weight))
                if "bias" in tree:
                    module.bias.copy_(tensor(tree["bias"]))
            self.kinds.copy_(tensor(params["kinds"]))
            self.places.copy_(tensor(params["scorer"]["positions"]))
            for m, row in enumerate(self.empty):
                row.copy_(tensor(params[f"attention_{m}"]["empty"]))

    def _pairs(self, params: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
        """(A layer, what Flax calls the same)."""
        yield self.context, params["context"]["numbers"]
        yield self.context_norm, params["context"]["norm"]
        for m in range(len(self.names)):
            yield self.encoders[m], params[f"encoders_{m}"]["vector"]
            yield self.norms[m], params[f"encoders_{m}"]["norm"]
            yield self.queries[m], params[f"attention_{m}"]["queries"]
            yield self.history[m], params[f"attention_{m}"]["history"]
        for fusion, name in zip(
            self.fusions, ("fusion", "personal_fusion"), strict=True
        ):
            for part in ("squeezed", "context", "scores"):
                yield getattr(fusion, part), params[name][part]
        yield self.numbers, params["number_token"]
        scorer = params["scorer"]
        for n, block in enumerate(self.field_blocks):
            yield from block.pairs(params[f"field_blocks_{n}"])
        for n, block in enumerate(self.list_blocks):
            yield from block.pairs(scorer[f"block_{n}"])
        yield self.list_norm, scorer["norm"]
        yield self.head, scorer["head"]
        for name in ("field_norm", "field_dense", "click_hidden", "click_head"):
            yield getattr(self, name), params[name]

    def _encode(self, m: int, x: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        return torch.where(there[..., None], self.norms[m](self.encoders[m](x)), 0.0)
