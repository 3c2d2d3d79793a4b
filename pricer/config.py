"""Every knob of pricer: one tree of frozen dataclasses, each knob a flag."""

import dataclasses
from typing import Literal

from common.config.configs import check_bounds, knob
from common.data.configs import ListingsConfig, PhotosConfig
from common.errors import UserError
from common.parallel.precision import precision_knob
from common.parallel.processes import ParallelConfig
from common.training.loop_config import LoopConfig
from common.training.optimizer_config import OptimizerConfig
from common.training.sections import (
    CheckConfig,
    ReproduceConfig,
    WeightsConfig,
    rival_knob,
)
from pricer.generated.parameters import BazaarConfig

# What `pricer.losses` takes as words.
Constraint = Literal["percentile", "threshold", "variance"]
GateForm = Literal["straight-through", "soft"]
ErrorLoss = Literal["squared", "asymmetric", "band"]

TASKS = ("category", "brand", "attribute", "specification")


@dataclasses.dataclass(frozen=True)
class LabelsConfig:
    """Which attribute of the schema is which label; empty where there is none."""

    category: str = knob("category", "categorical; also the key of price statistics")
    brand: str = knob("brand", "categorical")
    attribute: tuple[str, ...] = knob(
        ("attributes",), "sets, such as white and cotton; several are joined"
    )
    specification: tuple[str, ...] = knob(
        ("specification",), "sets, such as XL and campus style; several are joined"
    )
    seller: str = knob("seller", "categorical; key of price statistics only")
    table: str = knob("class", "categorical; what the table by class has a row for")
    min_count: int = knob(
        20, "categories and members with fewer training rows are left out", low=1
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class PricesConfig:
    """What is predicted of a price."""

    transform: Literal["log", "log1p"] = knob("log", "of the price; prices are above 0")
    trim: float = knob(
        0.05,
        "share of training rows left out as outliers, half of it at each end",
        low=0.0,
        high=0.9,
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class StatisticsConfig:
    """Statistics of the prices sold before, as inputs of the heads."""

    use: bool = knob(True, "give the heads the twelve statistics")
    counts: bool = knob(
        True, "give the heads how many sales the statistics stand on, too"
    )
    bins: int = knob(
        0,
        "pieces of a piecewise linear encoding of each statistic, beside itself; only"
        " with times of sale",
        low=0,
        high=1024,
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class ComparablesConfig:
    """Prices of the most alike training photos, as inputs of the heads; ours."""

    count: int = knob(
        0, "most alike training items whose prices count; 0 = none", low=0, high=1024
    )
    sharpness: float = knob(
        20.0, "items are weighted by softmax(sharpness * cosine)", low=0.0
    )
    dimensions: int = knob(
        512, "whitened components of the features that photos are compared by", low=1
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class NetworksConfig(WeightsConfig):
    """The single-task networks that features are taken from (paper, Figure 4)."""

    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    steps: int = knob(10_000, "training steps of each network", low=1)
    batch_size: int = knob(64, "photos a step", low=1)
    eval_every: int = knob(500, "steps between evaluations, each saved", low=1)
    seed: int = knob(0, "root of the networks' randomness", low=0, high=2**32 - 1)
    cache: str = knob(
        ".cache/pricer_features",
        "folder for the stores of extracted features",
        formerly=("features",),
    )


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Regression and gate (paper, Figure 5)."""

    features: Literal["multiple", "single"] = knob(
        "multiple",
        "vectors of the networks for category, brand, attribute and specification"
        " (MSTFE), or of one trained on the price (STFE)",
    )
    inputs: Literal["all", "statistics"] = knob(
        "all",
        "what regression and gate see: features and statistics, or the statistics and"
        " comparables alone",
    )
    texts: bool = knob(
        False,
        "give regression and gate the words of the listings' texts, which lead straight"
        " to the price, too; ours",
    )
    hidden: tuple[int, ...] = knob(
        (512, 512), "widths of the hidden layers, of each of the two networks", low=1
    )
    dropout: float = knob(
        0.0, "share of each hidden layer that is dropped in training", low=0.0, high=0.9
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class GateConfig:
    """What the gate is told (paper, Eq. 1 and 3)."""

    constraint: Constraint = knob(
        "percentile",
        "accept a share of the items (Eq. 1), or those of small error (Eq. 3); variance"
        " is no gate, but a share by predicted variance",
    )
    percentile: float = knob(
        0.5, "share of items to accept, delta of Eq. 1", low=0.01, high=1.0
    )
    threshold: float = knob(
        0.5, "largest absolute log error of a positive item, epsilon of Eq. 4", low=0.0
    )
    least_share: float = knob(
        0.1, "least share of accepted items, delta of Eq. 3", low=0.0, high=1.0
    )
    beta: float = knob(
        0.0,
        "weight of the constraint on the share; 0 = twice the squared error at the"
        " quantile after the warm-up",
        low=0.0,
    )
    gamma: float = knob(1.0, "weight of the cross-entropy of Eq. 3", low=0.0)
    form: GateForm = knob(
        "straight-through", "gradient of the gate's step, or the sigmoid in its place"
    )

    def __post_init__(self):
        check_bounds(self)

    @property
    def share(self) -> float:
        """Least share of accepted items of the constraint in force."""
        return self.least_share if self.constraint == "threshold" else self.percentile


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What the regression minimises."""

    kind: ErrorLoss = knob(
        "squared", "squared is the paper's; asymmetric and band are extensions"
    )
    under_weight: float = knob(
        0.5,
        "asymmetric: cost of suggesting too little; too much costs 1 minus it",
        low=0.01,
        high=0.99,
    )
    band: float = knob(0.1, "band: errors within it cost nothing, log price", low=0.0)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class WarmUpConfig:
    """The first stage: regression on all items (paper, section 3.4)."""

    use: bool = knob(True, "train in two stages; without it, in the second alone")
    steps: int = knob(
        1000, "steps of the first stage; train.steps are those of the second", low=1
    )

    def __post_init__(self):
        check_bounds(self)


def _paper_optimizer() -> OptimizerConfig:
    """Section 3.4: Adam at 5e-4 for two thirds of a stage, then at 2e-4.

    The first steps of fresh moments move every weight by the full rate. Without a rise
    of the rate, which is ours, they can throw the regression so far off that the gate
    refuses all items; then there is none left to learn from.
    """
    return OptimizerConfig(
        name="adam", learning_rate=5e-4, schedule="drop", warmup_steps=50
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """One run of pricer; the defaults are the paper's settings where it has any."""

    data: ListingsConfig = dataclasses.field(default_factory=ListingsConfig)
    bazaar: BazaarConfig = dataclasses.field(default_factory=BazaarConfig)
    labels: LabelsConfig = dataclasses.field(default_factory=LabelsConfig)
    prices: PricesConfig = dataclasses.field(default_factory=PricesConfig)
    statistics: StatisticsConfig = dataclasses.field(default_factory=StatisticsConfig)
    comparables: ComparablesConfig = dataclasses.field(
        default_factory=ComparablesConfig
    )
    photos: PhotosConfig = dataclasses.field(default_factory=PhotosConfig)
    networks: NetworksConfig = dataclasses.field(default_factory=NetworksConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    gate: GateConfig = dataclasses.field(default_factory=GateConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    warm_up: WarmUpConfig = dataclasses.field(default_factory=WarmUpConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=_paper_optimizer)
    train: LoopConfig = dataclasses.field(
        default_factory=lambda: LoopConfig(batch_size=4096)
    )
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)
    check: CheckConfig = dataclasses.field(default_factory=CheckConfig)
    reproduce: ReproduceConfig = dataclasses.field(default_factory=ReproduceConfig)
    precision: str = precision_knob()
    interval: float = knob(
        0.9, "share of accepted prices the interval is to hold", low=0.01, high=0.999
    )
    rival: str = rival_knob()

    def __post_init__(self):
        check_bounds(self)
        something = self.statistics.use or self.comparables.count or self.model.texts
        if self.model.inputs == "statistics" and not something:
            raise UserError(
                "--model.inputs=statistics leaves regression and gate nothing to see:"
                " there are neither --statistics.use nor --comparables.count"
            )

    def check_together(self) -> None:
        """Refuses what can't go together; see `configs.check_together`."""
        self.data.check_table()
        something = self.statistics.use or self.comparables.count
        if self.statistics.bins and not something:
            raise UserError(
                f"--statistics.bins={self.statistics.bins} has nothing to encode: there"
                " are neither --statistics.use nor --comparables.count"
            )
        labels = self.labels
        named = (
            labels.category,
            labels.brand,
            *labels.attribute,
            *labels.specification,
        )
        if self.model.features == "multiple" and not any(named):
            raise UserError(
                "--model.features=multiple needs a label to learn from: name one of"
                " --labels.category, brand, attribute and specification, or give"
                " --model.features=single"
            )
