"""What stands before the heads are trained: data, networks, features, statistics."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from common.data import ingest
from common.parallel.execution import Execution, make_execution
from common.tables import schema as schemas
from common.training import activity
from common.training.workdirs import Say
from pricer import comparables, data, features, networks
from pricer.comparables import Comparables
from pricer.config import TASKS, Config
from pricer.data import Examples, HeadRows
from pricer.heads import Heads
from pricer.inputs import labels
from pricer.inputs.labels import Labels
from pricer.networks import TrainedNetwork


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run whose features are there.

    Attributes:
      config: of the run.
      execution: what it runs on.
      examples: rows and what was fitted on them.
      networks: that the features come from.
      comparables: training items that photos are compared with, if any.
      heads: regression and gate.
    """

    config: Config
    execution: Execution
    examples: Examples
    networks: Sequence[TrainedNetwork]
    comparables: Comparables | None
    heads: Heads


def open_run(config: Config) -> tuple[Execution, Examples]:
    """Opens devices and data; what does not fit is known before the data.

    Raises:
      UserError: whatever the user can mend.
    """
    execution = make_execution(config.parallel)
    execution.check_batch(config.train.batch_size)
    execution.check_batch(config.networks.batch_size)
    networks.starting_weights(config)
    return execution, open_examples(config)


@activity.doing("preparing the data")
def prepare(config: Config, folder: pathlib.Path, say: Say) -> Run:
    """Opens the data, trains the networks that are not there yet, extracts features.

    Args:
      config: of the run.
      folder: of the networks.
      say: prints a line of progress.

    Raises:
      UserError: whatever the user can mend.
    """
    execution, examples = open_run(config)
    trained = train_networks(config, examples, execution, folder, say)
    stored = features.extract(config, trained, examples.listings, execution)
    statistics, compared = examples.context.statistics, None
    if config.comparables.count:
        say(f"comparing {len(statistics):,} photos with those of training")
        compared, columns = comparables.fit(
            config.comparables,
            stored,
            examples.rows("train"),
            examples.log_prices,
            examples.context.groups,
            execution=execution,
            batch_size=config.networks.batch_size,
        )
        statistics = np.concatenate([statistics, columns], axis=1)
    heads = Heads(
        config,
        HeadRows(
            stored,
            statistics,
            examples.log_prices,
            {split: examples.rows(split) for split in ("train", "validation")},
            examples.context.words,
            examples.encoders.spec(),
        ),
        execution,
        {
            "data": examples.listings.fingerprint,
            "features": [store.key["weights"] for store in stored.stores],
        },
    )
    return Run(config, execution, examples, trained, compared, heads)


def open_examples(config: Config) -> Examples:
    """Opens the data, and says what of it stays unused.

    Raises:
      UserError: whatever is wrong with the files or the settings.
    """
    listings = data.load_listings(config)
    ingest.say_unused_photos(listings.frame, listings.schema, config.photos)
    if note := config.networks.note_fit(config.photos.fit):
        ingest.print_line(note)
    if any(reason == schemas.NOT_READ for _, reason in listings.schema.ignored):
        ingest.print_line("--model.texts gives regression and gate the words of texts")
    if unused := labels.describe_unused(listings.schema, config.labels):
        ingest.print_line(unused)
    return data.make_examples(config, listings)


def labels_to_learn(config: Config, examples: Examples) -> list[Labels]:
    """What the networks of a run learn: four tasks, or the price alone."""
    if config.model.features == "multiple":
        return [examples.labels[task] for task in TASKS if task in examples.labels]
    return [labels.price_labels(examples.log_prices, examples.rows("train"))]


def train_networks(
    config: Config,
    examples: Examples,
    execution: Execution,
    folder: pathlib.Path,
    say: Say,
) -> list[TrainedNetwork]:
    """Trains the networks of a run one after another; reads those that are done.

    Args:
      config: of the run.
      examples: rows.
      execution: what to run on.
      folder: gets <task>/ of each, see `networks.train_network`.
      say: prints a line of progress.
    """
    trained = []
    for learnt in labels_to_learn(config, examples):
        task, labelled = learnt.task, int(learnt.usable.sum())
        say(f"network for {task}: {labelled:,} labelled rows")
        trained.append(
            networks.train_network(
                config,
                learnt,
                examples.listings,
                examples.kept,
                execution,
                folder / task,
            )
        )
    return trained
