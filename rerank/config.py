"""Every knob of rerank: one tree of frozen dataclasses, each knob a flag."""

import dataclasses
from typing import Literal

from common.config.configs import check_bounds, knob
from common.errors import UserError
from common.parallel.precision import precision_knob
from common.parallel.processes import ParallelConfig
from common.training.loop_config import LoopConfig
from common.training.optimizer_config import OptimizerConfig
from common.training.sections import CheckConfig, ReproduceConfig
from rerank.generated.parameters import SerpConfig

# What modules take as words; they import them from here.
Target = Literal["purchase", "click"]
LossKind = Literal["bce", "softmax", "listmle", "pairwise"]
Fusion = Literal["cafu", "concat"]
Value = Literal["count", "revenue"]
Split = Literal["time", "request"]
ModelName = Literal["armmt", "prm", "setrank", "mlp"]

MODALITIES = ("text", "image")  # in this order everywhere
POINTWISE, LISTWISE, POINTER = "pointwise", "listwise", "pointer"  # the phases


@dataclasses.dataclass(frozen=True)
class Modality:
    """One modality as networks see it.

    Attributes:
      name: of `MODALITIES`.
      width: numbers in its vectors; 0 where it is words.
      words: ids of its words, padding included; 0 where it is vectors.
    """

    name: str
    width: int
    words: int = 0


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What networks must know of the data.

    Attributes:
      fields: numbers of each candidate, of the item and of its pair with the request.
      context: numbers of the request.
      query_words: ids of the words of queries, padding included; 0 for none.
      modalities: those that are there.
      length: the longest list.
      history: the longest history that is read, at least 1.
    """

    fields: int
    context: int
    query_words: int
    modalities: tuple[Modality, ...]
    length: int
    history: int = 1


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Requests, items and their vectors."""

    requests: str = knob(
        "",
        "table of what was shown, a row a (request, item) in the order of the list (CSV"
        " or Parquet, or lines of qid-LibSVM); empty: the built-in serp",
    )
    items: str = knob("", "table of the items; empty: what the requests say of them")
    text_vectors: str = knob("", ".npy array, a row an item; rows of NaN: no text")
    image_vectors: str = knob("", ".npy array, a row an item; rows of NaN: no image")
    request: str = knob("request", "column of the requests' ids")
    item: str = knob("item", "column of the items' ids, in both tables")
    query: str = knob("query", "column of the query, a text; used where it is there")
    title: str = knob("title", "column of the items' titles; used where it is there")
    photo: str = knob("photo", "column of the items' photos, which reports show")
    images: str = knob("", "folder or tar archive of these photos")
    category: str = knob("category", "column of the items' category")
    labels: tuple[str, ...] = knob(
        ("brand",), "columns of the items that caps and exposure are told by"
    )
    price: str = knob("price", "column of the items' price")
    fields: tuple[str, ...] = knob(
        (), "further columns of numbers of the items; price is one where it is there"
    )
    features: tuple[str, ...] = knob(
        (), "columns of numbers of a candidate in its request, such as match scores"
    )
    context: tuple[str, ...] = knob(
        (), "columns of numbers of the request, the same in all of its rows"
    )
    position: str = knob(
        "position", "column of the place shown; without it, the order of the rows"
    )
    click: str = knob("click", "column of clicks, 0 or 1")
    purchase: str = knob("purchase", "column of purchases, 0 or 1, or grades")
    propensity: str = knob("propensity", "column of the logging probability")
    randomised: str = knob("randomised", "column of lists in random order, 0 or 1")
    time: str = knob("time", "column of the request's time")
    history: str = knob(
        "history", "column of the items taken before, with | between, newest last"
    )
    max_length: int = knob(200, "candidates of a request", low=2, high=1000)
    max_history: int = knob(20, "items of the history that are read", low=0, high=1000)
    max_rejected_fraction: float = knob(
        0.05, "share of rows that may be rejected", low=0.0, high=1.0
    )
    split: Split = knob(
        "request",
        "by a hash of the request (of the query, where there are queries), or by time",
    )
    split_fractions: tuple[float, float, float] = knob(
        (0.8, 0.1, 0.1), "shares of train, validation, test", low=0.0, high=1.0
    )
    split_seed: int = knob(0, "of the split", low=0, high=2**32 - 1)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The networks. The paper prints no sizes."""

    name: ModelName = knob("armmt", "network; the others are rivals")
    width: int = knob(32, "D of all vectors", low=4, high=4096)
    heads: int = knob(4, "of attention; must divide the width", low=1, high=64)
    field_layers: int = knob(
        1, "attention across the fields of a candidate", low=0, high=16
    )
    list_layers: int = knob(2, "attention across the list", low=0, high=16)
    fusion: Fusion = knob("cafu", "of modalities; concat is ablation (ii)")
    fusion_context: bool = knob(True, "CAFU sees the context; off is ablation (iii)")
    modalities: tuple[str, ...] = knob(
        MODALITIES, "that are used; (iv) and (v) leave one out", choices=MODALITIES
    )
    history: bool = knob(True, "personalised vectors; off is ablation (vi)")
    dropout: float = knob(0.0, "inside attention blocks", low=0.0, high=0.9)
    modality_dropout: float = knob(
        0.1,
        "rate at which a candidate's modality is hidden in training",
        low=0.0,
        high=0.9,
    )

    def __post_init__(self):
        check_bounds(self)
        if self.width % self.heads:
            raise UserError(
                f"--model.heads={self.heads} does not divide --model.width={self.width}"
            )


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What the networks learn."""

    target: Target = knob("purchase", "label of the main task")
    kind: LossKind = knob("bce", "of the main task; bce alone gives probabilities")
    click_weight: float = knob(
        0.3, "lambda of the auxiliary click task; 0 is ablation (i)", low=0.0
    )

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """How an order is looked for."""

    use: Literal["auto", "always", "never"] = knob(
        "auto",
        "auto: only where the list-wise evaluator beats the pointwise network on"
        " validation by 1.96 standard errors, else the answer is the pointwise sort",
    )
    value: Value = knob("count", "of an order: expected target, or target times price")
    samples: int = knob(8, "orders that the pointer samples", low=0, high=1024)
    beams: int = knob(7, "width of the beam; 0 for none", low=0, high=256)
    budget: int = knob(
        0, "orders that swaps may try beside; 0: no swaps", low=0, high=1_000_000
    )
    pinned: str = knob(
        "", "column of the requests with the place an item is pinned to, from 1"
    )
    cap_label: str = knob("", "label that is capped: one of --data.labels")
    cap_count: int = knob(2, "most items of a label in the first cap_places", low=1)
    cap_places: int = knob(10, "places that the cap is about", low=1)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class ServeConfig:
    """The endpoint."""

    host: str = knob("127.0.0.1", "address; 0.0.0.0 for all, behind a proxy")
    port: int = knob(8000, "of the endpoint", low=0, high=65535)
    max_seconds: float = knob(10.0, "a body may take to arrive", low=0.1)
    max_bytes: int = knob(2_000_000, "of a body", low=1000)

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class Config:
    """One run of rerank."""

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    serp: SerpConfig = dataclasses.field(default_factory=SerpConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    search: SearchConfig = dataclasses.field(default_factory=SearchConfig)
    serve: ServeConfig = dataclasses.field(default_factory=ServeConfig)
    pointer_steps: int = knob(
        0,
        "training steps of the pointer generator; 0: samples and beams by the sort",
        low=0,
    )
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(
            name="adamw", learning_rate=0.001, weight_decay=0.01
        )
    )
    train: LoopConfig = dataclasses.field(
        default_factory=lambda: LoopConfig(
            batch_size=128, best_metric="log_loss", best_mode="min"
        )
    )
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)
    check: CheckConfig = dataclasses.field(default_factory=CheckConfig)
    reproduce: ReproduceConfig = dataclasses.field(default_factory=ReproduceConfig)
    precision: str = precision_knob("products with parameters")

    def __post_init__(self):
        check_bounds(self)
