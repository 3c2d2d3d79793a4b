"""rerank: the order of a search result from text, images and context.

After "Advancing Re-Ranking with Multimodal Fusion and Target-Oriented Auxiliary Tasks in
E-Commerce Search" (ARMMT). From the command line: `python -m experiments.rerank_main
--help`. From Python:

    import rerank

    config = rerank.Config()
    rerank.train_and_evaluate(config, "runs/serp")
    model = rerank.load("runs/serp")
    answer = model.rerank({"candidates": ["17", "4", "23"]})
"""

from typing import TYPE_CHECKING

from common.cli import late_imports

if TYPE_CHECKING:
    from rerank.config import Config
    from rerank.train import train_and_evaluate
    from rerank.verbs.predict import Model

__all__ = ["Config", "Model", "load", "train_and_evaluate"]


def load(workdir: str) -> "Model":
    """Loads the model of a finished training run; see `Model.rerank`."""
    from rerank.verbs.predict import Model

    return Model(workdir)


__getattr__ = late_imports.of(
    __name__,
    {
        "Config": "rerank.config",
        "Model": "rerank.verbs.predict",
        "train_and_evaluate": "rerank.train",
    },
)
