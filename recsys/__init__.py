"""recsys: recommendation where almost every item is unique.

After Yu et al., "Personalized Item Recommendation for Second-hand Trading Platform". From
the command line: `python -m experiments.recsys_main --help`. From Python:

    import recsys

    config = recsys.Config()
    recsys.train_and_evaluate(config, "runs/closet")
    model = recsys.load("runs/closet")
    table = model.recommend(["17", "23"], length=20)
"""

from typing import TYPE_CHECKING

from common.cli import late_imports

if TYPE_CHECKING:
    from recsys.config import Config
    from recsys.train import train_and_evaluate
    from recsys.verbs.predict import Model

__all__ = ["Config", "Model", "load", "train_and_evaluate"]


def load(workdir: str) -> "Model":
    """Loads the model of a finished training run; see `Model.recommend`."""
    from recsys.verbs.predict import Model

    return Model(workdir)


__getattr__ = late_imports.of(
    __name__,
    {
        "Config": "recsys.config",
        "Model": "recsys.verbs.predict",
        "train_and_evaluate": "recsys.train",
    },
)
