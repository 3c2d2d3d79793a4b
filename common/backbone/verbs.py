"""What the modes of the backbone training do."""

from common.backbone import features, train
from common.backbone.config import Config
from common.cli.app import Command
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
    trained = command.workdir / train.WEIGHTS
    weights = trained if command.trained else config.backbone.weights
    count, width = features.write(config, weights, output)
    command.show(f"{count:,} rows of {width} features: {output}")
