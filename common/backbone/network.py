"""A network that looks at one photo at a time."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.layers import backbones
from common.parallel.devices import SINGLE, Devices


class PhotoNetwork(nn.Module):
    """Backbone, mean over positions, one linear map.

    Attributes:
      sizes: of the backbone, by name, see `common.layers.backbone_sizes`.
      outputs: K.
      dtype: of the computation; parameters are float32.
      devices: what a batch is spread over.
    """

    sizes: str
    outputs: int
    dtype: Any = None
    devices: Devices = SINGLE

    def setup(self):
        """Names the two parts."""
        self.backbone = backbones.make(self.sizes, self.dtype, self.devices)
        self.output = nn.Dense(self.outputs, dtype=self.dtype)

    def __call__(self, photos: jax.Array, *, train: bool = False) -> jax.Array:
        """Outputs [B, K] in float32 of photos uint8 [B, H, W, 3]."""
        features = self.extract(photos, train=train)
        outputs: jax.Array = self.output(features)
        return outputs.astype(jnp.float32)

    def extract(self, photos: jax.Array, *, train: bool = False) -> jax.Array:
        """Features [B, C] of photos uint8 [B, H, W, 3]: the last layer but one."""
        images = backbones.normalise(self.sizes, photos, self.dtype or jnp.float32)
        maps: jax.Array = self.backbone(images, train=train)  # [B, h, w, C]
        return maps.mean((1, 2))
