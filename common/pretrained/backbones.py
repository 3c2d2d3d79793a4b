"""Weights of image backbones from and to the files that PyTorch users have."""

import pathlib

from common.errors import UserError
from common.layers import backbone_sizes, backbones, efficientnet_sizes
from common.layers.backbone_sizes import Sizes, is_efficientnet, sizes_of
from common.pretrained import arrangement, efficientnet, resnet, torch_files
from common.pretrained.arrangement import Variables


def backbone_from_torch(
    path: str | pathlib.Path, stages: int = 4
) -> tuple[str, Variables]:
    """Reads the weights of a ResNet or an EfficientNet-Lite, whichever they are.

    The preset is found from the tensors. The classifier is left out, and so are the
    counters of batches. PyTorch need not be installed.

    Args:
      path: of a file, `.safetensors`, `torch.save` of a state dict, or `.npz`, with
        the names of torchvision, timm, transformers or efficientnet-lite-pytorch; one
        that `save_backbone` wrote may end before the last stage. Or the name of an
        EfficientNet, "efficientnet-lite0", for its ImageNet weights, where their
        package is installed.
      stages: that are wanted, if the file has as many.

    Returns:
      the network's name, see `common.layers.backbone_sizes`; the variables of its first
      stages, "params" and "batch_stats", float32 in NumPy arrays.

    Raises:
      UserError: no such package; unreadable, no such network, or one with tensors
        missing, too many, or of another shape (a wider or grouped variant).
    """
    if str(path) in efficientnet_sizes.SIZES:
        path = efficientnet.find_installed(str(path))
    elif str(path).startswith("efficientnet") and not pathlib.Path(path).exists():
        raise UserError(
            f"cannot read weights from {path}: there is no such file, and those of"
            f" ImageNet are called {', '.join(efficientnet_sizes.SIZES)}"
        )
    tensors = torch_files.read(path)
    if efficientnet.STEM in tensors:
        family, read = "an EfficientNet-Lite", efficientnet.from_tensors
    else:
        family, read = "a ResNet", resnet.from_tensors
    try:
        return read(tensors, stages)
    except UserError as error:
        raise UserError(f"cannot load {path} as {family}: {error}") from None


def backbone_of_name(
    path: str | pathlib.Path, name: str, section: str, stages: int = 4
) -> Variables:
    """Reads the weights of a backbone that a config has fixed.

    Args:
      path: as for `backbone_from_torch`.
      name: of the network that the config asks for.
      section: of the config, where its flags are, for the message.
      stages: as for `backbone_from_torch`.

    Raises:
      UserError: as for `backbone_from_torch`; another network.
    """
    found, variables = backbone_from_torch(path, stages)
    if sizes_of(found).up_to(stages) != sizes_of(name).up_to(stages):
        flags = (
            f"--{section}.kind={found}"
            if is_efficientnet(found)
            else f"--{section}.kind=resnet and its depth to {found}"
            if is_efficientnet(name)
            else f"--{section}.depth={found}"
        )
        raise UserError(
            f"{path} holds weights of {backbone_sizes.title(found)}, the config asks for"
            f" {backbone_sizes.title(name)}; set {flags}"
        )
    return variables


def save_backbone(
    path: str | pathlib.Path, network: str | Sizes, variables: Variables
) -> None:
    """Writes weights as safetensors with PyTorch's names, at once or not at all.

    Reading them back with `backbone_from_torch` gives the same bits.

    Args:
      path: of the file; its folder must exist.
      network: the preset they belong to, or its sizes cut off after some stages.
      variables: "params" and "batch_stats" of `common.layers.backbones.make(network)`.
    """
    name_of = efficientnet.torch_name if is_efficientnet(network) else resnet.torch_name
    module = backbones.make(network)
    arrangement.write(path, arrangement.to_tensors(module, name_of, variables))
