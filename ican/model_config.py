"""Knobs of the networks: one sub-config for every kind that has any.

The defaults are the paper's sizes (section 5.4) and, where it gives none, choices
that the help texts name.
"""

import dataclasses
from typing import Literal

from common.config.configs import check_bounds, knob
from common.errors import UserError

KINDS = (
    "visual",
    "attributes",
    "concatenation",
    "concatenation_mlp",
    "addition",
    "product",
    "mfb",
    "mfh",
    "mutan",
    "block",
    "ican",
)


@dataclasses.dataclass(frozen=True)
class AttributesAloneConfig:
    """Attributes alone: all of them in one vector."""

    width: int = knob(2048, "width of the attribute vector", low=1)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class ConcatenationMLPConfig:
    """A perceptron on both vectors; about as many parameters as ican by default."""

    hidden: tuple[int, ...] = knob((3552,), "widths of the hidden layers", low=1)
    output: int = knob(1024, "width of the vector for the classifiers", low=1)
    dropout: float = knob(0.0, "after each hidden layer", low=0.0, high=0.99)

    def __post_init__(self):
        check_bounds(self)
        if not self.hidden:
            raise UserError("concatenation_mlp.hidden needs at least one width")


@dataclasses.dataclass(frozen=True)
class MFBConfig:
    """MFB: factorized bilinear pooling."""

    factors: int = knob(5, "products summed into one entry, k", low=1)
    features: int = knob(200, "width of the fused vector, o", low=1)
    dropout: float = knob(0.1, "on the product before pooling", low=0.0, high=0.99)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class MFHConfig:
    """MFH: a cascade of MFB stages, side by side in the fused vector."""

    stages: int = knob(2, "MFB stages, p", low=1, high=8)
    factors: int = knob(5, "products summed into one entry, k", low=1)
    features: int = knob(200, "width of each stage, o", low=1)
    dropout: float = knob(0.1, "on each product before pooling", low=0.0, high=0.99)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class MutanConfig:
    """MUTAN, as its authors have it: tanh projections, straight to the classifiers."""

    features: int = knob(360, "width of projections and fused vector", low=1)
    rank: int = knob(10, "products that are summed, R", low=1)
    dropout: float = knob(0.0, "on both input vectors", low=0.0, high=0.99)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class BlockConfig:
    """BLOCK with full core tensors."""

    count: int = knob(100, "blocks, R", low=1)
    size: int = knob(32, "width of a block on all three sides, L = M = N", low=1)
    output: int = knob(1024, "width of the vector for the classifiers", low=1)
    dropout: float = knob(0.0, "on the joined blocks", low=0.0, high=0.99)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class IcanConfig:
    """Iterative co-attention: MFB for both attentions, BLOCK for what they see."""

    cells: int = knob(3, "passes through the co-attention cell, L", low=1, high=64)
    attention: Literal["renormalised", "literal"] = knob(
        "renormalised",
        "weights with mean 1 in every cell, or equations 1 to 6 to the letter, which"
        " lose the signal from the second cell on",
    )
    share_attention_fusion: bool = knob(
        False, "one fusion scores both positions and attributes"
    )
    attribute_features: int = knob(200, "width of an attribute's vector, d_a", low=1)
    mfb_factors: int = knob(5, "MFB: products summed into one entry, k", low=1)
    mfb_features: int = knob(200, "MFB: width of the fused vector, o", low=1)
    mfb_joint_norm: bool = knob(
        False, "MFB: L2 norm over all positions of an item, not over each"
    )
    hidden: int = knob(128, "width between MFB and attention score", low=1)
    dropout: float = knob(0.1, "on the MFB product before pooling", low=0.0, high=0.99)
    block_count: int = knob(100, "BLOCK: blocks, R", low=1)
    block_size: int = knob(32, "BLOCK: width of a block, L = M = N", low=1)
    output: int = knob(1024, "width of the vector for the classifiers, d_o", low=1)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which network of Tables 3 and 4, and the knobs of each."""

    kind: Literal[KINDS] = knob(  # type: ignore[valid-type]
        "ican", "what is seen of an item and how it is fused"
    )
    dropout: float = knob(0.0, "on the vector for the classifiers", low=0.0, high=0.99)
    texts: bool = knob(True, "read attributes of kind text, where the schema has any")
    attributes: AttributesAloneConfig = AttributesAloneConfig()
    concatenation_mlp: ConcatenationMLPConfig = ConcatenationMLPConfig()
    mfb: MFBConfig = MFBConfig()
    mfh: MFHConfig = MFHConfig()
    mutan: MutanConfig = MutanConfig()
    block: BlockConfig = BlockConfig()
    ican: IcanConfig = IcanConfig()

    def __post_init__(self):
        check_bounds(self)

    @property
    def sees_photos(self) -> bool:
        """Whether the network reads photos."""
        return self.kind != "attributes"

    @property
    def sees_attributes(self) -> bool:
        """Whether the network reads attributes."""
        return self.kind != "visual"
