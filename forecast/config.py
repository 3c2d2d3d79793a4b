"""Every knob of forecast: one tree of frozen dataclasses, each knob a flag."""

import dataclasses
from typing import Literal

from common.config.configs import check_bounds, knob
from common.errors import UserError
from common.flows.made import Masks
from common.parallel.precision import precision_knob
from common.parallel.processes import ParallelConfig
from common.training.loop_config import LoopConfig
from common.training.optimizer_config import OptimizerConfig
from common.training.sections import CheckConfig, ReproduceConfig
from forecast.generated.parameters import DemandConfig
from forecast.panel.configs import DataConfig

# What modules take as words; they import them from here.
Support = Literal["real", "non_negative", "count"]
COPULAS = ("vec_lstm_copula", "gp_copula")  # read what a marginal transform makes
ModelName = Literal[
    "deepar",
    "vec_lstm",
    "vec_lstm_copula",
    "gp",
    "gp_copula",
    "gru_real_nvp",
    "gru_maf",
    "transformer_maf",
    "width",
]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What networks must know of the data.

    Attributes:
      series: D of training; a network that is shared takes any number.
      calendar: numbers of a step.
      known: covariates of a series at a step that are known ahead.
      recent: those that are known until the present.
      levels: of each static category.
      lags: steps back that are read.
      context: C, steps that are read one by one before the horizon.
      horizon: H.
      missing: whether values are missing, so that networks are told which.
      marginal: rows of the past that tell marginals, or a walk's width; 0 of others.
    """

    series: int
    calendar: int
    known: int
    recent: int
    levels: tuple[int, ...]
    lags: tuple[int, ...]
    context: int
    horizon: int
    missing: bool
    marginal: int = 0

    @property
    def past(self) -> int:
        """Steps before the horizon that a window holds."""
        return max(self.context + max(self.lags), self.marginal)


@dataclasses.dataclass(frozen=True)
class WindowConfig:
    """What a forecast reads, and how far it goes."""

    horizon: int = knob(28, "steps to forecast", low=1, high=10_000)
    context: int = knob(
        0, "steps read one by one before the horizon; 0: as many as it has", low=0
    )
    lags: tuple[int, ...] = knob((), "steps back that are read; empty: by frequency")
    holidays: tuple[str, ...] = knob((), "dates that are told to the network")
    support: Support = knob("real", "what values may be; counts are whole numbers")
    dequantise: bool = knob(
        False, "add uniform noise to counts in training; not of width"
    )

    def __post_init__(self):
        check_bounds(self)
        if any(lag < 1 for lag in self.lags):
            raise UserError("--window.lags: steps back are 1 or more")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The networks."""

    name: ModelName = knob("gru_maf", "network")
    cells: int = knob(40, "width of a recurrent layer", low=1, high=4096)
    layers: int = knob(2, "recurrent layers, or of encoder and decoder", low=1, high=16)
    dropout: float = knob(0.1, "between layers", low=0.0, high=0.9)
    width: int = knob(32, "of the transformer", low=1, high=4096)
    heads: int = knob(4, "of its attention; must divide the width", low=1, high=64)
    positions: bool = knob(True, "the transformer is told places")
    condition: int = knob(200, "width of what a flow is conditioned on", low=1)
    blocks: int = knob(3, "of a flow", low=1, high=64)
    flow_hidden: int = knob(100, "units of a hidden layer of a flow", low=1)
    flow_layers: int = knob(3, "hidden layers of a flow", low=1, high=16)
    masks: Masks = knob(
        "spread",
        "of maf; narrow: as PyTorchTS has them; independent: no series sees another",
    )
    bound: float = knob(3.0, "of maf's log-scales, softly; 0: none", low=0.0)
    rank: int = knob(10, "of a covariance beside its diagonal", low=1, high=1000)
    marginal: int = knob(100, "past values that tell a copula's marginals", low=2)
    flat_tails: bool = knob(
        False, "a copula's forecasts stay within the past values, as published"
    )

    def __post_init__(self):
        check_bounds(self)
        if self.width % self.heads:
            raise UserError(
                f"--model.heads={self.heads} does not divide --model.width={self.width}"
            )

    @property
    def past(self) -> int:
        """Rows that a window must hold before the horizon, however few are read in turn."""
        if self.name == "width":
            return 1250  # the last 1,000 returns, and rows that tell their size
        return self.marginal if self.name in COPULAS else 0


@dataclasses.dataclass(frozen=True)
class BacktestConfig:
    """How forecasts are judged."""

    windows: int = knob(5, "at the end of the panel, which are the test", low=1)
    validation: int = knob(
        0,
        "rows before these that choose the step; 0: 5 horizons, at most a fifth",
        low=0,
    )
    paths: int = knob(100, "sampled of each window", low=1, high=100_000)
    refit: bool = knob(
        False, "--mode=evaluate trains a network for each window, on all rows before it"
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """What `--mode=predict` writes beside its table."""

    paths: bool = knob(False, "the sample paths too, into <stem>_paths.parquet")

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class ExplainConfig:
    """What if a covariate that is known ahead were another one over the horizon?"""

    covariate: str = knob("", "known covariate that is changed; empty: none")
    value: float = knob(1.0, "that it has then")
    group: str = knob(
        "", "group of the hierarchy, or series, that it is changed of; empty: all"
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class Config:
    """One run of forecast."""

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    demand: DemandConfig = dataclasses.field(default_factory=DemandConfig)
    window: WindowConfig = dataclasses.field(default_factory=WindowConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    backtest: BacktestConfig = dataclasses.field(default_factory=BacktestConfig)
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(
            name="adam", learning_rate=0.001, clip_norm=10.0
        )
    )
    train: LoopConfig = dataclasses.field(default_factory=LoopConfig)
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)
    check: CheckConfig = dataclasses.field(default_factory=CheckConfig)
    predict: PredictConfig = dataclasses.field(default_factory=PredictConfig)
    explain: ExplainConfig = dataclasses.field(default_factory=ExplainConfig)
    reproduce: ReproduceConfig = dataclasses.field(default_factory=ReproduceConfig)
    precision: str = precision_knob("products of the bodies; flows have float32")

    def __post_init__(self):
        check_bounds(self)
