"""EfficientNet-Lite image backbones 0, 1 and 2.

Tan and Le 2019 (arXiv 1905.11946), in the form that phones run: ReLU6 in the place of
swish, no squeeze-and-excitation, stem and head as wide in all sizes. Padding is that of
TensorFlow, which the published weights were trained with.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from common.layers.batch_norm import BatchNorm
from common.layers.convolution import Convolution
from common.layers.depthwise import DepthwiseConvolution
from common.layers.efficientnet_sizes import (
    EXPANSIONS,
    KERNELS,
    STRIDES,
    Sizes,
    sizes_of,
)
from common.parallel.devices import SINGLE, Devices

EPSILON, MOMENTUM = 1e-3, 0.99  # of the batch normalisations


def normalise(images: jax.Array, dtype=jnp.float32) -> jax.Array:
    """Scales pixels as published weights expect: (pixel - 127) / 128.

    Args:
      images: [B, H, W, 3], red green blue, 0 to 255, of any dtype.
      dtype: of the result.

    Returns:
      [B, H, W, 3], from -1 to 1.
    """
    return (images.astype(dtype) - 127) / 128


def relu6(x: jax.Array) -> jax.Array:
    """min(max(x, 0), 6), with no gradient at 0 and 6, as torch."""
    return lax.clamp(jnp.zeros((), x.dtype), x, jnp.full((), 6, x.dtype))


class EfficientNet(nn.Module):
    """The convolutional part of an EfficientNet-Lite, without pooling and classifier.

    In training no block is dropped (the authors' stochastic depth).

    Attributes:
      sizes: a preset's name ("efficientnet-lite0", ...), or own sizes.
      dtype: compute dtype; None takes it from inputs and parameters.
      devices: what the batch is spread over, for the batch statistics.
    """

    sizes: str | Sizes = "efficientnet-lite0"
    dtype: jnp.dtype | None = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Computes the feature map.

        Args:
          images: [B, H, W, 3] from `normalise`.
          train: use the batch's statistics and update the collection "batch_stats".

        Returns:
          [B, ceil(H / stride), ceil(W / stride), sizes.width]: after the last ReLU6 of
          a whole network, else what the next stage reads, which may be negative.
        """
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise TypeError(
                f"images are {images.dtype}; pass efficientnet.normalise(images)"
            )
        sizes = sizes_of(self.sizes)
        unit = functools.partial(Unit, dtype=self.dtype, devices=self.devices)
        x = relu6(unit(sizes.stem, 3, 2, name="stem")(images, train=train))
        number = 0
        for group, (blocks, features) in enumerate(
            zip(sizes.blocks, sizes.widths, strict=True)
        ):
            for i in range(blocks):
                block = Block(
                    features,
                    KERNELS[group],
                    STRIDES[group] if i == 0 else 1,
                    EXPANSIONS[group],
                    self.dtype,
                    self.devices,
                    name=f"block{number}",
                )
                x = block(x, train=train)
                number += 1
        if sizes.head:
            x = relu6(unit(sizes.head, 1, name="head")(x, train=train))
        return x


class Block(nn.Module):
    """Inverted residual: 1x1 up, depthwise, 1x1 down, plus x where the shape stays.

    Attributes:
      features: output channels.
      size: side of the depthwise kernel.
      stride: of the depthwise convolution.
      expansion: inner over input channels; 1 leaves the first convolution out.
      dtype: compute dtype.
      devices: what the batch is spread over.
    """

    features: int
    size: int
    stride: int
    expansion: int
    dtype: jnp.dtype | None = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps x [B, H, W, C] to [B, H / stride, W / stride, features]."""
        unit = functools.partial(Unit, dtype=self.dtype, devices=self.devices)
        y = x
        if self.expansion != 1:
            inner = x.shape[-1] * self.expansion
            y = relu6(unit(inner, 1, name="expand")(y, train=train))
        # No features: a kernel for each channel.
        spatial = unit(0, self.size, self.stride, name="depthwise")
        y = relu6(spatial(y, train=train))
        y = unit(self.features, 1, name="project")(y, train=train)
        return y + x if y.shape == x.shape else y


class Unit(nn.Module):
    """A convolution and its batch normalisation.

    Attributes:
      features: output channels; 0 for a depthwise convolution, which keeps them.
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
        """Maps x [B, H, W, C] to [B, H / stride, W / stride, features or C]."""
        convolution: nn.Module = (
            Convolution(
                self.features,
                self.size,
                self.stride,
                self.dtype,
                same=True,
                name="convolution",
            )
            if self.features
            else DepthwiseConvolution(
                self.size, self.stride, self.dtype, name="convolution"
            )
        )
        norm = BatchNorm(self.dtype, self.devices, EPSILON, MOMENTUM, name="norm")
        return norm(convolution(x), train=train)
