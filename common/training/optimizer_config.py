"""How a run is told to update parameters; no library of optimizers is needed."""

import dataclasses
from typing import Literal

from common.config.configs import check_bounds, knob


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How parameters are updated."""

    name: Literal["momentum", "sgd", "adam", "adamw"] = knob("momentum", "update rule")
    learning_rate: float = knob(0.01, "highest learning rate", low=0.0)
    momentum: float = knob(
        0.9, "momentum, or Adam's first decay rate", low=0.0, high=1.0
    )
    weight_decay: float = knob(
        0.0, "decay of weights; biases and scales of norms have none", low=0.0
    )
    clip_norm: float = knob(
        0.0, "bound on the norm of all gradients together; 0 = none", low=0.0
    )
    schedule: Literal["constant", "cosine", "drop"] = knob(
        "constant",
        "learning rate after the warm-up; cosine falls to 0 at the end, drop falls once",
    )
    drop_at: float = knob(
        2 / 3, "drop: share of the steps after which the rate falls", low=0.0, high=1.0
    )
    drop_factor: float = knob(0.4, "drop: what the rate is multiplied by", low=0.0)
    warmup_steps: int = knob(0, "steps of linear warm-up", low=0)

    def __post_init__(self):
        check_bounds(self)
