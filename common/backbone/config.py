"""Every knob of the backbone training."""

import dataclasses

from common.config.configs import check_bounds, knob
from common.data.configs import ListingsConfig, PhotosConfig
from common.layers.resnet_sizes import SIZES
from common.parallel.precision import precision_knob
from common.parallel.processes import ParallelConfig
from common.training.loop_config import LoopConfig
from common.training.optimizer_config import OptimizerConfig
from common.training.sections import StartConfig


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
    backbone: StartConfig = dataclasses.field(default_factory=StartConfig)
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
        """The name of the network, see `common.layers.backbone_sizes`."""
        return self.backbone.network_of(self.depth)
