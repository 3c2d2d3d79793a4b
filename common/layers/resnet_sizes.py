"""Sizes of the ResNets by name; configs read them, so no JAX is needed."""

import dataclasses

from common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of one ResNet.

    Attributes:
      blocks: number of residual blocks in each stage.
      widths: output channels of each stage.
      bottleneck: blocks of 1x1, 3x3, 1x1 convolutions with a quarter of the channels
        between them, instead of two 3x3 ones.
      stem: output channels of the first convolution.
    """

    blocks: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512)
    bottleneck: bool = False
    stem: int = 64

    @property
    def width(self) -> int:
        """Number of channels of the feature map."""
        return self.widths[-1]

    @property
    def stride(self) -> int:
        """Pixels between two positions of the feature map: 32 after four stages."""
        return 2 ** (len(self.blocks) + 1)

    def up_to(self, stages: int) -> "Sizes":
        """The same network cut off after some stages."""
        blocks, widths = self.blocks[:stages], self.widths[:stages]
        return dataclasses.replace(self, blocks=blocks, widths=widths)


_WIDE = (256, 512, 1024, 2048)

SIZES = {
    "tiny": Sizes((1, 1, 1, 1), widths=(16, 32, 64, 128), stem=16),
    "18": Sizes((2, 2, 2, 2)),
    "34": Sizes((3, 4, 6, 3)),
    "50": Sizes((3, 4, 6, 3), widths=_WIDE, bottleneck=True),
    "101": Sizes((3, 4, 23, 3), widths=_WIDE, bottleneck=True),
    "152": Sizes((3, 8, 36, 3), widths=_WIDE, bottleneck=True),
}


def sizes_of(depth: str | Sizes) -> Sizes:
    """Looks up the sizes of a preset; sizes of one's own pass through.

    Raises:
      UserError: no such preset.
    """
    if isinstance(depth, Sizes):
        return depth
    if depth not in SIZES:
        known = ", ".join(SIZES)
        raise UserError(f"there is no ResNet of depth {depth!r}; choose one of {known}")
    return SIZES[depth]
