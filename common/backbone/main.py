"""The command line of the backbone training."""

from collections.abc import Sequence
from typing import NoReturn

from common.backbone import features, train
from common.backbone.config import Config
from common.cli import app, verbs
from common.cli.app import Command, Mode
from common.reports import result_tables


def run_train(config: Config, command: Command) -> None:
    """Trains, prints accuracies and the path of the weights."""
    values = train.train_and_save(config, command.workdir)
    names = ("top1", "top5", "n")
    row = {name: values[f"test/{name}"] for name in names}
    row["majority top1"] = values["test/majority_top1"]
    command.show(result_tables.to_markdown([row]))
    command.show(f"weights: {command.workdir / train.WEIGHTS}")


def run_features(config: Config, command: Command) -> None:
    """Writes what the backbone sees in the photos of --data.path."""
    output = command.need("output")
    count, width = features.write(config, command.workdir, output)
    command.show(f"{count:,} rows of {width} features: {output}")


MODES = {
    "train": verbs.train(run_train),
    "features": Mode(
        "what the network sees in the photos of a table, into the folder --output",
        run_features,
        needs=("workdir", "output"),
        trained=True,
    ),
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the backbone training from the command line."""
    app.main(
        "backbone",
        Config(),
        MODES,
        argv,
        summary="backbone: a ResNet trained to name the class of a photo",
    )
