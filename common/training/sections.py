"""Sections of the configs that several systems have."""

import dataclasses
import pathlib

from common.config.configs import check_bounds, knob
from common.layers.resnet_sizes import SIZES


@dataclasses.dataclass(frozen=True)
class WeightsConfig:
    """A ResNet and the weights that it starts from."""

    depth: str = knob("50", "ResNet preset; the paper's is 50", choices=tuple(SIZES))
    weights: str = knob(
        "",
        "trained weights: .safetensors, .pth or .npz with transformers or torchvision"
        " names; empty to start from random ones",
    )
    origin: str = knob("", "what the weights were trained on, for tables")

    def __post_init__(self):
        check_bounds(self)

    @property
    def source(self) -> str:
        """Where the weights come from, for the notes of a table."""
        return self.origin or pathlib.Path(self.weights).name or "random weights"


@dataclasses.dataclass(frozen=True)
class ReproduceConfig:
    """What `--mode=reproduce` runs."""

    rows: tuple[str, ...] = knob(
        (), "rows of the tables by name, with commas between; empty for the paper's"
    )
    seeds: int = knob(5, "runs of each row", low=1, high=1000)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class ResplitConfig(ReproduceConfig):
    """What `--mode=reproduce` runs, where each run may split the data anew."""

    resplit: bool = knob(False, "give each seed a split of its own")


@dataclasses.dataclass(frozen=True)
class CheckConfig:
    """What `--mode=check` holds a run against."""

    minutes: float = knob(
        10.0,
        "time a training may take on this machine; flags that keep to it are proposed",
        low=0.1,
    )

    def __post_init__(self):
        check_bounds(self)
