"""Iterative co-attention (paper, section 4.3): one cell, applied L times.

A cell looks at the photo with the attributes in mind, then at the attributes with
what it saw in mind. Refining a map by attention multiplies every position by one
number, so the cell never builds refined maps: it keeps one cumulative weight s_p per
position and s_t per attribute. Then

- the sums of Eq. 1 and 2 are weighted sums over the original maps;
- the MFB projection of a refined position is U(s_p h_p) = s_p U h_p: the projection
  of all positions, the dearest part, is computed once for all cells.

Two forms of Eq. 5 and 6:

- "literal" multiplies by softmax values, s <- s A. Their mean is 1/P, so the maps
  shrink with every cell, and from the second one on the biases of the fusions drown
  what distinguishes one item from another.
- "renormalised" (default) divides s by its mean over the positions after every cell
  and pools by the mean. At the first cell the pooled vectors equal the paper's.

Weights are kept as logarithms: a product of sharp attentions underflows otherwise.

Among the attributes may stand words, some of whose places are empty: their weight and
their attention are 0, and means are those over the others.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.fusion.mfb import MFB
from common.fusion.norms import power_normalise
from common.layers.attention import glimpse_weights, pool_positions
from common.layers.dropout import Dropout
from common.parallel.devices import SINGLE, Devices
from ican.model_config import IcanConfig

_EMPTY = -1e9  # score and log weight of an empty attribute: exp of it is 0


class Maps(NamedTuple):
    """What all cells look at, projected once.

    Attributes:
      positions: [B, P, C] feature map h_v.
      attributes: [B, A, D] attribute vectors h_a.
      projected_positions: [B, P, k o] without bias, for the top-down attention.
      projected_attributes: [B, A, k o] without bias, for the bottom-up attention.
      mask: bool [B, A], False for an empty attribute; None where none is.
    """

    positions: jax.Array
    attributes: jax.Array
    projected_positions: jax.Array
    projected_attributes: jax.Array
    mask: jax.Array | None = None


class Refinement(NamedTuple):
    """What one cell hands to the next.

    Attributes:
      log_positions: [B, P] log of the cumulative weights s_p.
      log_attributes: [B, A] log of the cumulative weights s_t.
      attribute_sum: [B, D] attributes pooled by their weights (Eq. 2).
    """

    log_positions: jax.Array
    log_attributes: jax.Array
    attribute_sum: jax.Array


class Observation(NamedTuple):
    """What a cell saw; with an axis L after B once the cells are stacked.

    Attributes:
      visual_sum: [B, C] refined visual sum.
      attribute_sum: [B, D] refined attribute sum.
      visual_attention: [B, P] A_v of Eq. 3, sums to 1.
      attribute_attention: [B, A] A_a of Eq. 4, sums to 1.
    """

    visual_sum: jax.Array
    attribute_sum: jax.Array
    visual_attention: jax.Array
    attribute_attention: jax.Array


class AttentionFusion(nn.Module):
    """f of Eq. 3 and 4: MFB, linear map, relu, linear map to one score.

    One of the two sides is a map whose positions carry weights s_p, the other one
    vector, so that the pooled product of MFB is

        z_p = sum_k (s_p U h_p + b) o (V y + c)
            = s_p sum_k (U h_p) o (V y + c) + sum_k b o (V y + c)

    which needs no array of un-pooled products. Dropout acts on these products; one
    mask serves all positions of an item, since drawing a mask for each position
    would cost more than the fusion itself.

    Attributes:
      config: sizes.
      dtype: type of the computation.
      devices: what the batch is spread over.
    """

    config: IcanConfig
    dtype: jnp.dtype | None = None
    devices: Devices = SINGLE

    def setup(self):
        """Creates the fusion and both maps after it."""
        config = self.config
        self.mfb = MFB(
            config.mfb_features,
            factor=config.mfb_factors,
            dtype=self.dtype,
            devices=self.devices,
        )
        self.hidden = nn.Dense(config.hidden, dtype=self.dtype)
        self.score = nn.Dense(1, dtype=self.dtype)
        self.dropout = Dropout(config.dropout, self.devices)

    def project_visual(self, visual: jax.Array) -> jax.Array:
        """Computes U h without bias: [..., C] -> [..., k o]."""
        return self.mfb.project_x(visual)

    def project_attributes(self, attributes: jax.Array) -> jax.Array:
        """Computes V h without bias: [..., D] -> [..., k o]."""
        return self.mfb.project_y(attributes)

    def score_positions(
        self, projected: jax.Array, weights: jax.Array, vector: jax.Array, train: bool
    ) -> jax.Array:
        """Scores weighted positions in the light of one attribute vector.

        Args:
          projected: [B, P, k o] of `project_visual`.
          weights: [B, P].
          vector: [B, D] attributes.
          train: whether dropout is on.

        Returns:
          [B, P].
        """
        other = self.project_attributes(vector) + self.mfb.bias_y[None]
        return self._scores(projected, weights, self.mfb.bias_x, other, train)

    def score_attributes(
        self,
        projected: jax.Array,
        weights: jax.Array,
        vector: jax.Array,
        train: bool,
        mask: jax.Array | None = None,
    ) -> jax.Array:
        """Scores weighted attributes in the light of one visual vector.

        Args:
          projected: [B, A, k o] of `project_attributes`.
          weights: [B, A].
          vector: [B, C] of the photo.
          train: whether dropout is on.
          mask: bool [B, A], False for an empty attribute; None where none is.

        Returns:
          [B, A].
        """
        other = self.project_visual(vector) + self.mfb.bias_x[None]
        return self._scores(projected, weights, self.mfb.bias_y, other, train, mask)

    def _scores(
        self,
        projected: jax.Array,
        weights: jax.Array,
        bias: jax.Array,
        other: jax.Array,
        train: bool,
        mask: jax.Array | None = None,
    ) -> jax.Array:
        other = self.dropout(other, train=train).astype(projected.dtype)[:, None]
        pooled = self._pool(projected * other)  # [B, P, o]
        constant = self._pool(bias.astype(other.dtype)[None, None] * other)  # [B, 1, o]
        pooled = weights[..., None] * pooled + constant  # [B, P, o]
        if mask is not None:  # or a joint norm would count what is empty
            pooled = jnp.where(mask[..., None], pooled, 0)
        fused = power_normalise(pooled, (1, 2) if self.config.mfb_joint_norm else -1)
        hidden = nn.relu(self.hidden(fused.astype(projected.dtype)))
        return self.score(hidden)[..., 0].astype(weights.dtype)

    def _pool(self, products: jax.Array) -> jax.Array:
        """Sums windows of k: [..., k o] -> [..., o]; k is the fast axis."""
        windows = products.reshape(*products.shape[:-1], -1, self.config.mfb_factors)
        return jnp.sum(windows, axis=-1)


class CoAttentionCell(nn.Module):
    """One pass of alternating attention over photo and attributes (Eq. 1 to 6).

    Attributes:
      config: sizes and form of the attention.
      dtype: type of the computation; weights and softmax are float32.
      devices: what the batch is spread over.
    """

    config: IcanConfig
    dtype: jnp.dtype | None = None
    devices: Devices = SINGLE

    def setup(self):
        """Creates the fusions of both attentions."""
        shared = self.config, self.dtype, self.devices
        self.visual_fusion = AttentionFusion(*shared)
        if not self.config.share_attention_fusion:
            self.attribute_fusion = AttentionFusion(*shared)

    def project(
        self,
        positions: jax.Array,
        attributes: jax.Array,
        mask: jax.Array | None = None,
    ) -> Maps:
        """Projects what does not change from cell to cell.

        Args:
          positions: [B, P, C].
          attributes: [B, A, D].
          mask: bool [B, A], False for an empty attribute; None where none is.
        """
        return Maps(
            positions,
            attributes,
            self.visual_fusion.project_visual(positions),
            self._attribute_fusion.project_attributes(attributes),
            mask,
        )

    def start(self, maps: Maps) -> Refinement:
        """What the first cell starts from: all weights 1."""
        dtype = jnp.promote_types(maps.positions.dtype, jnp.float32)
        log_positions = jnp.zeros(maps.positions.shape[:2], dtype)
        log_attributes = jnp.zeros(maps.attributes.shape[:2], dtype)
        attribute_sum = self._pool(jnp.exp(log_attributes), maps.attributes, maps.mask)
        return Refinement(log_positions, log_attributes, attribute_sum)

    def __call__(
        self, before: Refinement, maps: Maps, *, train: bool = False
    ) -> tuple[Refinement, Observation]:
        """Attends to the photo, then to the attributes.

        Args:
          before: what the cell before refined.
          maps: what is looked at.
          train: whether dropout is on.

        Returns:
          (what this cell refined, what it saw).
        """
        # Top-down: positions, with the attribute sum so far.
        scores = self.visual_fusion.score_positions(
            maps.projected_positions,
            jnp.exp(before.log_positions),
            before.attribute_sum,
            train,
        )  # [B, P]
        visual_attention = glimpse_weights(scores)
        log_positions = self._refine(before.log_positions, scores)
        visual_sum = self._pool(jnp.exp(log_positions), maps.positions)

        # Bottom-up: attributes, with the refined visual sum.
        scores = self._attribute_fusion.score_attributes(
            maps.projected_attributes,
            jnp.exp(before.log_attributes),
            visual_sum,
            train,
            maps.mask,
        )  # [B, A]
        attribute_attention = glimpse_weights(scores, maps.mask)
        log_attributes = self._refine(before.log_attributes, scores, maps.mask)
        attribute_sum = self._pool(jnp.exp(log_attributes), maps.attributes, maps.mask)

        after = Refinement(log_positions, log_attributes, attribute_sum)
        return after, Observation(
            visual_sum, attribute_sum, visual_attention, attribute_attention
        )

    @property
    def _attribute_fusion(self) -> AttentionFusion:
        if self.config.share_attention_fusion:
            return self.visual_fusion
        return self.attribute_fusion

    def _refine(
        self, log_weights: jax.Array, scores: jax.Array, mask: jax.Array | None = None
    ) -> jax.Array:
        """Multiplies cumulative weights by the attention: log s [B, P]."""
        literal = self.config.attention == "literal"
        if mask is None:
            if literal:
                return log_weights + jax.nn.log_softmax(scores)
            # s A divided by its mean: the constant of the softmax cancels.
            return jax.nn.log_softmax(log_weights + scores) + jnp.log(scores.shape[-1])
        scores = jnp.where(mask, scores, _EMPTY)
        if literal:
            refined = log_weights + jax.nn.log_softmax(scores)
        else:
            refined = jax.nn.log_softmax(log_weights + scores)
            refined += jnp.log(jnp.maximum(_count(mask, scores), 1))
        return jnp.where(mask, refined, _EMPTY)

    def _pool(
        self, weights: jax.Array, values: jax.Array, mask: jax.Array | None = None
    ) -> jax.Array:
        """Pools by the sum (literal) or by the mean: [B, P], [B, P, D] -> [B, D]."""
        count: Any = weights.shape[-1]
        if mask is not None:
            weights = jnp.where(mask, weights, 0)
            count = jnp.maximum(_count(mask, weights), 1)  # [B, 1]
        if self.config.attention == "renormalised":
            weights = weights / count
        return pool_positions(weights, values)


def _count(mask: jax.Array, like: jax.Array) -> jax.Array:
    return mask.sum(-1, keepdims=True).astype(like.dtype)  # [B, 1]


class CoAttention(nn.Module):
    """The cell applied L times by a scan; its parameters do not depend on L.

    Attributes:
      config: sizes, L among them.
      dtype: type of the computation.
      devices: what the batch is spread over.
    """

    config: IcanConfig
    dtype: jnp.dtype | None = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(
        self,
        positions: jax.Array,
        attributes: jax.Array,
        mask: jax.Array | None = None,
        *,
        train: bool = False,
    ) -> Observation:
        """Observes an item L times.

        Args:
          positions: [B, P, C] feature map.
          attributes: [B, A, D] attribute vectors.
          mask: bool [B, A], False for an empty attribute; None where none is.
          train: whether dropout is on.

        Returns:
          what each cell saw: [B, L, C], [B, L, D], [B, L, P], [B, L, A].
        """
        cell = CoAttentionCell(self.config, self.dtype, self.devices, name="cell")
        maps = cell.project(positions, attributes, mask)
        scan = nn.scan(
            lambda cell, before, maps: cell(before, maps, train=train),
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
            in_axes=nn.broadcast,
            out_axes=1,  # the batch leads, so dropout masks agree across devices
            length=self.config.cells,
            # Unrolled, the gradients of all cells to the shared maps are added in
            # one pass; no loop over the largest arrays is left.
            unroll=min(self.config.cells, 8),
        )
        _, observations = scan(cell, cell.start(maps), maps)
        return observations
