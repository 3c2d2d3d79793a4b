"""The command line of the backbone training."""

from collections.abc import Sequence
from typing import NoReturn

from common.backbone import features, train
from common.backbone.config import Config
from common.cli import app
from common.cli.app import Run
from common.reports import result_tables


def run_train(config: Config, run: Run) -> None:
    """Trains, prints accuracies and the path of the weights."""
    values = train.train_and_save(config, run.workdir)
    names = ("top1", "top5", "n")
    row = {name: values[f"test/{name}"] for name in names}
    row["majority top1"] = values["test/majority_top1"]
    run.show(result_tables.to_markdown([row]))
    run.show(f"weights: {run.workdir / train.WEIGHTS}")


def run_features(config: Config, run: Run) -> None:
    """Writes what the backbone sees in the photos of --data.path."""
    output = run.need("output")
    count, width = features.write(config, run.workdir, output)
    run.show(f"{count:,} rows of {width} features: {output}")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the backbone training from the command line."""
    app.main(
        "backbone",
        Config(),
        {"train": run_train, "features": run_features},
        argv,
        summary="backbone: a ResNet trained to name the class of a photo",
    )
