"""The image backbones by one name: a ResNet's depth or an EfficientNet's preset."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.layers import efficientnet, efficientnet_sizes, resnet
from common.parallel.devices import SINGLE, Devices


def make(kind: str, dtype: jnp.dtype | None = None, devices: Devices = SINGLE):
    """The network of a kind: images [B, H, W, 3] from `normalise` to maps.

    Args:
      kind: "tiny", "18", ... or "efficientnet-lite0", ...
      dtype: compute dtype; None takes it from inputs and parameters.
      devices: what the batch is spread over.
    """
    network: type[nn.Module] = (
        efficientnet.EfficientNet if is_efficientnet(kind) else resnet.ResNet
    )
    return network(kind, dtype, devices)


def width(kind: str) -> int:
    """Number of channels of the feature map."""
    if is_efficientnet(kind):
        return efficientnet_sizes.sizes_of(kind).width
    return resnet.width(kind)


def normalise(kind: str, images: jax.Array, dtype=jnp.float32) -> jax.Array:
    """Scales pixels [B, H, W, 3] as the published weights of a kind expect."""
    module = efficientnet if is_efficientnet(kind) else resnet
    return module.normalise(images, dtype)


def is_efficientnet(kind: str) -> bool:
    """Whether a kind names an EfficientNet."""
    return kind in efficientnet_sizes.SIZES
