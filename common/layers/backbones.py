"""The image backbones by one name, see `common.layers.backbone_sizes`."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.layers import efficientnet, resnet
from common.layers.backbone_sizes import Sizes, is_efficientnet
from common.parallel.devices import SINGLE, Devices


def make(
    sizes: str | Sizes,
    dtype: jnp.dtype | None = None,
    devices: Devices = SINGLE,
    name: str | None = None,
):
    """The network of some sizes: images [B, H, W, 3] from `normalise` to maps.

    Args:
      sizes: the name of a preset, or sizes of one's own.
      dtype: compute dtype; None takes it from inputs and parameters.
      devices: what the batch is spread over.
      name: of the scope.
    """
    network: type[nn.Module] = (
        efficientnet.EfficientNet if is_efficientnet(sizes) else resnet.ResNet
    )
    return network(sizes, dtype, devices, name=name)


def normalise(sizes: str | Sizes, images: jax.Array, dtype=jnp.float32) -> jax.Array:
    """Scales pixels [B, H, W, 3] as the published weights of a network expect."""
    module = efficientnet if is_efficientnet(sizes) else resnet
    return module.normalise(images, dtype)
