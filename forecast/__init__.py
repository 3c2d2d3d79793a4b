"""forecast: probabilistic forecasts of many series at once, with normalizing flows.

From the command line: `python -m experiments.forecast_main --help`. From Python:

    import forecast

    config = forecast.Config()
    forecast.train_and_evaluate(config, "runs/demand")
    model = forecast.load("runs/demand")
    table = model.predict("sales.csv")
"""

from typing import TYPE_CHECKING

from common.cli import late_imports

if TYPE_CHECKING:
    from forecast.config import Config
    from forecast.train import train_and_evaluate
    from forecast.verbs.predict import Model

__all__ = ["Config", "Model", "load", "train_and_evaluate"]


def load(workdir: str) -> "Model":
    """Loads the model of a finished training run; see `Model.predict`."""
    from forecast.verbs.predict import Model

    return Model(workdir)


__getattr__ = late_imports.of(
    __name__,
    {
        "Config": "forecast.config",
        "Model": "forecast.verbs.predict",
        "train_and_evaluate": "forecast.train",
    },
)
