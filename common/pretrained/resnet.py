"""ResNet weights with the names of torchvision or transformers."""

import re
from typing import Any

import numpy as np

from common.errors import UserError
from common.layers.resnet import ResNet
from common.layers.resnet_sizes import SIZES, Sizes
from common.pretrained import arrangement
from common.pretrained.arrangement import Place, Tensors, Variables

_BLOCK = re.compile(r"layer(\d+)\.(\d+)\.")
_TRANSFORMERS = re.compile(
    r"encoder\.stages\.(?P<stage>\d+)\.layers\.(?P<block>\d+)\."
    r"(layer\.(?P<unit>\d+)|shortcut)\.(?P<part>convolution|normalization)\."
    r"(?P<leaf>\w+)"
)


def from_tensors(tensors: Tensors, stages: int) -> tuple[str, Variables]:
    """Arranges tensors as variables of the ResNet that they are.

    Args:
      tensors: with the names of torchvision, timm or transformers.
      stages: that are wanted, if there are as many.

    Returns:
      depth, the first preset that begins like this; the variables of its first stages.

    Raises:
      UserError: no ResNet, or other tensors than those of its depth.
    """
    tensors = torchvision_names(tensors)
    depth, stages_there = _find_depth(tensors)
    stages = min(stages, stages_there)
    kept = {
        name: array
        for name, array in tensors.items()
        if not stages < _stage(name) <= stages_there
    }
    return depth, variables_from_tensors(SIZES[depth].up_to(stages), kept)


def torchvision_names(tensors: Tensors) -> Tensors:
    """Gives tensors torchvision's names.

    Args:
      tensors: with the names of torchvision or transformers, maybe wrapped in
        `DataParallel` ("module.").

    Returns:
      The same without the classifier and the counters of batches.
    """
    renamed = {}
    for name, array in tensors.items():
        name = name.removeprefix("module.").removeprefix("resnet.")
        if name.startswith(("fc.", "classifier.")) or name.endswith("_tracked"):
            continue
        name = _torchvision_name(name)
        renamed[name] = array
    return renamed


def variables_from_tensors(
    sizes: Sizes, tensors: Tensors, dtype: Any = np.float32
) -> Variables:
    """Arranges tensors with torchvision names as variables of `ResNet(sizes)`.

    Args:
      sizes: of the network.
      tensors: name -> array of any floating type; convolutions [D, C, k, k].
      dtype: of the variables.

    Returns:
      "params" and "batch_stats"; convolutions [k, k, C, D].

    Raises:
      UserError: tensors missing, too many, of another shape or not floating.
    """
    return arrangement.from_tensors(ResNet(sizes), torch_name, tensors, dtype)


def torch_name(path: Place) -> str:
    """Torchvision's name of one of our variables."""
    _, *place, part, leaf = (key.key for key in path)
    suffix = arrangement.SUFFIXES[leaf]
    is_norm = part == "norm"
    if place == ["stem"]:
        return f"{'bn1' if is_norm else 'conv1'}.{suffix}"
    block, unit = place
    stage, index = re.findall(r"\d+", block)
    if unit == "shortcut":
        return f"layer{stage}.{index}.downsample.{int(is_norm)}.{suffix}"
    number = unit.removeprefix("unit")
    return f"layer{stage}.{index}.{'bn' if is_norm else 'conv'}{number}.{suffix}"


def _torchvision_name(name: str) -> str:
    """Translates one of transformers' names; others stay as they are."""
    name = name.replace("embedder.embedder.convolution.", "conv1.")
    name = name.replace("embedder.embedder.normalization.", "bn1.")
    match = _TRANSFORMERS.fullmatch(name)
    if match is None:
        return name
    is_norm = match["part"] == "normalization"
    block = f"layer{int(match['stage']) + 1}.{match['block']}"
    if match["unit"] is None:
        return f"{block}.downsample.{int(is_norm)}.{match['leaf']}"
    unit = f"{'bn' if is_norm else 'conv'}{int(match['unit']) + 1}"
    return f"{block}.{unit}.{match['leaf']}"


def _stage(name: str) -> int:
    """Number of the stage that a tensor belongs to; 0 for the stem."""
    match = _BLOCK.match(name)
    return int(match[1]) if match else 0


def _find_depth(tensors: Tensors) -> tuple[str, int]:
    """Finds the preset from the numbers of blocks, their kind and the stem's width.

    Returns:
      (the first preset that begins like this, number of stages).
    """
    matches = [_BLOCK.match(name) for name in tensors]
    pairs = {(int(m[1]), int(m[2])) for m in matches if m}
    stages = range(1, 5)
    blocks = tuple(1 + max((b for s, b in pairs if s == k), default=-1) for k in stages)
    bottleneck = any(name.endswith(".conv3.weight") for name in tensors)
    stem = tensors["conv1.weight"].shape[:1] if "conv1.weight" in tensors else ()
    count = sum(number > 0 for number in blocks)
    for depth, sizes in SIZES.items():
        start = sizes.blocks[:count] + (0,) * (4 - count)
        if count and (start, sizes.bottleneck, (sizes.stem,)) == (
            blocks,
            bottleneck,
            stem,
        ):
            return depth, count
    names = ", ".join(sorted(tensors)[:3])
    raise UserError(
        f"its stages have {blocks} blocks, which is no ResNet of depth "
        f"{', '.join(SIZES)} (first tensors: {names or 'none'})"
    )
