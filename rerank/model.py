"""ARMMT: candidates encoded once a request, and orders of them scored as a whole.

    e_m   = norm(W_m x_m)                              each modality      layers/modalities
    p_m   = attention of e_m to past items of its category                layers/history
    f, f' = CAFU(e), CAFU'(p)                                             layers/fusion
    items = attention across [f, f', numbers, c]                          once a request
    order = attention across the list, places embedded -> logits          once an order

"Advancing Re-Ranking with Multimodal Fusion and Target-Oriented Auxiliary Tasks in
E-Commerce Search", arXiv 2408.05751. The two attentions are our reading of its
Multi-Perspective Self-Attention. The numbers of a candidate are one token.

The pointwise network is the same without attention across the list,
`list_attention=False`: what it says of a candidate depends on its place and on no other
candidate. It sorts by what it says of all of them at the first place.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.layers.transformer import Block
from common.parallel.devices import SINGLE, Devices
from rerank.config import Modality, ModelConfig, Sizes
from rerank.layers.fusion import Cafu, Concatenation
from rerank.layers.history import TargetAttention, keep_history
from rerank.layers.modalities import NORM, ModalityEncoder, bag_of_words

Batch = Mapping[str, jax.Array]

# Hidden width of blocks over D: 4, as is usual, costs a third more an order.
EXPANSION = 2

FUSIONS = {
    "cafu": lambda config, dtype: Cafu(config.fusion_context, dtype),
    "concat": lambda config, dtype: Concatenation(dtype),
}


class Encoded(NamedTuple):
    """What is computed once a request, M counting the modalities in use.

    Attributes:
      items: [B, L, D], zeros in padding; `score` takes them in any order.
      click_logits: [B, L] of the auxiliary task; None for rivals, which have none.
      fusion_weights: [B, L, 2, M] of the item's and of the personalised vectors; None
        for rivals.
      history_weights: [B, L, H, M] of past items; None for rivals and where no history
        is used.
    """

    items: jax.Array
    click_logits: jax.Array | None = None
    fusion_weights: jax.Array | None = None
    history_weights: jax.Array | None = None


class RequestContext(nn.Module):
    """c = norm(W context + words of the query), [B, D]; zeros where there is neither."""

    sizes: Sizes
    width: int
    dtype: Any = None

    @nn.compact
    def __call__(self, batch: Batch) -> jax.Array:
        """Reads "context" [B, C], "query_ids" and "query_weights" [B, Lq]."""
        c = jnp.zeros((batch["mask"].shape[0], self.width), self.dtype or jnp.float32)
        if self.sizes.context:
            dense = nn.Dense(self.width, dtype=self.dtype, name="numbers")
            c = c + dense(batch["context"])
        if self.sizes.query_words:
            ids, weights = batch["query_ids"], batch["query_weights"]
            size, width = self.sizes.query_words, self.width
            c = c + bag_of_words(size, width, ids, weights, self.dtype, "words")
        return NORM(dtype=self.dtype, name="norm")(c)


class ListScorer(nn.Module):
    """Logits of the places of an order, each given the whole order.

    Attributes:
      layers, heads, dropout: of the blocks.
      attention: whether places look at each other.
      positions: places that are told apart; 0 for none.
    """

    layers: int
    heads: int
    attention: bool
    positions: int
    dropout: float = 0.0
    dtype: Any = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(
        self, items: jax.Array, mask: jax.Array, *, train: bool = False
    ) -> jax.Array:
        """Maps items [B, L, D] and mask bool [B, L] to float32 [B, L], 0 in padding."""
        length, width = items.shape[1:]
        x = items
        if self.positions:
            table = self.param(
                "positions", nn.initializers.normal(0.02), (self.positions, width)
            )
            # Buckets are longer than the longest list; no item stands there.
            places = jnp.minimum(jnp.arange(length), self.positions - 1)
            x = x + jnp.take(table, places, axis=0).astype(x.dtype)[None]
        for number in range(self.layers):
            x = Block(
                self.heads,
                self.attention,
                EXPANSION,
                self.dropout,
                self.dtype,
                self.devices,
                name=f"block_{number}",
            )(x, mask, train=train)
        x = nn.LayerNorm(dtype=self.dtype, name="norm")(x)
        logits = nn.Dense(1, name="head")(x.astype(jnp.float32))[..., 0]
        return jnp.where(mask, logits, 0.0)  # [B, L]


class Reranker(nn.Module):
    """What all networks have: a list scorer over encoded items.

    Networks differ in `encode`, and in whether places look at each other (`attends`) and
    are told apart (`knows_places`).

    Attributes:
      model: knobs.
      sizes: of the data.
      list_attention: False for the pointwise network, which knows places alone.
      dtype: of the computation; parameters are float32.
      devices: what the batch is spread over.
    """

    model: ModelConfig
    sizes: Sizes
    list_attention: bool = True
    dtype: Any = None
    devices: Devices = SINGLE

    attends = True
    knows_places = True

    def setup(self):
        """Makes the layers that all have."""
        model, width, dtype = self.model, self.model.width, self.dtype
        self.context = RequestContext(self.sizes, width, dtype)
        self.encoders = [ModalityEncoder(m, width, dtype) for m in self.modalities]
        self.scorer = ListScorer(
            model.list_layers,
            model.heads,
            self.attends and self.list_attention,
            self.sizes.length if self.knows_places else 0,
            model.dropout,
            dtype,
            self.devices,
        )

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Those in use, in order."""
        return tuple(
            m for m in self.sizes.modalities if m.name in self.model.modalities
        )

    def encode(self, batch: Batch, train: bool = False) -> Encoded:
        """Encodes the candidates of requests, the same in any order; reads no labels.

        Args:
          batch: as `rerank.batches` makes it.
          train: whether modalities and activations drop out.
        """
        raise NotImplementedError

    def score(
        self, items: jax.Array, mask: jax.Array, train: bool = False
    ) -> jax.Array:
        """Logits of the main task at each place of an order.

        Args:
          items: [B, L, D] in the order, padding last.
          mask: bool [B, L], False for padding.
          train: whether dropout is on.

        Returns:
          float32 [B, L], 0 in padding.
        """
        logits: jax.Array = self.scorer(items, mask, train=train)
        return logits

    def __call__(self, batch: Batch, train: bool = False) -> tuple[jax.Array, Encoded]:
        """(Logits [B, L] at the shown order, what was encoded)."""
        encoded = self.encode(batch, train)
        return self.score(encoded.items, batch["mask"], train), encoded

    def presence(self, batch: Batch, prefix: str = "") -> jax.Array:
        """Bits of the modalities in use, False in padding: bool [B, L, M]."""
        names = [m.name for m in self.sizes.modalities]
        used = [names.index(m.name) for m in self.modalities]
        bits = batch[f"{prefix}present"][..., used]
        return bits & batch[f"{prefix}mask"][..., None]

    def numbers(self, batch: Batch) -> jax.Array:
        """Numbers of the candidates, 0 in padding whatever stands there: [B, L, F]."""
        return jnp.where(batch["mask"][..., None], batch["fields"], 0)


class Armmt(Reranker):
    """The paper's network; attributes as of `Reranker`."""

    def setup(self):
        """Makes the layers."""
        super().setup()
        model, dtype = self.model, self.dtype
        self.personal = model.history and bool(self.modalities)
        if self.modalities:
            self.fusion = FUSIONS[model.fusion](model, dtype)
        if self.personal:
            self.personal_fusion = FUSIONS[model.fusion](model, dtype)
            self.attention = [TargetAttention(dtype) for _ in self.modalities]
        if self.sizes.fields:
            self.number_token = nn.Dense(model.width, dtype=dtype)
        tokens = 1 + bool(self.modalities) + self.personal + bool(self.sizes.fields)
        shape = (tokens, model.width)
        self.kinds = self.param("kinds", nn.initializers.normal(0.02), shape)
        shared = (model.heads, True, EXPANSION, model.dropout, dtype, self.devices)
        self.field_blocks = [Block(*shared) for _ in range(model.field_layers)]
        self.field_norm = nn.LayerNorm(dtype=dtype)
        self.field_dense = nn.Dense(model.width, dtype=dtype)
        self.click_hidden = nn.Dense(model.width, dtype=dtype)
        self.click_head = nn.Dense(1)

    def encode(self, batch: Batch, train: bool = False) -> Encoded:
        """Encodes the candidates of requests; see `Reranker.encode`."""
        mask = batch["mask"]
        context = self.context(batch)  # [B, D]
        spread = jnp.broadcast_to(context[:, None], (*mask.shape, self.model.width))
        vectors, weights, seen = self._fuse(batch, context, train)
        tokens = [*vectors, spread]
        if self.sizes.fields:
            tokens.append(self.number_token(self.numbers(batch)))
        x = jnp.stack(tokens, axis=2)  # [B, L, T, D]
        x = x + self.kinds.astype(x.dtype)[None, None]
        for block in self.field_blocks:
            x = block(x, train=train)
        x = self.field_norm(x)
        items = self.field_dense(x.reshape(*mask.shape, -1))  # [B, L, D]
        # From the multimodal vectors alone, which this task is there to teach.
        hidden = self.click_hidden(jnp.concatenate([*vectors, spread], axis=-1))
        clicks = self.click_head(nn.gelu(hidden).astype(jnp.float32))[..., 0]
        return Encoded(
            jnp.where(mask[..., None], items, 0),
            jnp.where(mask, clicks, 0.0),
            weights,
            seen,
        )

    def _fuse(
        self, batch: Batch, context: jax.Array, train: bool
    ) -> tuple[list[jax.Array], jax.Array, jax.Array | None]:
        """The fused vectors of the items, and with a history of the user's as well.

        Returns:
          ([f, f'] each [B, L, D]; weights [B, L, 2, M]; history's [B, L, H, M] or None).
        """
        mask, count = batch["mask"], len(self.modalities)
        if not count:
            return [], jnp.zeros((*mask.shape, 2, 0)), None
        present = self.presence(batch)  # [B, L, M]
        rate = self.model.modality_dropout
        if train and rate:
            key = self.make_rng("dropout")
            present &= self.devices.random_mask(key, 1.0 - rate, present.shape)
        encoded = [
            encode(batch, present[..., m]) for m, encode in enumerate(self.encoders)
        ]
        fused, weights = self.fusion(jnp.stack(encoded, 2), present, context)
        if not self.personal:
            weights = jnp.stack([weights, jnp.zeros_like(weights)], axis=2)
            return [fused], weights, None
        personal, seen = self._personalise(batch, encoded)
        # A history that says nothing has a vector too: all modalities are there.
        everywhere = jnp.broadcast_to(mask[..., None], present.shape)
        own, own_weights = self.personal_fusion(personal, everywhere, context)
        return [fused, own], jnp.stack([weights, own_weights], axis=2), seen

    def _personalise(
        self, batch: Batch, encoded: list[jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        """Personalised vectors [B, L, M, D] and their weights [B, L, H, M]."""
        there = self.presence(batch, "history_")  # [B, H, M]
        keep = keep_history(
            batch["category"], batch["history_category"], batch["history_mask"]
        )
        keep &= batch["mask"][..., None]  # [B, L, H]
        found = []
        for m, (encode, attend) in enumerate(
            zip(self.encoders, self.attention, strict=True)
        ):
            past = encode(batch, there[..., m], "history_")  # [B, H, D]
            found.append(attend(encoded[m], past, keep & there[:, None, :, m]))
        vectors, weights = zip(*found, strict=True)
        return jnp.stack(vectors, 2), jnp.stack(weights, 3)
