"""ican: price zones of second-hand items from photo and attributes.

After Yamaura et al., "The Resale Price Prediction of Secondhand Jewelry Items Using a
Multi-modal Deep Model with Iterative Co-Attention". From the command line:
`python -m experiments.ican_main --help`. From Python:

    import ican

    config = ican.Config()
    ican.train_and_evaluate(config, "runs/rings")
    model = ican.load("runs/rings")
    table = model.predict("new_rows.csv", images="photos/")
"""

from typing import TYPE_CHECKING

from common.cli import late_imports

if TYPE_CHECKING:
    from ican.config import Config
    from ican.train import train_and_evaluate
    from ican.verbs.predict import Model

__all__ = ["Config", "Model", "load", "train_and_evaluate"]


def load(workdir: str) -> "Model":
    """Loads the model of a finished training run; see `Model.predict`."""
    from ican.verbs.predict import Model

    return Model(workdir)


__getattr__ = late_imports.of(
    __name__,
    {
        "Config": "ican.config",
        "Model": "ican.verbs.predict",
        "train_and_evaluate": "ican.train",
    },
)
