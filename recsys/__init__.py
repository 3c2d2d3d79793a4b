"""recsys: recommendation where almost every item is unique.

After Yu et al., "Personalized Item Recommendation for Second-hand Trading Platform". From
the command line: `python -m experiments.recsys_main --help`. From Python:

    import recsys

    config = recsys.Config()
    recsys.train_and_evaluate(config, "runs/closet")
    model = recsys.load("runs/closet")
    table = model.recommend(["17", "23"], length=20)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.config import Config
    from recsys.predictor import Model
    from recsys.train import train_and_evaluate

__all__ = ["Config", "Model", "load", "train_and_evaluate"]

_HOMES = {
    "Config": "recsys.config",
    "Model": "recsys.predictor",
    "train_and_evaluate": "recsys.train",
}


def load(workdir: str) -> "Model":
    """Loads the model of a finished training run; see `Model.recommend`."""
    from recsys.predictor import Model

    return Model(workdir)


def __getattr__(name: str) -> Any:
    """Imports late: models and steps run where the data libraries are absent."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
