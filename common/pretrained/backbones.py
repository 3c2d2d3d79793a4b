"""Weights of image backbones, whatever their kind."""

import pathlib

from common.errors import UserError
from common.layers import backbones, efficientnet_sizes
from common.pretrained import efficientnet, resnet
from common.pretrained.arrangement import Variables


def backbone_of_kind(path: str | pathlib.Path, kind: str, knob: str) -> Variables:
    """Reads the weights of a backbone whose kind a config has fixed.

    Args:
      path: of a file, or the name of an EfficientNet whose ImageNet weights are
        installed.
      kind: that the config asks for, see `common.layers.backbones`.
      knob: the flag that says so, for the message.

    Raises:
      UserError: as `resnet_of_depth` and `efficientnet_of_kind`.
    """
    if backbones.is_efficientnet(kind):
        return efficientnet.efficientnet_of_kind(path, kind, knob)
    if str(path) in efficientnet_sizes.SIZES:
        raise UserError(
            f"weights {path} are no ResNet's; set --backbone.kind={path} as well"
        )
    return resnet.resnet_of_depth(path, kind, knob)


def save_backbone(path: str | pathlib.Path, kind: str, variables: Variables) -> None:
    """Writes weights as safetensors; `backbone_of_kind` reads the same bits back.

    Args:
      path: of the file; its folder must exist.
      kind: of the network.
      variables: "params" and "batch_stats" of `common.layers.backbones.make(kind)`.
    """
    if backbones.is_efficientnet(kind):
        efficientnet.save_efficientnet(path, kind, variables)
    else:
        resnet.save_resnet(path, kind, variables)
