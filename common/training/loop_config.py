"""How a training loop is told how long to run; no library of the loop is needed."""

import dataclasses
from typing import Literal

from common.config.configs import check_bounds, knob

# Knobs that may change when a run is continued; see `workdirs.start_record`.
FREE = (
    "train.steps",
    "train.patience",
    "train.log_every",
    "train.eval_every",
    "train.checkpoint_every",
    "train.progress",
    "train.tensorboard",
    "train.workers",
    "train.profile_start",
    "train.profile_steps",
    "parallel.",
)


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """How long to train, and how often to do what."""

    steps: int = knob(1000, "training steps", low=1)
    batch_size: int = knob(64, "examples a step, over all devices", low=1)
    workers: int = knob(
        0, "processes that decode photos; 0 = threads of this one", low=0, high=1024
    )
    seed: int = knob(0, "root of all randomness", low=0, high=2**32 - 1)
    log_every: int = knob(20, "steps between lines of training metrics", low=1)
    eval_every: int = knob(200, "steps between evaluations, each saved", low=1)
    checkpoint_every: int = knob(200, "steps between checkpoints", low=1)
    best_metric: str = knob("loss", "validation metric that chooses the best state")
    best_mode: Literal["min", "max"] = knob("min", "whether low or high is good")
    patience: int = knob(
        0,
        "evaluations without improvement after which training ends; 0 = never",
        low=0,
    )
    progress: bool = knob(True, "show progress")
    tensorboard: bool = knob(True, "write TensorBoard files")
    profile_start: int = knob(0, "step from which to trace; 0 = never", low=0)
    profile_steps: int = knob(5, "steps to trace", low=1)

    def __post_init__(self):
        check_bounds(self)
