"""Sizes of all image backbones by one name; configs read them, so no JAX is needed.

The name is a ResNet's depth ("18") or an EfficientNet's preset ("efficientnet-lite0").
"""

from common.layers import efficientnet_sizes, resnet_sizes

KINDS = ("resnet", *efficientnet_sizes.SIZES)

Sizes = resnet_sizes.Sizes | efficientnet_sizes.Sizes


def sizes_of(name: str | Sizes) -> Sizes:
    """Looks up the sizes of a preset; sizes of one's own pass through.

    Raises:
      UserError: no such preset.
    """
    if isinstance(name, Sizes):
        return name
    if name in efficientnet_sizes.SIZES:
        return efficientnet_sizes.sizes_of(name)
    return resnet_sizes.sizes_of(name)


def is_efficientnet(name: str | Sizes) -> bool:
    """Whether a network is an EfficientNet."""
    return isinstance(sizes_of(name), efficientnet_sizes.Sizes)


def title(name: str) -> str:
    """The name of a preset as people write it: ResNet 18, EfficientNet-Lite0."""
    if is_efficientnet(name):
        return name.replace("efficientnet-lite", "EfficientNet-Lite")
    return f"ResNet {name}"
