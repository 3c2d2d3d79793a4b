"""ResNet image backbones: 18, 34, 50, 101, 152 layers and a tiny one.

He et al. 2016 (arXiv 1512.03385), table 1, in the form that published weights have
("v1.5"): the stride of a bottleneck block sits on its 3x3 convolution.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from common.layers.batch_norm import BatchNorm
from common.layers.convolution import Convolution
from common.layers.pooling import max_pool
from common.layers.resnet_sizes import SIZES, Sizes, sizes_of  # noqa: F401
from common.parallel.devices import SINGLE, Devices

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(images: jax.Array, dtype=jnp.float32) -> jax.Array:
    """Scales pixels as published weights expect: (pixel / 255 - mean) / std.

    Args:
      images: [B, H, W, 3], red green blue, 0 to 255, of any dtype.
      dtype: of the result.

    Returns:
      [B, H, W, 3], per channel of mean 0 and deviation 1 over ImageNet.
    """
    mean, std = np.asarray(IMAGENET_MEAN), np.asarray(IMAGENET_STD)
    slope = jnp.asarray(1.0 / (255.0 * std), dtype)[None, None, None]
    shift = jnp.asarray(-mean / std, dtype)[None, None, None]
    return images.astype(dtype) * slope + shift


class ResNet(nn.Module):
    """The convolutional part of a ResNet, without pooling and classifier.

    Attributes:
      depth: a preset's name ("tiny", "18", "34", "50", "101", "152"), or own sizes.
      dtype: compute dtype; None takes it from inputs and parameters.
      devices: what the batch is spread over, for the batch statistics.
    """

    depth: str | Sizes = "50"
    dtype: jnp.dtype | None = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Computes the feature map.

        Args:
          images: [B, H, W, 3] from `normalise`.
          train: use the batch's statistics and update the collection "batch_stats".

        Returns:
          [B, ceil(H / stride), ceil(W / stride), widths[-1]], after the last ReLU.
        """
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise TypeError(f"images are {images.dtype}; pass resnet.normalise(images)")
        sizes = sizes_of(self.depth)
        stem = Unit(sizes.stem, 7, 2, self.dtype, self.devices, name="stem")
        x = stem(images, train=train)
        x = max_pool(nn.relu(x))  # [B, H / 4, W / 4, stem]
        for stage, (blocks, features) in enumerate(
            zip(sizes.blocks, sizes.widths, strict=True), start=1
        ):
            for i in range(blocks):
                stride = 2 if stage > 1 and i == 0 else 1
                block = Block(
                    features,
                    stride,
                    sizes.bottleneck,
                    self.dtype,
                    self.devices,
                    name=f"stage{stage}_block{i}",
                )
                x = block(x, train=train)
        return x


class Block(nn.Module):
    """Residual block: relu(units(x) + shortcut(x)).

    The shortcut is the identity, or a 1x1 unit where the shape changes.

    Attributes:
      features: output channels.
      stride: of the block's first 3x3 convolution and of the shortcut.
      bottleneck: units of 1x1, 3x3, 1x1, the inner ones a quarter as wide, instead of
        two of 3x3.
      dtype: compute dtype.
      devices: what the batch is spread over.
    """

    features: int
    stride: int = 1
    bottleneck: bool = False
    dtype: jnp.dtype | None = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps x [B, H, W, C] to [B, H / stride, W / stride, features]."""
        unit = functools.partial(Unit, dtype=self.dtype, devices=self.devices)
        inner = self.features // 4
        plan = (
            [(inner, 1, 1), (inner, 3, self.stride), (self.features, 1, 1)]
            if self.bottleneck
            else [(self.features, 3, self.stride), (self.features, 3, 1)]
        )
        y = x
        for i, (features, size, stride) in enumerate(plan, start=1):
            y = nn.relu(y) if i > 1 else y
            y = unit(features, size, stride, name=f"unit{i}")(y, train=train)
        if self.stride != 1 or x.shape[-1] != self.features:
            shortcut = unit(self.features, 1, self.stride, name="shortcut")
            x = shortcut(x, train=train)
        return nn.relu(y + x)


class Unit(nn.Module):
    """A convolution and its batch normalisation.

    Attributes:
      features: output channels.
      size: side of the kernel.
      stride: of both axes.
      dtype: compute dtype.
      devices: what the batch is spread over.
    """

    features: int
    size: int
    stride: int = 1
    dtype: jnp.dtype | None = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps x [B, H, W, C] to [B, H / stride, W / stride, features]."""
        x = Convolution(
            self.features, self.size, self.stride, self.dtype, name="convolution"
        )(x)
        norm = BatchNorm(self.dtype, self.devices, name="norm")
        return norm(x, train=train)
