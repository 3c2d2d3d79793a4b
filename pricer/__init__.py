"""pricer: price suggestions from photos, and a gate that knows when not to.

After Han et al., "Vision-based Price Suggestion for Online Second-hand Items". From the
command line: `python -m experiments.pricer_main --help`. From Python:

    import pricer

    config = pricer.Config()
    pricer.train_and_evaluate(config, "runs/bazaar")
    model = pricer.load("runs/bazaar")
    table = model.predict("new_rows.csv", images="photos/")
"""

from typing import TYPE_CHECKING

from common.cli import late_imports

if TYPE_CHECKING:
    from pricer.config import Config
    from pricer.train import train_and_evaluate
    from pricer.verbs.predict import Model

__all__ = ["Config", "Model", "load", "train_and_evaluate"]


def load(workdir: str) -> "Model":
    """Loads the model of a finished training run; see `Model.predict`."""
    from pricer.verbs.predict import Model

    return Model(workdir)


__getattr__ = late_imports.of(
    __name__,
    {
        "Config": "pricer.config",
        "Model": "pricer.verbs.predict",
        "train_and_evaluate": "pricer.train",
    },
)
