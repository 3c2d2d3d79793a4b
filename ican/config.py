"""Every knob of ican: one tree of frozen dataclasses, each knob a flag."""

import dataclasses
from typing import Literal

from common.config.configs import check_bounds, knob
from common.data.configs import ListingsConfig, PhotosConfig
from common.errors import UserError
from common.layers.backbone_sizes import Sizes, sizes_of
from common.parallel.precision import precision_knob
from common.parallel.processes import ParallelConfig
from common.training.loop_config import LoopConfig
from common.training.optimizer_config import OptimizerConfig
from common.training.sections import (
    CheckConfig,
    ResplitConfig,
    WeightsConfig,
    rival_knob,
)
from ican.ensemble import EnsembleConfig, check_fit
from ican.generated.parameters import RingsConfig
from ican.model_config import KINDS, ModelConfig
from ican.zones import ZonesConfig

Weighting = Literal["batch", "dataset", "none"]  # of classes; `ican.losses`


@dataclasses.dataclass(frozen=True)
class AttributesConfig:
    """How attributes are encoded."""

    min_count: int = knob(
        1, "rarer categories of the training rows count as unseen", low=1
    )
    unseen_rate: float = knob(
        0.01,
        "share of categories replaced by the unseen row in training, to train it",
        low=0.0,
        high=1.0,
    )
    word_vectors: str = knob(
        "none",
        "what the vectors of words start from: random numbers, or those of the package"
        " wordllama",
        choices=("none", "wordllama"),
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class BackboneConfig(WeightsConfig):
    """The network that turns a photo into feature maps."""

    stages: int = knob(
        4,
        "stages of the network that are used: fewer give a finer map of plainer features"
        " (a position every 4, 8, 16 or 32 pixels)",
        low=1,
        high=4,
    )
    pool: int = knob(
        1, "average the map over squares of so many by so many positions", low=1
    )
    frozen: bool = knob(False, "keep the backbone as it is and train the head only")
    cache: str = knob(
        "",
        "folder for the feature maps of a frozen backbone, computed once from centre"
        " crops; empty to run the backbone in every step",
    )

    def __post_init__(self):
        super().__post_init__()
        if self.cache and not self.frozen:
            raise UserError(
                "backbone.cache needs --backbone.frozen: the feature maps of a network"
                " that is trained change with every step"
            )

    @property
    def sizes(self) -> Sizes:
        """Of the network as far as it is used."""
        return sizes_of(self.network).up_to(self.stages)

    def side(self, pixels: int) -> int:
        """Side of the map of a square photo, in positions.

        Raises:
          UserError: where squares of `pool` do not fit into the map.
        """
        side = -(-pixels // self.sizes.stride)  # every stage rounds up
        if side % self.pool:
            raise UserError(
                f"backbone.pool={self.pool} does not divide the map of {side} x {side}"
                f" positions that photos of {pixels} pixels have"
            )
        return side // self.pool


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of Eq. 17."""

    weighting: Weighting = knob(
        "batch", "class weights from the batch (paper), from the training set, or none"
    )
    normalise: bool = knob(False, "divide the loss by the mean weight of the batch")
    price: float = knob(
        1.0,
        "weight of the loss of the price output, whose gradient ends at the vector for"
        " the classifiers; 0 = no such output, the price comes from the zones alone",
        low=0.0,
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """What `--mode=predict` tells of each row."""

    zones: Literal["best", "all"] = knob(
        "best", "the likeliest zones alone, or the probability of each zone as well"
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class Config:
    """One run of ican; the defaults are the paper's settings where it has any."""

    data: ListingsConfig = dataclasses.field(default_factory=ListingsConfig)
    rings: RingsConfig = dataclasses.field(default_factory=RingsConfig)
    photos: PhotosConfig = dataclasses.field(default_factory=PhotosConfig)
    attributes: AttributesConfig = dataclasses.field(default_factory=AttributesConfig)
    zones: ZonesConfig = dataclasses.field(default_factory=ZonesConfig)
    ensemble: EnsembleConfig = dataclasses.field(default_factory=EnsembleConfig)
    backbone: BackboneConfig = dataclasses.field(default_factory=BackboneConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: LoopConfig = dataclasses.field(default_factory=LoopConfig)
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)
    check: CheckConfig = dataclasses.field(default_factory=CheckConfig)
    predict: PredictConfig = dataclasses.field(default_factory=PredictConfig)
    reproduce: ResplitConfig = dataclasses.field(default_factory=ResplitConfig)
    precision: str = precision_knob()
    interval: float = knob(
        0.9, "share of prices the price interval is to hold", low=0.01, high=0.999
    )
    compare: str = knob(
        "none",
        "train: a second model kind, trained alike and printed beside",
        choices=("none", *KINDS),
    )
    rival: str = rival_knob()

    def __post_init__(self):
        check_bounds(self)
        self.backbone.side(self.photos.crop)  # refuses a pool that does not fit

    def check_together(self) -> None:
        """Refuses what can't go together; see `configs.check_together`."""
        self.data.check_table()
        check_fit(self.ensemble, self.zones)
