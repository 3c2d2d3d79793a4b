"""Every knob of recsys: one tree of frozen dataclasses, each knob a flag."""

import dataclasses
from typing import Literal

from common.config.configs import check_bounds, hint, knob
from common.errors import UserError
from common.parallel.precision import precision_knob
from common.parallel.processes import ParallelConfig
from common.training.loop_config import LoopConfig
from common.training.optimizer_config import OptimizerConfig
from common.training.sections import CheckConfig, ResplitConfig
from recsys import metrics
from recsys.corpus.config import AtomicConfig, DataConfig
from recsys.generated.parameters import ClosetConfig, SimulationConfig

# What modules take as words; they import them from here.
NegativesKind = Literal["hierarchical", "uniform"]
Reduction = Literal["mean", "sum"]  # of losses
Similarity = Literal["cosine", "bm25"]  # of items
RowRule = Literal["dense", "lazy", "lazy_corrected"]

# beta_1 and beta_2 (paper, section 4.2); of models that learn the first task alone.
WEIGHTS = (0.75, 0.25)
FIRST_TASK = (1.0, 0.0)

OURS = "coarse-fine"
BASELINES = ("vbpr", "sherlock", "deepstyle")
BOTH_TASKS = (OURS, *(f"{name}-ii" for name in BASELINES))
# All rows of the paper; -s and -i learn the first task alone.
MODELS = (
    OURS,
    f"{OURS}-s",
    *(f"{name}{variant}" for name in BASELINES for variant in ("", "-i", "-ii")),
)
# They know who took what, and nothing else.
RIVALS = ("item-knn", "als", "bpr")


B2 = 0.999  # second decay rate of Adam, as in `make_optimizer`


def check_row_rule(rule: RowRule, optimizer: OptimizerConfig) -> None:
    """Refuses a momentum so high that a rest would move a row without bound.

    Raises:
      UserError: naming the highest.
    """
    most = (1 - optimizer.learning_rate * optimizer.weight_decay) * B2**0.5
    if rule == "lazy_corrected" and optimizer.momentum >= most:
        raise UserError(
            f"lazy_corrected with a momentum of {optimizer.momentum:g} moves rows"
            f" without bound: choose one below {most:g}, or lazy"
        )


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which score is learnt."""

    name: str = knob(
        OURS,
        "the paper's model, a baseline or a rival; -s and -i learn the first task, -ii"
        " both",
        choices=(*MODELS, *RIVALS),
    )
    width: int = knob(128, "length of a user's or an item's vector, D", low=2)
    level_widths: tuple[int, ...] = knob(
        (),
        "coarse-fine: lengths of the category vectors; sherlock: rows of each level;"
        " empty: equal, and half at the top",
        low=0,
    )
    user_bias: bool = knob(
        False, "baselines: a bias of the user, which the second task can see"
    )

    def __post_init__(self):
        check_bounds(self)

    @property
    def score(self) -> str:
        """The name less what it is trained on: "vbpr-i" of "vbpr-ii"."""
        return self.name.removesuffix("-s").replace("-ii", "-i")

    @property
    def is_rival(self) -> bool:
        """Whether a library fits it, and no step of gradients."""
        return self.name in RIVALS

    @property
    def has_vectors(self) -> bool:
        """Whether scores are inner products; not those of item-knn."""
        return self.name != "item-knn"

    def check_widths(self, levels: int) -> None:
        """Checks the widths against the levels of the categories.

        Raises:
          UserError: where they do not fit.
        """
        given, flag = self.level_widths, "--model.level_widths"
        written = f"{flag}={','.join(map(str, given))}"
        if self.score == OURS:
            widths = given or (self.width // (levels + 1),) * levels
            if len(widths) != levels or min(widths) < 1 or sum(widths) >= self.width:
                raise UserError(
                    f"{written} with --model.width={self.width}: {OURS} needs {levels}"
                    f" numbers above 0, one a level of the categories, that leave some"
                    " of the width"
                )
        elif given and not self.name.startswith("sherlock"):
            raise UserError(f"{written}: --model.name={self.name} has no such widths")
        elif given:
            whole = self.score == "sherlock-i"
            half = self.width if whole else -(-self.width // 2)
            if len(given) != levels or sum(given) != half:
                raise UserError(
                    f"{written} with --model.width={self.width}: {self.name} needs"
                    f" {levels} numbers, one a level of the categories, that add up to"
                    f" {half}"
                )


@dataclasses.dataclass(frozen=True)
class NegativesConfig:
    """Items that a user has not taken, for the first task."""

    kind: NegativesKind = knob(
        "uniform", "of all items; or half of the leaf's and half of its siblings'"
    )
    count: int = knob(16, "for each positive", low=1, high=1000)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The two tasks (paper, Eq. 7 to 9)."""

    item_weight: float | None = knob(
        None,
        "beta_1, of recommending items to users; empty: by the model, 0.75 of both tasks"
        " and 1 of the first alone",
        low=0.0,
    )
    user_weight: float | None = knob(
        None,
        "beta_2, of identifying the users of items; 0: the first task alone; empty: by"
        " the model, 0.25 or 0",
        low=0.0,
    )
    softmax: Literal["exact", "sampled"] = knob(
        "exact", "second task: over all users, or over some drawn for each batch"
    )
    sampled_users: int = knob(8192, "sampled: users drawn for a batch", low=1)
    mask_other_users: bool = knob(False, "second task: leave out an item's other users")
    chunk: int = knob(2048, "exact: users at a time", low=1)
    reduction: Reduction = knob("mean", "over the batch; the paper prints sums")
    penalty: float = knob(
        0.0, "lambda of Eq. 7 and 8, on all that a step updates", low=0.0
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class ItemKnnConfig:
    """Of `--model.name=item-knn`."""

    neighbours: int = knob(100, "of an item, K", low=1)
    similarity: Similarity = knob("cosine", "of two items, by who has taken both")
    shrink: float = knob(
        100.0, "cosine: what is added below, so that few users count less", low=0.0
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class AlsConfig:
    """Of `--model.name=als`."""

    regularization: float = knob(10.0, "of users' and items' vectors", low=0.0)
    alpha: float = knob(
        10.0, "confidence is alpha times an interaction's weight", low=0
    )
    iterations: int = knob(15, "over all users and items", low=1)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class BprConfig:
    """Of `--model.name=bpr`."""

    learning_rate: float = knob(0.03, "of stochastic gradient descent", low=0.0)
    regularization: float = knob(0.01, "of all vectors", low=0.0)
    iterations: int = knob(100, "over all interactions", low=1)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class RankingConfig:
    """How lists are made and evaluated."""

    lengths: tuple[int, ...] = knob((5, 10, 20), "list lengths K", low=1, high=1000)
    hide_training: bool = knob(
        True,
        "leave out what the user has in training; in predict and explain what the user"
        " has in any split",
    )
    hide_validation: bool = knob(True, "in test, leave out validation items too")
    count_without_test: bool = knob(
        False, "average over users without a test item, too, as 0"
    )
    all_hits_auc: float = knob(1.0, "AUC of a list of hits alone", low=0.0, high=1.0)
    validation_users: int = knob(
        0, "users that validation averages over; 0: all", low=0
    )
    rows_at_once: int = knob(
        4096, "items, or users, whose vectors a device computes at a time", low=1
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class FoldInConfig:
    """How the vector of a new user is found from a few interactions."""

    steps: int = knob(100, "of Adam on the new users' rows alone", low=1)
    learning_rate: float = knob(0.03, "of these", low=0.0)
    penalty: float = knob(
        0.01,
        "strength that keeps a new user near the mean of all",
        low=0.0,
        formerly=("fold_in.pull",),
    )
    negatives: int = knob(32, "for each interaction of a new user", low=1)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Which items of the catalogue `--mode=predict` may put into lists."""

    items: str = knob(
        "", "table of the items that may be shown, in its column data.item; empty: all"
    )
    category: str = knob(
        "",
        "category whose items may be shown, from the top: Women > Shoes; several by |;"
        " empty: all",
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class ReproduceConfig(ResplitConfig):
    """What `--mode=reproduce` runs."""

    search: Literal["none", "rivals", "all"] = knob(
        "rivals", "rows whose settings are chosen on the first split's validation rows"
    )


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """What `--mode=export` writes beside the vectors."""

    indexes: tuple[str, ...] = knob(
        (), "approximate indexes to build and measure", choices=("faiss", "usearch")
    )

    def __post_init__(self):
        check_bounds(self)


def _default_optimizer() -> OptimizerConfig:
    """AdamW, as in section 4.2; rate and decay for what many users take, too."""
    return OptimizerConfig(
        name="adamw", learning_rate=0.01, weight_decay=1.0, schedule="cosine"
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """One run of recsys.

    The defaults of negatives, rate, decay and steps are those with which VBPR does well
    where many users take an item; the flag files have the paper's.
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    closet: ClosetConfig = dataclasses.field(default_factory=ClosetConfig)
    atomic: AtomicConfig = dataclasses.field(default_factory=AtomicConfig)
    simulation: SimulationConfig = dataclasses.field(default_factory=SimulationConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    negatives: NegativesConfig = dataclasses.field(default_factory=NegativesConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=_default_optimizer)
    row_optimizer: RowRule = knob(
        "lazy",
        "tables of which a batch needs few rows: update all, or those alone by lazy"
        " Adam or corrected lazy Adam",
        formerly=("rows",),
    )
    item_knn: ItemKnnConfig = dataclasses.field(default_factory=ItemKnnConfig)
    als: AlsConfig = dataclasses.field(default_factory=AlsConfig)
    bpr: BprConfig = dataclasses.field(default_factory=BprConfig)
    ranking: RankingConfig = dataclasses.field(default_factory=RankingConfig)
    fold_in: FoldInConfig = dataclasses.field(default_factory=FoldInConfig)
    predict: PredictConfig = dataclasses.field(default_factory=PredictConfig)
    export: ExportConfig = dataclasses.field(default_factory=ExportConfig)
    train: LoopConfig = dataclasses.field(
        default_factory=lambda: LoopConfig(
            steps=4000,
            batch_size=256,
            log_every=100,
            eval_every=500,
            checkpoint_every=500,
            best_metric="ndcg@10",
            best_mode="max",
        )
    )
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)
    check: CheckConfig = dataclasses.field(default_factory=CheckConfig)
    reproduce: ReproduceConfig = dataclasses.field(
        default_factory=lambda: ReproduceConfig(resplit=True)
    )
    precision: str = precision_knob("products with features")
    allow_other_features: bool = knob(
        False, "recommend with features that are not those of training, under its ids"
    )

    def __post_init__(self):
        check_bounds(self)

    @property
    def task_weights(self) -> tuple[float, float]:
        """(beta_1, beta_2): as given, and as the model's name says where they are not."""
        usual = WEIGHTS if self.model.name in BOTH_TASKS else FIRST_TASK
        given = self.loss.item_weight, self.loss.user_weight
        item, user = (
            one if value is None else value
            for one, value in zip(usual, given, strict=True)
        )
        return item, user

    def check_metric(self, metric: str) -> None:
        """Refuses a metric that lists are not evaluated by.

        Raises:
          UserError: naming those that there are.
        """
        name, _, length = metric.rpartition("@")
        lengths = [str(one) for one in self.ranking.lengths]
        kinds = (*metrics.QUALITY, *metrics.SPREAD)
        known = [f"{group}{kind}" for group in metrics.GROUPS for kind in kinds]
        if not self.data.interactions:
            known.append("branch_need")  # which the closet alone knows
        if name not in known:
            every = [f"{one}@{length}" for length in lengths for one in known]
            raise UserError(
                f"--train.best_metric={metric}: there is no such metric"
                f"{hint(metric, every)}; there are {', '.join(kinds)}, each with @ and"
                f" one of --ranking.lengths={','.join(lengths)}, and with seen/ or"
                " unseen/ before it for such items alone"
            )
        if length not in lengths:
            raise UserError(
                f"--train.best_metric={metric} needs the length {length} among"
                f" --ranking.lengths={','.join(lengths)}"
            )

    def check_together(self) -> None:
        """Refuses what can't go together; see `configs.check_together`."""
        check_row_rule(self.row_optimizer, self.optimizer)
        if self.data.levels is not None:
            self.model.check_widths(self.data.levels)
        if not any(self.task_weights):
            raise UserError(
                "--loss.item_weight=0 and --loss.user_weight=0 leave nothing to learn"
            )
        self.check_metric(self.train.best_metric)
