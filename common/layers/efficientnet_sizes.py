"""Sizes of the EfficientNet-Lites by name; configs read them, so no JAX is needed."""

import dataclasses
import math

from common.errors import UserError

# Of the seven groups of blocks; all presets share them.
KERNELS = (3, 3, 5, 3, 5, 5, 3)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)
_GROUPS_OF_STAGES = (2, 3, 5, 7)  # after 1, 2, 3, 4 stages: strides 4, 8, 16, 32


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of one EfficientNet-Lite.

    Attributes:
      blocks: number of blocks in each group.
      widths: output channels of each group.
      stem: output channels of the first convolution.
      head: output channels of the last convolution; 0 where it is cut off.
    """

    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    stem: int = 32
    head: int = 1280

    @property
    def width(self) -> int:
        """Number of channels of the feature map."""
        return self.head or self.widths[-1]

    @property
    def stride(self) -> int:
        """Pixels between two positions of the feature map: 32 of a whole network."""
        return 2 * math.prod(STRIDES[: len(self.blocks)])

    def up_to(self, stages: int) -> "Sizes":
        """The same network cut off after some stages of 4, counted as in a ResNet."""
        groups = _GROUPS_OF_STAGES[stages - 1]
        head = self.head if groups == len(STRIDES) else 0
        blocks, widths = self.blocks[:groups], self.widths[:groups]
        return dataclasses.replace(self, blocks=blocks, widths=widths, head=head)


SIZES = {
    "efficientnet-lite0": Sizes((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
    "efficientnet-lite1": Sizes((1, 3, 3, 4, 4, 5, 1), (16, 24, 40, 80, 112, 192, 320)),
    "efficientnet-lite2": Sizes((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352)),
}


def sizes_of(kind: str | Sizes) -> Sizes:
    """Looks up the sizes of a preset; sizes of one's own pass through.

    Raises:
      UserError: no such preset.
    """
    if isinstance(kind, Sizes):
        return kind
    if kind not in SIZES:
        known = ", ".join(SIZES)
        raise UserError(f"there is no EfficientNet {kind!r}; choose one of {known}")
    return SIZES[kind]
