"""The networks of Tables 3 and 4: from photo and attributes to coarse logits.

Beside the paper's classifiers the same vector names a price; see `ican.losses`.

`Network` = backbone + pooling over several photos + `Head`. The head alone takes a
feature map, from the backbone or from a cache.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.fusion.block import Block
from common.fusion.concatenation import Concatenation, ConcatenationMLP
from common.fusion.linear_sum import Addition
from common.fusion.mfb import MFB
from common.fusion.mfh import MFH
from common.fusion.mutan import Mutan
from common.fusion.operator import Fusion
from common.fusion.product import Product
from common.layers import backbones
from common.layers.backbone_sizes import Sizes
from common.layers.dropout import Dropout
from common.layers.embeddings import (
    AttributeEmbedding,
    AttributeVector,
    attribute_mask,
    words_of,
)
from common.layers.words import WordBag
from common.parallel.devices import SINGLE, Devices
from common.tables.encoders import AttributeSpec
from ican.coattention import CoAttention
from ican.model_config import ModelConfig

Batch = Mapping[str, jax.Array]

PRICE_HIDDEN = 64  # width between the vector and the price


class Prediction(NamedTuple):
    """What a network says about a batch of items.

    Attributes:
      logits: [B, N_c, K] of the coarse classifiers.
      price: [B] standardised log price; None without a price output.
      visual_attention: [B, L, P] of each cell, sums to 1 over P; None but for ican.
      attribute_attention: [B, L, A] of each cell, sums to 1 over A, where a text counts
        as so many attributes as it has entries; None likewise.
    """

    logits: jax.Array
    price: jax.Array | None = None
    visual_attention: jax.Array | None = None
    attribute_attention: jax.Array | None = None


def _mfb(config: ModelConfig, **shared) -> Fusion:
    knobs = config.mfb
    return MFB(
        knobs.features, factor=knobs.factors, dropout_product=knobs.dropout, **shared
    )


def _mfh(config: ModelConfig, **shared) -> Fusion:
    knobs = config.mfh
    return MFH(
        knobs.stages * knobs.features,
        stages=knobs.stages,
        factor=knobs.factors,
        dropout_product=knobs.dropout,
        **shared,
    )


def _mutan(config: ModelConfig, **shared) -> Fusion:
    knobs = config.mutan
    return Mutan(
        knobs.features,
        width=None,
        rank=knobs.rank,
        dropout_raw=knobs.dropout,
        **shared,
    )


def _block(config: ModelConfig, **shared) -> Fusion:
    knobs = config.block
    return Block(
        knobs.output,
        width=knobs.count * knobs.size,
        chunks=knobs.count,
        rank=None,
        dropout_fused=knobs.dropout,
        **shared,
    )


def _concatenation_mlp(config: ModelConfig, **shared) -> Fusion:
    knobs = config.concatenation_mlp
    return ConcatenationMLP(
        knobs.output, hidden=knobs.hidden, dropout=knobs.dropout, **shared
    )


FUSIONS: dict[str, Callable[..., Fusion]] = {
    "concatenation": lambda config, **shared: Concatenation(**shared),
    "concatenation_mlp": _concatenation_mlp,
    "addition": lambda config, **shared: Addition(**shared),
    "product": lambda config, **shared: Product(**shared),
    "mfb": _mfb,
    "mfh": _mfh,
    "mutan": _mutan,
    "block": _block,
}


class Head(nn.Module):
    """From a feature map and attributes to the logits of the coarse classifiers.

    Attributes:
      config: kind and knobs.
      spec: the attributes.
      classifiers: N_c.
      classes: K of each classifier.
      names_price: whether there is a price output.
      dtype: type of the computation; parameters are float32.
      devices: what the batch is spread over.
    """

    config: ModelConfig
    spec: AttributeSpec
    classifiers: int = 20
    classes: int = 7
    names_price: bool = True
    dtype: jnp.dtype | None = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(
        self, positions: jax.Array | None, batch: Batch, *, train: bool = False
    ) -> Prediction:
        """Computes logits, price and, for ican, what every cell attended to.

        Args:
          positions: [B, P, C] feature map; not read by the kind "attributes".
          batch: the arrays that `common.layers.embeddings` reads; not read by "visual".
          train: whether dropout is on.
        """
        kind = self.config.kind
        visual_attention = attribute_attention = None
        if kind == "attributes":
            vector = self._attribute_vector(self.config.attributes.width, batch)
        elif positions is None:
            raise ValueError(f"the kind {kind!r} needs a feature map of the photo")
        elif kind == "ican":
            vector, visual_attention, attribute_attention = self._observe(
                positions, batch, train
            )
        else:
            vector = self._fuse(positions, batch, train)
        vector = Dropout(self.config.dropout, self.devices)(vector, train=train)
        outputs = self.classifiers * self.classes
        logits = nn.Dense(outputs, dtype=self.dtype, name="classifiers")(vector)
        logits = self._add_words(logits, batch, "wide_classifiers", self.dtype)
        logits = logits.reshape(-1, self.classifiers, self.classes)  # [B, N_c, K]
        price = self._price(vector, batch) if self.names_price else None
        return Prediction(logits, price, visual_attention, attribute_attention)

    def _price(self, vector: jax.Array, batch: Batch) -> jax.Array:
        """Standardised log price [B]; the vector learns from the zones alone."""
        vector = jax.lax.stop_gradient(vector)
        hidden = nn.Dense(PRICE_HIDDEN, dtype=self.dtype, name="price_hidden")(vector)
        # In float32: a price has more digits than bfloat16.
        price = nn.Dense(1, name="price")(nn.relu(hidden))  # [B, 1]
        return self._add_words(price, batch, "wide_price", None)[:, 0]

    def _observe(
        self, positions: jax.Array, batch: Batch, train: bool
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Co-attention, then BLOCK on what all cells saw (Eq. 7 and 8)."""
        knobs, shared = self.config.ican, self._shared
        attributes = AttributeEmbedding(
            self.spec, knobs.attribute_features, self.dtype, name="embedding"
        )(batch)  # [B, A, D]
        observation = CoAttention(knobs, **shared, name="coattention")(
            positions, attributes, attribute_mask(self.spec, batch), train=train
        )
        block = Block(
            knobs.output,
            width=knobs.block_count * knobs.block_size,
            chunks=knobs.block_count,
            rank=None,
            **shared,
            name="block",
        )
        # g does not feed back, so one call serves the L cells.
        fused = block(
            observation.visual_sum, observation.attribute_sum, train=train
        )  # [B, L, d_o]
        return (
            fused.mean(1),
            observation.visual_attention,
            observation.attribute_attention,
        )

    def _fuse(self, positions: jax.Array, batch: Batch, train: bool) -> jax.Array:
        """The baselines: pooled photo and attribute vector, fused once."""
        visual = positions.mean(1)  # [B, C]
        if self.config.kind == "visual":
            return visual
        attributes = self._attribute_vector(visual.shape[1], batch)  # [B, C]
        make = FUSIONS[self.config.kind]
        fusion = make(self.config, **self._shared, name="fusion")
        return fusion(visual, attributes, train=train)

    def _add_words(
        self, outputs: jax.Array, batch: Batch, name: str, dtype: Any
    ) -> jax.Array:
        """The wide linear path from the words of every text to outputs [B, O]."""
        if not self.config.sees_attributes:
            return outputs
        for index, text, columns in self.spec.texts():
            bag = WordBag(
                text.size, outputs.shape[1], dtype=dtype, name=f"{name}_{index}"
            )
            outputs += bag(*words_of(batch, columns))
        return outputs

    def _attribute_vector(self, width: int, batch: Batch) -> jax.Array:
        return AttributeVector(self.spec, width, self.dtype, name="embedding")(batch)

    @property
    def _shared(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "devices": self.devices}


class Network(nn.Module):
    """Photos and attributes to coarse logits.

    Its parameters are {"backbone", "missing_photo", "head"}. With features given the
    backbone is not built, and the others are the same: a network trained on cached
    features predicts from photos once the backbone's variables are put beside them.

    Attributes:
      config: kind and knobs of the head.
      spec: the attributes.
      sizes: of the backbone, or its name, see `common.layers.backbone_sizes`.
      pool: the map is averaged over squares of so many by so many positions.
      frozen: whether the backbone and its batch statistics stay as they are.
      classifiers: N_c.
      classes: K of each classifier.
      names_price: whether there is a price output.
      dtype: type of the computation; parameters are float32.
      devices: what the batch is spread over.
    """

    config: ModelConfig
    spec: AttributeSpec
    sizes: str | Sizes = "50"
    pool: int = 1
    frozen: bool = False
    classifiers: int = 20
    classes: int = 7
    names_price: bool = True
    dtype: jnp.dtype | None = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool = False) -> Prediction:
        """Computes logits, price and, for ican, what every cell attended to.

        Args:
          batch: attributes as `common.layers.embeddings` reads them and, unless the kind is
            "attributes", photo_mask [B, M] with 1 for a photo and 0 for none, and
            either photos uint8 [B, M, H, W, 3] or features [B, P, C], the mean of
            the photos' feature maps.
          train: dropout, and batch statistics of a backbone that is not frozen.
        """
        positions = self._positions(batch, train) if self.config.sees_photos else None
        head = Head(
            self.config,
            self.spec,
            self.classifiers,
            self.classes,
            self.names_price,
            self.dtype,
            self.devices,
            name="head",
        )
        return head(positions, batch, train=train)

    def _positions(self, batch: Batch, train: bool) -> jax.Array:
        """Feature map [B, P, C], a learned vector everywhere for an item unseen."""
        if "features" in batch:
            positions = jnp.asarray(batch["features"], self.dtype or jnp.float32)
        else:
            positions = self._feature_map(batch["photos"], batch["photo_mask"], train)
        missing = self.param(
            "missing_photo", nn.initializers.zeros, positions.shape[2:]
        )
        has_photo = (batch["photo_mask"] > 0).any(1)[:, None, None]  # [B, 1, 1]
        return jnp.where(
            has_photo, positions, missing.astype(positions.dtype)[None, None]
        )

    def _feature_map(
        self, photos: jax.Array, mask: jax.Array, train: bool
    ) -> jax.Array:
        """Mean feature map [B, P, C] over the photos of an item."""
        backbone = backbones.make(self.sizes, self.dtype, self.devices, name="backbone")

        def maps_of(photos: jax.Array) -> jax.Array:
            images = backbones.normalise(self.sizes, photos, self.dtype or jnp.float32)
            maps: jax.Array = backbone(images, train=train and not self.frozen)
            return jax.lax.stop_gradient(maps) if self.frozen else maps

        return pooled_feature_maps(maps_of, photos, mask, self.pool)


def pooled_feature_maps(
    maps_of: Callable[[jax.Array], jax.Array],
    photos: jax.Array,
    mask: jax.Array,
    pool: int = 1,
) -> jax.Array:
    """Mean feature map over the photos of an item.

    Args:
      maps_of: the backbone, photos uint8 [N, H, W, 3] to maps [N, h, w, C].
      photos: uint8 [B, M, H, W, 3].
      mask: [B, M] 1 for a photo, 0 for none.
      pool: side of the squares of positions that are averaged; divides h and w.

    Returns:
      [B, P, C] with P = h w / pool^2.
    """
    items, count = photos.shape[:2]
    maps = maps_of(photos.reshape(-1, *photos.shape[2:]))  # [B M, h, w, C]
    if pool > 1:
        maps = nn.avg_pool(maps, (pool, pool), (pool, pool))
    maps = maps.reshape(items, count, -1, maps.shape[-1])  # [B, M, P, C]
    return mean_over_photos(maps, mask)


def mean_over_photos(maps: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean of the feature maps of an item's photos.

    Args:
      maps: [B, M, P, C].
      mask: [B, M] 1 for a photo, 0 for none.

    Returns:
      [B, P, C], zeros for an item without a photo.
    """
    mask = mask.astype(maps.dtype)
    shares = mask / jnp.maximum(mask.sum(1, keepdims=True), 1)  # [B, M]
    # A sum of products, so that a masked photo must be finite, as blank ones are.
    return jnp.einsum("bm,bmpc->bpc", shares, maps)
